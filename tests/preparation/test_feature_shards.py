import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_media import put
from safetensors.numpy import save

from clipsonic_cli.data.check import Flaw
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.preparation.feature_shards import (
    KEY,
    BadShard,
    ClipTensors,
    key_of,
    read_index,
    read_rows,
    to_int16,
    write_shard,
)
from clipsonic_cli.types import Clip, Member

ROWS = [
    ClipTensors(
        id="a", key="0a", digest="00", seconds=1.0, mel=3, frames=2, frame_rate=1.0, wave=5
    ),
    ClipTensors(id="b", key="0b", flaws=(Flaw(kind="unreadable", reason="no audio"),)),
    ClipTensors(id="c", key="0c", digest="01", seconds=1.0, mel=4, frames=1, wave=6),
]


def arrays():
    draw = np.random.default_rng(0)
    return {
        "mel": [draw.normal(size=(n, 8)).astype(np.float16) for n in (3, 4)],
        "frames": [draw.normal(size=(n, 4)).astype(np.float16) for n in (2, 1)],
        "wave": [draw.integers(-9, 9, size=n).astype(np.int16) for n in (5, 6)],
    }


def test_what_is_written_is_read(tmp_path):
    index = read_index(str(write_shard(tmp_path, ROWS, arrays())))
    assert list(index.rows) == ROWS
    for name, parts in arrays().items():
        whole = np.concatenate(parts)
        np.testing.assert_array_equal(read_rows(index, name, 0, len(whole)), whole)
        np.testing.assert_array_equal(read_rows(index, name, 2, 3), whole[2:3])


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:2]], ids=["data", "no-data"])
def test_a_shard_cut_at_any_byte_is_noticed(tmp_path, rows):
    whole = write_shard(tmp_path, rows, arrays() if rows == ROWS else {}).read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadShard):
            read_index(str(path))


def test_shards_of_other_rows_have_other_names(tmp_path):
    longer = [dataclasses.replace(ROWS[0], mel=4), *ROWS[1:]]
    names = {write_shard(tmp_path, rows, {}).name for rows in (ROWS, longer, ROWS[:2], ROWS)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("described", "tensors"),
    [
        ({"format": 2, "clips": []}, {}),
        ({"format": 1, "clips": [{"id": "a"}]}, {}),
        ({"format": 1, "clips": []}, {"mel": np.zeros((2, 8), np.float16)}),
        ({"format": 1, "clips": []}, {"mel": np.zeros((2, 8), np.float32)}),
        ({"format": 1, "clips": [dataclasses.asdict(ROWS[0])]}, {}),
        ([], {}),
    ],
    ids=["format", "fields", "surplus", "dtype", "missing", "list"],
)
def test_shards_that_contradict_themselves_are_rejected(tmp_path, described, tensors):
    path = put(tmp_path / "a", save(tensors, metadata={KEY: json.dumps(described)}))
    with pytest.raises(BadShard, match="no shard of prepared clips"):
        read_index(str(path))


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_reading_fail_otherwise(tmp_path_factory, content, sized):
    header = len(content).to_bytes(8, "little") if sized else b""
    path = put(tmp_path_factory.getbasetemp() / "garbage", header + content)
    with pytest.raises(BadShard):
        read_index(str(path))


@pytest.mark.parametrize(
    "where", [(-16, 0), (0, 15), (1 << 70, (1 << 70) + 16), (0.0, 16)], ids=str
)
def test_data_outside_the_shard_are_rejected(tmp_path, where):
    row = dataclasses.asdict(ClipTensors(id="a", key="0a", mel=1))
    described = {KEY: json.dumps({"format": 1, "clips": [row]})}
    mel = {"dtype": "F16", "shape": [1, 8], "data_offsets": where}
    header = json.dumps({"__metadata__": described, "mel": mel}).encode()
    path = put(tmp_path / "a", len(header).to_bytes(8, "little") + header + bytes(16))
    with pytest.raises(BadShard):
        read_index(str(path))


def test_rows_that_a_shard_lacks_are_rejected(tmp_path):
    rows = [dataclasses.replace(row, wave=0) for row in ROWS]
    index = read_index(str(write_shard(tmp_path, rows, arrays() | {"wave": []})))
    for name, start, stop in (("mel", 5, 8), ("mel", -1, 2), ("wave", 0, 1)):
        with pytest.raises(ClipsonicError, match="made for other shards"):
            read_rows(index, name, start, stop)


def test_a_shard_that_goes_or_shrinks_meanwhile_is_reported(tmp_path):
    path = write_shard(tmp_path, ROWS, arrays())
    index = read_index(str(path))
    os.truncate(path, index.extents["mel"].begin + 1)
    with pytest.raises(ClipsonicError, match="has become shorter"):
        read_rows(index, "mel", 0, 1)
    path.unlink()
    with pytest.raises(ClipsonicError, match=r"Cannot read .*: No such file"):
        read_rows(index, "mel", 0, 1)


def test_sound_of_16_bits_is_kept_as_it_is():
    every = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_int16(every.astype(np.float32) / 32768), every)
    assert to_int16(np.array([1.0, -1.0], np.float32)).tolist() == [32767, -32768]


def test_keys_change_with_files_and_pieces_but_not_with_the_folder(tmp_path):
    clip = Clip(id="a", media=put(tmp_path / "x/a.mp4", b"12"))
    key = key_of(clip)
    (tmp_path / "x").rename(tmp_path / "y")
    clip = dataclasses.replace(clip, media=tmp_path / "y/a.mp4")
    assert key_of(clip) == key
    others = {
        key_of(dataclasses.replace(clip, **change)) for change in ({"start": 1.0}, {"id": "b"})
    }
    os.utime(clip.media, ns=(0, 0))
    others |= {key_of(clip)}
    put(clip.media, b"123")
    os.utime(clip.media, ns=(0, 0))
    others |= {key_of(clip)}
    clip.media.unlink()
    others |= {key_of(clip)}
    assert len(others | {key}) == 6


def test_keys_of_members_do_not_ask_for_the_shard():
    member = Member(shard="https://nowhere.invalid/a.tar", name="a.mp4", offset=512, size=9)
    moved = dataclasses.replace(member, offset=1024)
    assert key_of(Clip(id="a", media=member)) != key_of(Clip(id="a", media=moved))

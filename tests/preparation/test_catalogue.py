import dataclasses
import json
import tracemalloc
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_media import put

from clipsonic_cli.errors import UsageError
from clipsonic_cli.preparation.catalogue import (
    FORMAT,
    Catalogue,
    ClipLocation,
    is_catalogue,
    read_catalogue,
)
from clipsonic_cli.preparation.config import PreparationConfig

COUNTS = st.integers(0, 2**40)
PLACES = st.builds(
    ClipLocation,
    shard=st.integers(0, 1),
    mel=COUNTS,
    mel_frames=COUNTS,
    frame=COUNTS,
    frames=COUNTS,
    wave=COUNTS,
    samples=COUNTS,
    frame_rate=st.floats(0, 1e6),
)
CLIPS = st.tuples(
    st.text(), st.none() | st.text(), st.sampled_from(["train", "valid", "test"]), PLACES
)
PLACE = ClipLocation(
    shard=0, mel=1, mel_frames=64, frame=3, frames=2, wave=0, samples=0, frame_rate=1.0
)
SHARDS = ["clips-0.safetensors", "clips-1.safetensors"]


def everything(catalogue):
    places = [catalogue.place(number) for number in range(len(catalogue))]
    lists = (catalogue.ids, catalogue.labels, catalogue.splits, places)
    return catalogue.config, catalogue.folder, catalogue.shards, *lists


@given(st.lists(CLIPS, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, clips):
    folder = tmp_path_factory.getbasetemp()
    catalogue = Catalogue(PreparationConfig(encoder="x", waves=True), str(folder), SHARDS)
    for clip in clips:
        catalogue.add(*clip)
    path = catalogue.write()
    assert is_catalogue(str(path))
    assert everything(read_catalogue(str(path))) == everything(catalogue)


def named(folder, content):
    """Write a file under the name of a catalogue of this content."""
    digest = blake2b(content, digest_size=6).hexdigest()
    return str(put(folder / f"catalogue-{digest}.jsonl", content))


def lines(*values):
    return "".join(f"{json.dumps(value)}\n" for value in values).encode()


def header(**changes):
    described = dataclasses.asdict(PreparationConfig())
    return {"format": FORMAT, "preparation": described, "shards": SHARDS} | changes


CLIP = ["a", None, "train", 0, 1, 2, 3, 4, 5, 6, 1.0]


def test_the_oracle_of_garbage_is_right(tmp_path):
    assert len(read_catalogue(named(tmp_path, lines(header(), CLIP)))) == 1


@pytest.mark.parametrize(
    "values",
    [
        [],
        [[]],
        [header(format=2)],
        [header(shards="clips-0.safetensors")],
        [header(preparation={})],
        [header(), 3],
        [header(), {}],
        [header(), CLIP[:-1]],
        [header(), [*CLIP, 1]],
        [header(), [None, *CLIP[1:]]],
        [header(), ["a", None, "all", *CLIP[3:]]],
        [header(), [*CLIP[:3], 2, *CLIP[4:]]],
        [header(), [*CLIP[:3], 0, -1, *CLIP[5:]]],
        [header(), [*CLIP[:3], 0, 1 << 70, *CLIP[5:]]],
        [header(), [*CLIP[:-1], float("nan")]],
        [header(), [*CLIP[:-1], float("inf")]],
        [header(), [*CLIP[:-1], -1.0]],
    ],
    ids=lambda values: str(values)[-40:],
)
def test_what_is_no_catalogue_is_rejected(tmp_path, values):
    with pytest.raises(UsageError, match="no catalogue of prepared clips"):
        read_catalogue(named(tmp_path, lines(*values)))


@pytest.mark.parametrize(
    "shard", ["../clips-0.safetensors", "/etc/x.safetensors", "x/y.safetensors", "..", "", "a.txt"]
)
def test_shards_outside_the_folder_are_rejected(tmp_path, shard):
    with pytest.raises(UsageError, match="a shard that is none, or outside its folder"):
        read_catalogue(named(tmp_path, lines(header(shards=[shard]), CLIP)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(st.lists(JSON, min_size=1, max_size=3))
def test_no_lines_make_reading_fail_otherwise(tmp_path_factory, clips):
    path = named(tmp_path_factory.getbasetemp() / "catalogues", lines(header(), *clips))
    with pytest.raises(UsageError, match="no catalogue"):
        read_catalogue(path)


@given(st.binary(max_size=100))
def test_no_bytes_make_reading_fail_otherwise(tmp_path_factory, content):
    path = named(tmp_path_factory.getbasetemp() / "catalogues", content)
    with pytest.raises(UsageError, match="no catalogue"):
        read_catalogue(path)


def test_a_catalogue_cut_at_any_byte_is_noticed(tmp_path):
    whole = lines(header(), CLIP, CLIP)
    path = named(tmp_path, whole)
    for length in range(len(whole)):
        put(tmp_path / path, whole[:length])
        with pytest.raises(UsageError, match="not the one its name was given for"):
            read_catalogue(path)


def test_a_catalogue_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        read_catalogue(str(tmp_path / "catalogue-0.jsonl"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x/catalogue-0.jsonl", True),
        ("https://a.org/x/catalogue-0.jsonl?key=a/b", True),
        ("x/catalogue-0.csv", False),
        ("https://a.org/catalogue-0/x.jsonl", False),
        ("catalogue-0.jsonl/x.tar", False),
    ],
)
def test_a_catalogue_is_known_by_its_name(source, expected):
    assert is_catalogue(source) is expected


def test_clips_too_short_for_a_window_can_be_left_out(tmp_path):
    catalogue = Catalogue(PreparationConfig(), str(tmp_path), SHARDS)
    for number, split in enumerate(["train", "valid", "train", "train"]):
        place = dataclasses.replace(PLACE, mel_frames=62 + number)
        catalogue.add(f"{number}", None, split, place)
    assert catalogue.numbers("train") == [0, 2, 3]
    assert catalogue.numbers("train", "valid", mel_frames=63) == [1, 2, 3]
    assert catalogue.numbers("test") == []


def test_a_clip_takes_under_two_hundred_bytes(tmp_path):
    tracemalloc.start()
    catalogue = Catalogue(PreparationConfig(), str(tmp_path), SHARDS)
    for number in range(5000):
        catalogue.add(f"train/dog barking/{number:011d}.mp4", f"dog {number % 9}", "train", PLACE)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / 5000 < 200

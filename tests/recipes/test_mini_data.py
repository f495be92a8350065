import io
import sys
from pathlib import Path

import data
import numpy as np
import pytest
from clip_data import read_lines
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

TAKE = st.integers(900, 3000)


def takes(lengths):
    """Recordings that can be told apart: each is full of its own number."""
    return [({"path": str(i)}, np.full(n, i, np.float32)) for i, n in enumerate(lengths)]


@pytest.mark.parametrize(
    ("text", "indices"),
    [("", []), ("7", [7]), ("7 151-153", [7, 151, 152, 153]), ("3-3 9", [3, 9])],
)
def test_class_indices_are_numbers_and_spans(text, indices):
    assert data.class_indices(text) == indices


@given(st.lists(TAKE, min_size=2, max_size=12))
def test_no_recording_is_both_learned_and_held_out(lengths):
    splits = data.split_takes("cat", takes(lengths))
    result = {split: {int(take[0]) for take in chosen} for split, chosen in splits.items()}
    assert not result["train"] & (result.get("valid", set()) | result.get("test", set()))
    assert set().union(*result.values()) == {i for i, n in enumerate(lengths) if n > 1000}


def test_of_equal_recordings_none_is_both_learned_and_held_out():
    same = [(row, np.zeros(2000, np.float32)) for row, _ in takes([2000] * 6)]
    splits = data.split_takes("cat", same)
    held = {id(take) for take in splits["test"]}
    assert (len(splits["train"]), len(held)) == (4, 2)
    assert not held & {id(take) for take in splits["train"]}


def test_a_lone_long_recording_is_split_in_time_without_overlap():
    whole = np.arange(data.LONG, dtype=np.float32)
    splits = data.split_takes("rain", [({"path": "rain"}, whole)])
    parts = [splits[split][0] for split in ("train", "valid", "test")]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(parts[0]) == int(0.7 * data.LONG)


def test_of_a_lone_short_recording_and_of_one_take_nothing_is_held_out():
    assert set(data.split_takes("bee", takes([5000]))) == {"train"}
    assert set(data.split_takes("chicken", takes([5000, 6000]))) == {"train"}


def test_the_split_does_not_depend_on_the_order_of_the_table():
    rows = takes([2000, 3000, 4000, 5000, 6000])
    for split, chosen in data.split_takes("cat", rows).items():
        again = data.split_takes("cat", rows[::-1])[split]
        assert [len(take) for take in chosen] == [len(take) for take in again]


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("animals/cats/gatto_cat_architetto_fra_01.png", "gatto cat architetto, cats"),
        ("sea_life/shark2.png", "shark, sea life"),
        ("a/01.png", ""),
    ],
)
def test_a_title_is_made_of_name_and_folder(path, title):
    assert data.title_of(Path(path)) == title


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("rcc:gcompris/cat.webp", "unpacked/rcc/gcompris/cat.webp"),
        ("cbdt:1f408", "unpacked/emoji/1f408.png"),
        ("usr/share/cat.png", "pkg/stamps/usr/share/cat.png"),
    ],
)
def test_a_row_of_the_tables_is_found_where_it_was_unpacked(path, place):
    row = {"package": "stamps", "path": path}
    assert data.locate(Path("pkg"), Path("unpacked"), row) == Path(place)


def test_an_image_is_saved_on_white_within_its_size(tmp_path):
    Image.new("RGBA", (400, 100), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert data.save_picture(tmp_path / "clear.png", tmp_path / "a" / "b.png", 200)
    with Image.open(tmp_path / "a" / "b.png") as saved:
        assert (saved.size, saved.getpixel((5, 5))) == ((200, 50), (255, 255, 255))


def test_what_is_no_image_is_left_out(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    assert not data.save_picture(tmp_path / "x.png", tmp_path / "y.png", 200)
    assert not (tmp_path / "y.png").exists()


def test_a_step_is_done_once_and_whole_or_not_at_all(tmp_path):
    def fail(out):
        out.write_text("half")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        data.step(tmp_path / "made", fail)
    assert not (tmp_path / "made").exists()
    data.step(tmp_path / "made", lambda out: out.write_text("whole"))
    data.step(tmp_path / "made", fail)
    assert (tmp_path / "made").read_text() == "whole"


def test_lines_are_read_as_they_were_written(tmp_path):
    rows = [{"label": "дождь", "n": 1}, {"label": 'a "b"\n', "n": 2}]
    data.write_lines(tmp_path / "x.jsonl", rows)
    assert read_lines(tmp_path / "x.jsonl") == rows


def test_a_missing_program_is_reported_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(data.shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["data.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="fluidsynth is missing: apt-get install fluidsynth"):
        data.main()


def test_a_drawing_is_what_the_program_gives(monkeypatch):
    monkeypatch.setattr(data, "run", lambda command, *, keep: " ".join(command).encode())
    made = data.rasterise(Path("x.svg"), 64)
    assert isinstance(made, io.BytesIO)
    assert made.read() == b"rsvg-convert --keep-aspect-ratio --width 64 --height 64 x.svg"

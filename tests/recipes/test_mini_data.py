import io
import sys
from pathlib import Path

import data
import pytest
from clip_data import read_lines
from PIL import Image


@pytest.mark.parametrize(
    ("text", "indices"),
    [("", []), ("7", [7]), ("7 151-153", [7, 151, 152, 153]), ("3-3 9", [3, 9])],
)
def test_class_indices_are_numbers_and_spans(text, indices):
    assert data.class_indices(text) == indices


def test_a_split_has_as_many_clips_however_they_are_made():
    for kind in ("recorded", "effect", "mono", "perc"):
        for split, count in data.SPLITS.items():
            recorded, rendered = data.numbers(kind, split, has_takes=True)
            assert sorted(recorded + rendered) == list(range(count))
    assert data.numbers("recorded", "test", has_takes=False) == ([], [])
    assert data.numbers("mono", "train", has_takes=False) == ([], list(range(40)))


def test_recordings_are_the_smaller_part_of_an_instruments_clips_and_half_of_an_effects():
    for kind, share in (("mono", 4), ("effect", 2)):
        recorded, rendered = data.numbers(kind, "train", has_takes=True)
        assert len(recorded) * share == len(recorded) + len(rendered)


def test_recordings_of_an_instrument_are_trained_on_alone():
    takes = [({"package": name, "author": "", "split_0_1": ""}, None) for name in "ab"]
    split = data.takes_by_split({"kind": "poly"}, takes)
    assert split == {"train": takes, "valid": [], "test": []}


def test_every_second_clip_is_of_the_packages_in_turn(monkeypatch):
    monkeypatch.setattr(data.render, "arrange", lambda chosen, _: "".join(chosen))
    takes = [({"package": name}, name) for name in "aab"]
    made = [data.arranged("x", count, takes) for count in range(6)]
    assert made == ["aab", "aa", "aab", "b", "aab", "aa"]


@pytest.mark.parametrize(
    ("code_point", "name"),
    [("1f408", "cat"), ("1f1e6", ""), ("0", ""), ("1f469-200d-1f373", "")],
)
def test_an_emoji_of_a_thing_has_its_name(code_point, name):
    assert data.emoji_name(code_point) == name


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


def test_photographs_are_copied_by_number_and_one_that_is_none_stops_the_step(
    tmp_path, monkeypatch
):
    folder = tmp_path / "pkg" / "pictures"
    folder.mkdir(parents=True)
    Image.new("RGB", (1600, 800), "red").save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"not a picture")
    table = [{"package": "pictures", "path": "a.png"}]
    monkeypatch.setattr(data.packages, "rows", lambda name: table * (name == data.PHOTOGRAPHS))
    data.photos(tmp_path, tmp_path / "photos")
    with Image.open(tmp_path / "photos" / "0.jpg") as photograph:
        assert photograph.size == (1024, 512)
    table.append({"package": "pictures", "path": "b.jpg"})
    with pytest.raises(SystemExit, match=r"b\.jpg is no picture: was pictures updated\?"):
        data.photos(tmp_path, tmp_path / "photos")

"""What is particular to single formats."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_media import clips_of, put

from clipsonic_cli.data.clip_list import COLUMNS
from clipsonic_cli.data.vggsound import spellings
from clipsonic_cli.errors import UsageError


def rows(path: Path) -> dict[str, object]:
    return {clip.id: clip for clip in clips_of(str(path))}


def test_a_folder_names_the_label_and_none_is_fine(make, tmp_path):
    clips = rows(make["folder"](tmp_path))
    labels = {name: clip.label for name, clip in clips.items()}
    assert labels["dog/a.mp4"] == "dog"
    assert labels["d.mp4"] is None


def test_loops_of_links_end_and_linked_folders_are_read(make, tmp_path):
    root = make["folder"](tmp_path / "data")
    put(tmp_path / "elsewhere/far.mp4", b"x")
    (root / "dog/up").symlink_to(root)
    (root / "self.mp4").symlink_to(root / "self.mp4")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    clips = rows(root)
    assert clips["link/far.mp4"].label == "link"
    assert "already" in clips["dog/up"].problem
    assert len(clips) == 7


def test_images_and_audio_files_without_each_other_have_a_problem(make, tmp_path):
    root = make["pairs"](tmp_path)
    put(root / "lonely.png", b"x")
    put(root / "alone.wav", b"x")
    put(root / "c.ogg", b"x")
    problems = {name: clip.problem for name, clip in rows(root).items()}
    assert problems["lonely.png"] == "no audio file of its name"
    assert problems["alone.wav"] == "no image of its name"
    # Of two audio files the first by name is the image's.
    assert problems["c.wav"] == "another audio file has the same name"


def test_a_manifests_columns_arrive(tmp_path):
    row = {"media": "ä/b.png", "sound": "c.wav", "label": "x, y", "split": "val"}
    row |= {"start": 1.5, "seconds": "2"}
    put(tmp_path / "manifest.jsonl", json.dumps(row).encode())
    [clip] = rows(tmp_path).values()
    assert (clip.media, clip.sound) == (tmp_path / "ä/b.png", tmp_path / "c.wav")
    assert (clip.id, clip.label, clip.split) == ("ä/b.png@1.5", "x, y", "valid")
    assert (clip.start, clip.seconds) == (1.5, 2.0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("/etc/passwd,", "outside"),
        ("a/../../b.mp4,", "outside"),
        (r"C:\x.mp4,", "outside"),
        (",1", "there is no file's name"),
        ("a.mp4,-1", "start is"),
        ("a.mp4,nan", "start is"),
        ("a.mp4,soon", "start is"),
        ("a.mp4,1,2", "3 cells for 2 columns"),
        ('a.mp4,"1,5"', "write '.' for the comma"),
    ],
)
def test_a_row_that_makes_no_sense_costs_that_row(tmp_path, row, problem):
    put(tmp_path / "list.csv", f"media,start\n{row}\nb.mp4,2\n".encode())
    bad, good = clips_of(str(tmp_path / "list.csv"))
    assert (bad.id, good.id) == ("list.csv:2", "b.mp4@2")
    assert problem in bad.problem
    assert good.problem is None


def test_a_manifest_with_an_unknown_column_is_rejected(tmp_path):
    put(tmp_path / "list.csv", b"media,lable\na.mp4,dog\n")
    with pytest.raises(UsageError, match=r"Unknown column 'lable'. Did you mean 'label'"):
        rows(tmp_path / "list.csv")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"media,start\n", b'{"media":']))
def test_no_manifest_makes_the_program_crash(tmp_path, content, head):
    for name in ("list.csv", "list.jsonl"):
        put(tmp_path / name, head + content)
        with suppress(UsageError):
            list(clips_of(str(tmp_path / name), format="manifest"))


value = st.one_of(st.none(), st.text(max_size=20), st.integers(), st.floats(), st.booleans())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=st.dictionaries(st.sampled_from(COLUMNS), value))
def test_any_values_of_a_row_give_a_clip_inside_the_folder(tmp_path, row):
    put(tmp_path / "list.jsonl", json.dumps(row).encode())
    [clip] = rows(tmp_path / "list.jsonl").values()
    assert clip.problem or clip.media.resolve().is_relative_to(tmp_path.resolve())


def test_vggsound_keeps_its_split_its_commas_and_both_starts_of_a_video(make, tmp_path):
    root = make["vggsound"](tmp_path)
    with (root / "vggsound.csv").open("a") as file:
        file.write("---g-f_I2yQ,40,rain,train\nbroken,row\n")
    clips = rows(root)
    assert clips["---g-f_I2yQ@1"].label == "people, crowd"
    assert [clip.split for clip in clips.values()][:3] == ["test", "train", "train"]
    assert clips["---g-f_I2yQ@40"].problem == "not found"
    assert clips["vggsound.csv:4"].problem


@pytest.mark.parametrize("name", spellings("-a_b-cdefgh", 30))
def test_vggsounds_clips_are_found_in_every_spelling(tmp_path, name):
    put(tmp_path / "vggsound.csv", b"-a_b-cdefgh,30,dog,train\n")
    put(tmp_path / f"train/{name}.webm", b"x")
    [clip] = rows(tmp_path).values()
    assert (clip.media.stem, clip.start, clip.seconds) == (name, 0.0, None)


@pytest.mark.parametrize("digits", [8, 400, 5000])
def test_a_start_that_no_video_has_is_reported_with_its_line(tmp_path, digits):
    rest = f"-a_b-cdefgh,{'9' * digits},dog,train\n"
    put(tmp_path / "vggsound.csv", f"-a_b-cdefgh,30,dog,train\n{rest}".encode())
    assert "no row" in rows(tmp_path)["vggsound.csv:2"].problem


def test_a_manifest_is_not_taken_for_vggsound(tmp_path):
    put(tmp_path / "manifest.csv", b"media,start,label,split\na.mp4,10,dog,train\n")
    assert list(rows(tmp_path)) == ["a.mp4@10"]


def test_a_header_that_a_mirror_added_is_passed_over(tmp_path):
    put(tmp_path / "vggsound.csv", b"youtube_id,start,label,split\n-a_b-cdefgh,30,dog,train\n")
    assert list(rows(tmp_path)) == ["-a_b-cdefgh@30"]


def test_a_whole_video_of_vggsound_is_cut_to_its_ten_seconds(tmp_path):
    put(tmp_path / "vggsound.csv", b"-a_b-cdefgh,30,dog,train\n")
    put(tmp_path / "-a_b-cdefgh.mp4", b"x")
    [clip] = rows(tmp_path).values()
    assert (clip.start, clip.seconds) == (30, 10)


def test_musics_underscores_become_blanks_and_lost_videos_are_reported(make, tmp_path):
    root = make["music"](tmp_path)
    (root / "b.mp4").unlink()
    clips = rows(root)
    assert clips["a-_1"].label == "acoustic guitar"
    assert clips["b"].problem == "not found"


def test_two_lists_of_music_in_a_folder_must_be_reported_apart(make, tmp_path):
    root = make["music"](tmp_path)
    put(root / "MUSIC21.json", (root / "MUSIC_solo_videos.json").read_bytes())
    with pytest.raises(UsageError, match=r"one JSON of MUSIC's \(MUSIC21.json, MUSIC_solo"):
        rows(root)
    assert len(rows(root / "MUSIC21.json")) == 3

"""Which format a folder is read in, decided by all its files, and what is left out of it."""

import pytest
from make_media import put, write_tar

from clipsonic_cli.data.listing import find_format, list_clips
from clipsonic_cli.errors import UsageError

DOWNLOADS = ["a.mp4", "a.m4a", "a.jpg", "b.mp4", "b.m4a", "b.webp", "a.info.json", "b.en.vtt"]


def lay(root, names):
    for name in names:
        put(root / name, b"x")
    return str(root)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (DOWNLOADS, "folder"),
        (["a.mp4", "Thumbs.db", "notes.tar"], "folder"),
        (["a.jpg", "a.wav", "b.jpg", "b.wav", "zz.mp4"], "pairs"),
        (["0.jpg", "0.wav", "a.mp4", "b.mp4"], "folder"),
        (["a.gif", "b.gif"], "folder"),
        (["a.gif", "a.wav"], "pairs"),
        (["dog/a.png", "cat/a.wav", "dog/a.mp4"], "folder"),
    ],
)
def test_most_files_decide_the_format(tmp_path, names, expected):
    assert find_format(lay(tmp_path, names)) == expected


def test_archives_decide_by_the_clips_they_hold(tmp_path):
    write_tar(tmp_path / "000.tar", {"a.mp4": b"x", "b.mp4": b"x"})
    put(tmp_path / "sample.mp4", b"x")
    assert find_format(str(tmp_path)) == "shards"
    lay(tmp_path, ["b.mp4", "c.mp4"])
    assert find_format(str(tmp_path)) == "folder"


@pytest.mark.parametrize(
    ("name", "content"),
    [("manifest.csv", b"media\ngone.mp4\n"), ("x.csv", b"gone,3,dog,train\n")],
)
def test_a_list_of_files_that_are_not_there_does_not_decide(tmp_path, name, content):
    put(tmp_path / name, content)
    put(tmp_path / "here.mp4", b"x")
    assert find_format(str(tmp_path)) == "folder"


def test_the_guess_is_reported_with_its_counts_and_the_cure(tmp_path):
    listing = list_clips(lay(tmp_path, DOWNLOADS))
    assert listing.notes[0] == (
        "found 2 videos, 2 audio files, 2 images, 2 other files: reading as a folder of videos; "
        "`data_format` pairs reads images and audio files of the same name (2)"
    )
    assert [clip.id for clip in listing.clips] == ["a.mp4", "b.mp4"]
    assert set(listing.left_out.values()) == {"goes with the video of its name"}
    assert listing.notes[1].startswith("left out 6 files: goes with the video of its name (6: '")


def test_a_named_format_is_not_a_guess_and_still_says_what_it_leaves_out(tmp_path):
    listing = list_clips(lay(tmp_path, ["a.jpg", "a.wav", "v.mp4"]), format="pairs")
    assert listing.notes[0] == "left out 1 file: not an image or audio by its name (1: 'v.mp4')"


def test_it_is_reported_that_no_clips_are_for_testing_where_the_data_state_no_splits(tmp_path):
    put(tmp_path / "a.csv", b"media\na.mp4\n")
    put(tmp_path / "b.csv", b"media,split\na.mp4,train\n")
    put(tmp_path / "c.csv", b"media\n" + b"".join(b"%d.mp4\n" % k for k in range(100)))
    notes = [list_clips(str(tmp_path / name)).notes for name in ("a.csv", "b.csv", "c.csv")]
    assert [len(lines) for lines in notes] == [1, 0, 0]
    assert notes[0][0].startswith("no clips are held out for testing")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.f137.mp4", "a part of a download"),
        ("a.temp.mp4", "a part of a download"),
        ("b.mp4.part", "a part of a download"),
        ("notes.txt", "not a video by its name"),
        ("old.zip", "not a video by its name"),
        (".secret.mp4", "hidden"),
        (".git/config", "hidden"),
        ("a.description", "goes with the video of its name"),
    ],
)
def test_every_file_left_out_has_its_reason(tmp_path, name, reason):
    listing = list_clips(lay(tmp_path, ["a.mp4", name]))
    assert listing.left_out == {name.removesuffix("/config"): reason}
    assert [clip.id for clip in listing.clips] == ["a.mp4"]


def test_files_that_systems_keep_for_themselves_are_no_matter(tmp_path):
    listing = list_clips(lay(tmp_path, ["a.mp4", "._a.mp4", ".DS_Store"]))
    assert not listing.left_out


def test_a_stream_that_was_never_joined_is_a_video(tmp_path):
    assert [clip.id for clip in list_clips(lay(tmp_path, ["a.f137.mp4"])).clips] == ["a.f137.mp4"]


def test_videos_that_a_list_does_not_name_are_reported(tmp_path):
    put(tmp_path / "manifest.csv", b"media\na.mp4\n")
    listing = list_clips(lay(tmp_path, ["a.mp4", "b.mp4"]))
    assert listing.format == "manifest"
    assert listing.left_out == {"b.mp4": "not in the list"}


def test_a_folder_without_videos_says_what_is_there(tmp_path):
    with pytest.raises(UsageError, match=r"holds no videos: found 1 audio file, 1 other file\."):
        find_format(lay(tmp_path, ["a.wav", "b.txt"]))


def test_columns_of_a_list_that_are_not_used_are_reported(tmp_path):
    put(tmp_path / "a.csv", b"Path;Caption;uploader\na.mp4;dog;me\n")
    put(tmp_path / "a.mp4", b"x")
    listing = list_clips(str(tmp_path / "a.csv"))
    assert [clip.label for clip in listing.clips] == ["dog"]
    assert listing.notes[0] == "columns not used: uploader"


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_names_alone_are_a_list(tmp_path, name):
    put(tmp_path / name, b"a.mp4\r\nsub\\b.mp4\r\n")
    put(tmp_path / "sub/b.mp4", b"x")
    assert [clip.id for clip in list_clips(str(tmp_path / name)).clips] == ["a.mp4", "sub/b.mp4"]


def test_folders_whose_names_are_no_words_are_no_labels_and_reported(tmp_path):
    listing = list_clips(lay(tmp_path, ["dog/a.mp4", "---/b.mp4", "caf\udce9/c.mp4"]))
    assert {clip.id: clip.label for clip in listing.clips} == {
        "dog/a.mp4": "dog",
        "---/b.mp4": None,
        "caf\\udce9/c.mp4": None,
    }
    assert listing.notes[1].startswith("no label for 2 clips: '---', 'caf\\udce9' has no word")


@pytest.mark.parametrize("name", ["vggsound", "music", "manifest"])
def test_lists_of_gigabytes_are_not_read(tmp_path, name):
    path = tmp_path / ("list.json" if name == "music" else "list.csv")
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UsageError):
        list_clips(str(path), format=name)

"""What every reader promises, tried on each of the registry."""

import pickle

import pytest
from make_media import clips_of, put, read_samples

from clipsonic_cli.data import READERS
from clipsonic_cli.data.media import read_frames
from clipsonic_cli.errors import UsageError

every_format = pytest.mark.parametrize("name", list(READERS))


@every_format
def test_a_format_is_found_without_being_named(name, make, tmp_path):
    source = str(make[name](tmp_path))
    assert list(clips_of(source)) == list(clips_of(source, format=name))


@every_format
def test_ids_are_unique_and_the_order_is_always_the_same(name, make, tmp_path):
    clips = list(clips_of(str(make[name](tmp_path))))
    assert len({clip.id for clip in clips}) == len(clips) >= 2
    assert list(clips_of(str(tmp_path))) == clips


@every_format
def test_ids_and_splits_do_not_depend_on_where_the_data_lie(name, make, tmp_path):
    here, there = (make[name](tmp_path / where) for where in ("here", "there"))
    listed = [[(clip.id, clip.split) for clip in clips_of(str(at))] for at in (here, there)]
    assert listed[0] == listed[1]


@every_format
def test_clips_of_one_video_share_a_split(name, make, tmp_path):
    splits: dict[str, set[str]] = {}
    for clip in clips_of(str(make[name](tmp_path))):
        splits.setdefault(clip.video, set()).add(clip.split)
    assert all(len(split) == 1 and split <= {"train", "valid", "test"} for split in splits.values())


@every_format
def test_every_clip_is_whole_and_travels_to_other_processes(name, make, tmp_path):
    for clip in clips_of(str(make[name](tmp_path))):
        clip = pickle.loads(pickle.dumps(clip))
        assert clip.problem is None
        assert len(read_samples(clip, 16_000)) >= 16_000
        assert next(read_frames(clip, [0.0])).mode == "RGB"


@every_format
def test_a_missing_folder_is_one_clear_line(name, tmp_path):
    with pytest.raises(UsageError, match=r"no data at '.*nowhere'") as caught:
        list(clips_of(str(tmp_path / "nowhere"), format=name))
    assert "\n" not in str(caught.value)


@every_format
def test_an_empty_folder_is_one_clear_line(name, tmp_path):
    with pytest.raises(UsageError, match=r"hold") as caught:
        list(clips_of(str(tmp_path), format=name))
    assert "\n" not in str(caught.value)


@every_format
def test_another_kind_of_file_is_one_clear_line(name, tmp_path):
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(UsageError) as caught:
        list(clips_of(str(tmp_path / "page.html"), format=name))
    assert "\n" not in str(caught.value)


def test_a_file_of_no_format_is_rejected_with_the_known_ones(tmp_path):
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(UsageError, match=r"no known data format.*vggsound.*folder"):
        clips_of(str(tmp_path / "page.html"))


def test_an_unknown_format_is_rejected_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'folder'"):
        clips_of(".", format="foldr")


def test_more_videos_move_none_to_another_split(make, video, tmp_path):
    root = make["folder"](tmp_path)
    before = {clip.id: clip.split for clip in clips_of(str(root))}
    put(root / "cat" / "aaa.mp4", video.read_bytes())
    after = {clip.id: clip.split for clip in clips_of(str(root))}
    assert before.items() < after.items()


def test_a_repeated_id_is_listed_with_its_problem(tmp_path):
    (tmp_path / "manifest.csv").write_text("media\na.mp4\na.mp4\na.mp4\n")
    clips = list(clips_of(str(tmp_path)))
    assert [clip.id for clip in clips] == ["a.mp4", "a.mp4 (2)", "a.mp4 (3)"]
    assert [clip.problem is None for clip in clips] == [True, False, False]

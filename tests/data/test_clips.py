"""What every reader promises, tried on each of the registry."""

import pickle
from collections import Counter
from pathlib import Path

import pytest
from make_media import clips_of, read_samples

from clipsonic_cli.data import READERS
from clipsonic_cli.data.clips import drawn, hold_out, with_splits
from clipsonic_cli.data.media import read_frames
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip

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
    (root / "aaa.mp4").write_bytes(video.read_bytes())
    after = {clip.id: clip.split for clip in clips_of(str(root))}
    assert before.items() < after.items()


def made(*names: str, **fields) -> list[Clip]:
    return [Clip(id=name, media=Path(name), **fields) for name in names]


def splits_of(clips: list[Clip]) -> dict[str, str | None]:
    return {clip.id: clip.split for clip in clips}


def test_one_in_ten_videos_is_for_testing_and_the_seed_decides_which():
    clips = made(*(f"video {number}" for number in range(20_000)))
    splits = [[clip.split == "test" for clip in with_splits(clips, seed=seed)] for seed in (0, 1)]
    # Standard deviation 0.0021; both seeds would agree on 82 % by chance.
    assert all(abs(sum(split) / len(clips) - 0.1) < 0.01 for split in splits)
    agree = sum(a == b for a, b in zip(*splits, strict=True)) / len(clips)
    assert abs(agree - 0.82) < 0.015


def test_the_split_of_a_name_is_fixed_for_ever():
    assert drawn("violin", "0") == pytest.approx(0.1562382561, abs=1e-9)


def test_holding_out_takes_from_training_alone():
    clips = [*made(*map(str, range(2000)), split="train"), *made("a", "b", "c", split="test")]
    held = Counter(clip.split for clip in hold_out(clips, share=0.05, seed=0))
    assert held["test"] == 3
    assert 70 < held["valid"] < 130


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_the_draw_decides_but_never_takes_the_last_video_from_training(count):
    clips = [clip for k in range(count) for clip in made(f"{k}.mp4@0", f"{k}.mp4@10")]
    met = Counter()
    for seed in range(1000):
        test = {clip.id for clip in clips if drawn(clip.video, f"{seed}") < 0.1}
        split = with_splits(clips, seed=seed)
        tested = {clip.id for clip in split if clip.split == "test"}
        spared = len(test) == 2 * count
        assert len(test - tested) == 2 * spared  # both clips of a video
        assert tested <= test
        held = hold_out(split, share=0.5, seed=seed)
        assert {"train"} <= {clip.split for clip in held} <= {"train", "valid", "test"}
        met.update(spared=spared, held=any(clip.split == "valid" for clip in held))
    assert bool(met["spared"]) == (count < 3)
    assert bool(met["held"]) == (count > 1)


def test_of_videos_that_are_all_drawn_the_one_that_was_drawn_last_is_trained_on():
    numbers = {name: drawn(name, "0") for name in map(str, range(100))}
    low = sorted((name for name in numbers if numbers[name] < 0.1), key=numbers.__getitem__)
    assert len(low) > 2
    split = splits_of(with_splits(made(*low), seed=0))
    assert split == dict.fromkeys(low, "test") | {low[-1]: "train"}
    broken = [*made(*low[:-1]), *made(low[-1], problem="no audio")]
    split = splits_of(with_splits(broken, seed=0))
    assert split == dict.fromkeys(low, "test") | {low[-2]: "train"}


def test_where_splits_are_stated_they_are_kept():
    stated = made("a", "b", split="test")
    assert with_splits(stated, seed=0) == stated
    low = next(name for name in map(str, range(100)) if drawn(name, "0") < 0.1)
    for others, split in ((made("a", split="train"), "test"), (stated, "train")):
        assert splits_of(with_splits([*others, *made(low)], seed=0))[low] == split


def test_a_repeated_id_is_listed_with_its_problem(tmp_path):
    (tmp_path / "manifest.csv").write_text("media\na.mp4\na.mp4\na.mp4\n")
    clips = list(clips_of(str(tmp_path)))
    assert [clip.id for clip in clips] == ["a.mp4", "a.mp4 (2)", "a.mp4 (3)"]
    assert [clip.problem is None for clip in clips] == [True, False, False]

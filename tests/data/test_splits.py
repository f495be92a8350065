"""Splits are drawn by name and seed, and every label that has enough videos is in each."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from clipsonic_cli.data.splits import SplitDraw, drawn, with_splits
from clipsonic_cli.types import Clip


def made(*names: str, **fields) -> list[Clip]:
    return [Clip(id=name, media=Path(name), **fields) for name in names]


def splits_of(clips: list[Clip]) -> dict[str, str | None]:
    return {clip.id: clip.split for clip in clips}


@pytest.mark.parametrize(
    ("how", "shares"),
    [
        ({}, (0.1, 0.9 * 0.05)),
        ({"test_share": 0.3, "valid_share": 0.2}, (0.3, 0.7 * 0.2)),
        ({"test_share": 0.0}, (0, 0.05)),
        ({"valid_share": 0.0}, (0.1, 0)),
    ],
)
def test_shares_of_the_videos_are_held_out_and_the_seed_decides_which(how, shares):
    clips = made(*(f"video {number}" for number in range(20_000)))
    draws = [
        [clip.split for clip in with_splits(clips, SplitDraw(seed=seed, **how))] for seed in (0, 1)
    ]
    for split, share in zip(("test", "valid"), shares, strict=True):
        # Standard deviation at most 0.0033.
        assert all(abs(draw.count(split) / len(clips) - share) < 0.015 for draw in draws)
        both = sum(a == b == split for a, b in zip(*draws, strict=True)) / len(clips)
        assert abs(both - share**2) < 0.01


def test_the_split_of_a_name_is_fixed_for_ever():
    assert drawn("violin", "0") == pytest.approx(0.1562382561, abs=1e-9)


@pytest.mark.parametrize("videos", [2, 3, 4, 5, 30])
def test_every_label_of_two_videos_is_trained_on_and_tested_of_four_validated(videos):
    labels = ("dog", "cat", None)
    clips = [
        clip
        for label in labels
        for k in range(videos)
        for clip in made(f"{label}{k}@0", f"{label}{k}@10", label=label)
    ]
    for seed in range(200):
        how = SplitDraw(seed=seed, test_share=0.1 if seed % 2 else 0.8)
        split = with_splits(clips, how)
        for label in labels:
            count = Counter(clip.split for clip in split if clip.label == label)
            assert count["train"] >= 2
            assert count["test"] >= 2  # both clips of a video
            assert bool(count["valid"]) or videos < 4


@pytest.mark.parametrize(("videos", "trained"), [(4, 2), (5, 3), (10, 5), (20, 10)])
def test_a_label_of_few_videos_keeps_most_for_training(videos, trained):
    clips = made(*map(str, range(videos)), label="dog")
    for seed in range(300):
        split = Counter(clip.split for clip in with_splits(clips, SplitDraw(seed=seed)))
        assert split["train"] >= trained


@pytest.mark.parametrize("split", ["test", "valid"])
def test_a_share_of_zero_holds_none_out(split):
    clips = made(*map(str, range(50)), label="dog")
    drawn_splits = {clip.split for clip in with_splits(clips, SplitDraw(**{f"{split}_share": 0}))}
    assert drawn_splits == {"train", "valid", "test"} - {split}


def test_videos_that_come_move_few_others():
    moved = Counter()
    for seed in range(50):
        clips = made(*map(str, range(30)), label="dog")
        draws = [splits_of(with_splits(clips[:n], SplitDraw(seed=seed))) for n in range(4, 31)]
        for before, after in itertools.pairwise(draws):
            moved[sum(before[name] != after[name] for name in before)] += 1
    assert max(moved) <= 3
    assert moved[0] > 0.8 * moved.total()


def test_all_labels_of_one_video_are_never_all_held_out():
    numbers = {name: drawn(name, "0") for name in map(str, range(100))}
    low = sorted((name for name in numbers if numbers[name] < 0.1), key=numbers.__getitem__)
    assert len(low) > 2
    alone = [clip for name in low for clip in made(name, label=name)]
    split = splits_of(with_splits(alone, SplitDraw()))
    assert split == dict.fromkeys(low, "test") | {low[-1]: "train"}
    broken = [*alone[:-1], *made(low[-1], label=low[-1], problem="no audio")]
    split = splits_of(with_splits(broken, SplitDraw()))
    assert split == dict.fromkeys(low, "test") | {low[-2]: "train"}


def test_clips_that_cannot_be_used_count_for_no_label():
    broken = made("a", "b", "c", label="dog", problem="not found")
    for seed in range(100):
        split = splits_of(with_splits([*made("d", label="dog"), *broken], SplitDraw(seed=seed)))
        assert split["d"] == "train"
        assert (split["a"] == "test") == (drawn("a", f"{seed}") < 0.1)


def test_where_splits_are_stated_they_are_kept():
    stated = made("a", "b", split="test")
    assert with_splits(stated, SplitDraw()) == stated
    stated_valid = [*made(*map(str, range(50)), split="train"), *made("v", split="valid")]
    assert with_splits(stated_valid, SplitDraw()) == stated_valid
    low = next(name for name in map(str, range(100)) if drawn(name, "0") < 0.1)
    for others, split in ((made("a", split="train"), "test"), (stated, "train")):
        assert splits_of(with_splits([*others, *made(low)], SplitDraw()))[low] == split

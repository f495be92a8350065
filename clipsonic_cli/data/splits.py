"""Draw the splits that a data set does not state."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from clipsonic_cli import ranges
from clipsonic_cli.ranges import check_fields
from clipsonic_cli.types import Clip, Split

ENOUGH = 4
"""Videos of a label from which on one is for validation."""
EXCESS = 0.25
"""By how much the share that is drawn of a label may exceed the requested one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDraw:
    """How splits are drawn where a data set does not state them.

    A share out of its range is a UsageError.
    """

    seed: int = 0
    test_share: float = 0.1
    """Share of the videos that is for testing (CLIPSonic section 3, "Data", for MUSIC)."""
    valid_share: float = 0.05
    """Share of the remaining videos that is for validation."""

    def __post_init__(self) -> None:
        check_fields(self, ranges.SPLITS, "`{}`")


def same_test_clips(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two draws, as dictionaries, hold out the same clips for testing."""
    return all(a.get(name) == b.get(name) for name in ("seed", "test_share"))


def with_splits(clips: Sequence[Clip], how: SplitDraw) -> list[Clip]:
    """Draw the splits that a data set does not state.

    Clips without a split are for testing or training; where no split "valid" is stated, some of
    those for training are for validation. A video's name and the seed decide, so that clips that
    come or go move few others. But whatever is drawn, a label of two videos has one for training
    and one for testing, one of :data:`ENOUGH` has one for validation too, and some video is for
    training. A share of 0 draws none.
    """
    # Draw.
    valid_share = 0.0 if any(clip.split == "valid" for clip in clips) else how.valid_share
    salt = f"{how.seed}"
    tested, validated = set[str](), set[str]()
    for videos in _by_label(clip for clip in clips if clip.split is None):
        count, several = len(videos), len(videos) > 1
        spare = several + bool(valid_share and count >= ENOUGH)
        tested |= _drawn_from(videos, how.test_share, salt, least=several, most=count - spare)
    for videos in _by_label(clip for clip in clips if clip.split in (None, "train")):
        left, several = videos - tested, len(videos) > 1
        least, most = len(videos) >= ENOUGH, len(left) - several
        validated |= _drawn_from(left, valid_share, f"{salt} valid", least=least, most=most)

    # Spare one to train on.
    usable = {c.video for c in clips if c.split in (None, "train") and c.problem is None}
    if usable and usable <= tested | validated:
        spared = max(usable, key=lambda video: (video in validated, drawn(video, salt), video))
        tested.discard(spared)
        validated.discard(spared)

    # Split.
    def split_of(clip: Clip) -> Split:
        if clip.split is None and clip.video in tested:
            return "test"
        return "valid" if clip.video in validated else "train"

    return [
        replace(clip, split=split_of(clip)) if clip.split in (None, "train") else clip
        for clip in clips
    ]


def _by_label(clips: Iterable[Clip]) -> list[set[str]]:
    """Group videos by the label of their first usable clip; each without one is alone."""
    labels: dict[str, str | None] = {}
    broken = set[str]()
    for clip in clips:
        if clip.problem is None:
            labels.setdefault(clip.video, clip.label)
        else:
            broken.add(clip.video)
    groups: dict[str | None, set[str]] = defaultdict(set)
    for video, label in labels.items():
        groups[label].add(video)
    return [*groups.values(), *({video} for video in broken - labels.keys())]


def _drawn_from(videos: set[str], share: float, salt: str, *, least: int, most: int) -> set[str]:
    """Return the videos whose numbers are below a share, from ``least`` to ``most`` of them.

    Of few videos chance alone would draw too many: it draws one, or at most :data:`EXCESS` more.
    """
    if not share:
        return set()
    numbers = sorted((drawn(video, salt), video) for video in videos)
    count = sum(number < share for number, _ in numbers)
    most = min(most, max(1, int(len(videos) * (share + EXCESS))))
    return {video for _, video in numbers[: min(max(count, least), most)]}


def drawn(name: str, salt: str) -> float:
    """Return a pseudorandom number in [0, 1) that is always the same for a name and a salt."""
    digest = blake2b(name.encode(), digest_size=8, key=salt.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53

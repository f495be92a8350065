"""List the clips of a data set in a given format, and draw the splits that it does not state."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from clipsonic_cli.data import READERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import printable
from clipsonic_cli.types import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How one format is detected and listed."""

    detect: Callable[[str], bool]
    """Returns whether a source that exists, or an address, has this format; never raises."""
    read: Callable[[str], Iterator[Clip]]
    """Yields the clips of a source, always in the same order; those that cannot be used have their
    ``problem``. Raises UsageError if the source has another format after all."""


def read_clips(source: str, *, format: str) -> Iterator[Clip]:  # noqa: A002
    """List the clips of a data set with unique ids, and the splits that the data set states.

    The source is a folder, a file, or an address of shards. If it is missing, empty, or of another
    format, the call or the first clip raises a UsageError.
    """
    name = READERS.check(format)
    check_exists(source)
    reader: Reader = READERS.load(name)
    return _named(reader.read(source), source, name)


def check_exists(source: str) -> None:
    """Check that a path exists; addresses and patterns of shards pass unchecked."""
    if not is_address(source) and "{" not in source and not Path(source).exists():
        raise UsageError(f"There is no data at '{source}'; give a folder of videos.")


def is_address(source: str) -> bool:
    """Return whether a source is on the web."""
    return source.startswith(("http://", "https://"))


def with_splits(clips: Sequence[Clip], *, seed: int) -> list[Clip]:
    """Draw the splits that a data set does not state: one video in ten is for testing.

    A video's name and the seed alone decide, so that clips that come or go move no others. Only
    where that would leave nothing to train on is one of the videos drawn trained on all the same.
    Source: the share is that of CLIPSonic section 3, "Data", for MUSIC.
    """
    undecided = [clip for clip in clips if clip.split is None]
    trained = any(clip.split == "train" and clip.problem is None for clip in clips)
    tested = _drawn_from(undecided, 0.1, f"{seed}", spare=not trained)
    return [
        clip if clip.split else replace(clip, split="test" if clip.video in tested else "train")
        for clip in clips
    ]


def hold_out(clips: Sequence[Clip], *, share: float, seed: int) -> list[Clip]:
    """Move a share in [0, 1] of the training clips to "valid", by video, but never all of them.

    The draw is independent of that of :func:`with_splits`.
    """
    training = [clip for clip in clips if clip.split == "train"]
    held = _drawn_from(training, share, f"{seed} valid", spare=True)
    return [
        replace(clip, split="valid") if clip.split == "train" and clip.video in held else clip
        for clip in clips
    ]


def _drawn_from(clips: Sequence[Clip], share: float, salt: str, *, spare: bool) -> set[str]:
    """Return the videos that are drawn; with ``spare``, never all that have usable clips."""
    numbers = {clip.video: drawn(clip.video, salt) for clip in clips}
    held = {video for video, number in numbers.items() if number < share}
    usable = {clip.video for clip in clips if clip.problem is None}
    if spare and usable and usable <= held:
        held.remove(max(usable, key=lambda video: (numbers[video], video)))
    return held


def drawn(name: str, salt: str) -> float:
    """Return a pseudorandom number in [0, 1) that is always the same for a name and a salt."""
    digest = blake2b(name.encode(), digest_size=8, key=salt.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def _named(clips: Iterator[Clip], source: str, name: str) -> Iterator[Clip]:
    """Yield the clips, at least one, with unique ids: a repeated id gets a number and a problem."""
    seen: set[bytes] = set()
    for clip in clips:
        clip, repeats = replace(clip, id=printable(clip.id)), 1
        stem = clip.id
        while (key := blake2b(clip.id.encode(), digest_size=16).digest()) in seen:
            repeats += 1
            again = f"another clip is called {stem} too"
            clip = replace(clip, id=f"{stem} ({repeats})", problem=clip.problem or again)
        seen.add(key)
        yield clip
    if not seen:
        raise UsageError(
            f"'{source}' holds no clips in the format '{name}'; known are {', '.join(READERS)}."
        )

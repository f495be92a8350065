"""The clips of a data set, whatever its format.

Knows: that ids are unique, who is in which split. Does not know: which
format it is (``data/listing.py``), how one is laid out (a reader each), nor what a clip holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from clipsonic_cli.data import READERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import printable
from clipsonic_cli.types import Clip, Split

TEST_SHARE = 0.1
"""Of a data set that states no split, as MUSIC's in the paper (CLIPSonic section 3, "Data")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How one format is found and listed.

    Args:
        detect: Whether a source that exists, or an address, has this format; never raises.
        read: Lists its clips, always in the same order. What cannot be used is listed with its
            ``problem``. Raises UsageError where the source has another format after all.
    """

    detect: Callable[[str], bool]
    read: Callable[[str], Iterator[Clip]]


def read_clips(source: str, *, format: str, seed: int = 0) -> Iterator[Clip]:  # noqa: A002
    """Lists the clips of a data set, each with its own id and a split.

    Args:
        source: A folder, a file, or an address of shards; see the readers.
        format: A name of ``READERS``.
        seed: Decides the split where the data set states none.

    Returns:
        The clips, as they are found: memory does not grow with what they hold.

    Raises:
        UsageError: The source is missing, empty, or of another format; at the call, or at the
            first clip.
    """
    name = READERS.check(format)
    check_exists(source)
    reader: Reader = READERS.load(name)
    return _completed(reader.read(source), source, name, seed)


def check_exists(source: str) -> None:
    """Refuses a path that leads nowhere; addresses and patterns of shards are left to them.

    Raises:
        UsageError: There is nothing.
    """
    if not is_address(source) and "{" not in source and not Path(source).exists():
        raise UsageError(f"There is no data at '{source}'; give a folder of videos.")


def is_address(source: str) -> bool:
    """Whether a source is on the web."""
    return source.startswith(("http://", "https://"))


def split_of(video: str, *, seed: int) -> Split:
    """Puts a video into "train" or "test", 9 to 1, wherever other videos are.

    Args:
        video: Its name (:attr:`Clip.video`), which alone decides together with the seed: clips
            that come or go move none of the others.
        seed: Another seed gives another split.

    Source: the share is that of CLIPSonic section 3, "Data", for MUSIC.
    """
    return "test" if drawn(video, f"{seed}") < TEST_SHARE else "train"


def hold_out(clip: Clip, *, share: float, seed: int) -> Clip:
    """Moves a share of the training clips to "valid", by video, for sets that state no such split.

    Args:
        clip: Any clip; those of other splits stay.
        share: Of the training clips, in [0, 1].
        seed: As for :func:`split_of`, of which this draw is independent.
    """
    held = clip.split == "train" and drawn(clip.video, f"{seed} valid") < share
    return replace(clip, split="valid") if held else clip


def drawn(name: str, salt: str) -> float:
    """Gives a number of [0, 1) that looks random and is always the same for a name."""
    digest = blake2b(name.encode(), digest_size=8, key=salt.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def _completed(clips: Iterator[Clip], source: str, name: str, seed: int) -> Iterator[Clip]:
    """Gives splits to clips without, and new names to repeated ids; refuses to end at none."""
    seen: set[bytes] = set()
    for clip in clips:
        clip, repeats = replace(clip, id=printable(clip.id)), 1
        stem = clip.id
        while (key := blake2b(clip.id.encode(), digest_size=16).digest()) in seen:
            repeats += 1
            again = f"another clip is called {stem} too"
            clip = replace(clip, id=f"{stem} ({repeats})", problem=clip.problem or again)
        seen.add(key)
        if clip.split is None:
            clip = replace(clip, split=split_of(clip.video, seed=seed))
        yield clip
    if not seen:
        raise UsageError(
            f"'{source}' holds no clips in the format '{name}'; known are {', '.join(READERS)}."
        )

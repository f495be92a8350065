"""List the clips of a data set in a given format."""

from collections.abc import Callable, Iterator
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

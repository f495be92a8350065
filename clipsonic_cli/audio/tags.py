"""The texts that travel inside a sound file, of whatever format and wherever they are kept.

Who converts a sound moves its comment: to DESCRIPTION in FLAC and Ogg, to an ID3 frame in MP3, to
an atom in MP4, to a list behind the samples in WAV. All texts are read, whatever they are called.
Does not know: what a text means (a recipe, as JSON).
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import av

from clipsonic_cli.audio import files

MAX_READ = 64 << 20
"""Bytes of a file that are read for its texts; tags of gigabytes are none of ours."""
MAX_TEXT = 1 << 20
"""Characters of a text; one that is longer is left out."""


class _Enough(Exception):
    """More was asked for than :data:`MAX_READ`."""


class _Bounded(io.RawIOBase):
    """A file that gives so many bytes and no more, however often and wherever it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, MAX_READ

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > self._left:
            raise _Enough
        self._left -= size
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def read_texts(path: Path) -> tuple[str, ...]:
    """Read all texts of a sound file.

    Args:
        path: A sound file, ours or one that another program has converted.

    Returns:
        Each text once; none is longer than :data:`MAX_TEXT`.

    Raises:
        NotSound: The file is missing, or not sound.
    """
    texts: list[str] = []
    try:
        texts += [files.read_metadata(path) or ""]
    except files.NotSound:
        if not path.is_file() or not (tags := list(_tags(path))):
            raise
        texts += tags
    else:
        texts += _tags(path)
    return tuple(dict.fromkeys(text for text in texts if 0 < len(text) <= MAX_TEXT))


def _tags(path: Path) -> Iterator[str]:
    """Yield the tags of a file and of its sound, as FFmpeg reads them; "" at least for sound."""
    with (
        suppress(av.FFmpegError, _Enough, OSError),
        path.open("rb") as file,
        av.open(_Bounded(file), metadata_errors="replace") as container,
    ):
        sound = [stream.metadata for stream in container.streams.audio]
        for tags in (container.metadata, *sound) if sound else ():
            yield from tags.values()
            yield ""

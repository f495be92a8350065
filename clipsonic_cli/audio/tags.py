"""Read all texts in a sound file's metadata, of any format.

A program that converts a sound moves its comment: to DESCRIPTION in FLAC and Ogg, to an ID3 frame
in MP3, to an atom in MP4, to a list behind the samples in WAV.
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import av

from clipsonic_cli.audio import files

MAX_READ = 64 << 20
"""Bytes read from a file for its texts, at most."""
MAX_TEXT = 1 << 20
"""Characters of a text that is returned, at most."""


class _LimitReached(Exception):
    """FFmpeg tried to read more than :data:`MAX_READ` bytes."""


class _Bounded(io.RawIOBase):
    """A file of which :data:`MAX_READ` bytes can be read in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, MAX_READ

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > self._left:
            raise _LimitReached
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
    """Read each text of a sound file once, up to :data:`MAX_TEXT` characters.

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
    """Yield the tags of a file and its audio streams, as FFmpeg reads them; none without audio.

    Audio without tags yields "".
    """
    with (
        suppress(av.FFmpegError, _LimitReached, OSError),
        path.open("rb") as file,
        av.open(_Bounded(file), metadata_errors="replace") as container,
    ):
        streams = [stream.metadata for stream in container.streams.audio]
        for tags in (container.metadata, *streams) if streams else ():
            yield from tags.values()
            yield ""

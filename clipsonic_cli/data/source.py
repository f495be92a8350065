"""Open a clip's files: on the disk or in a tar file, local or on the web."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from clipsonic_cli.data.clips import is_address
from clipsonic_cli.data.remote import RemoteFile
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.types import Clip, Member

MAX_MEMBER = 1 << 30
"""Bytes of a tar file's member, which is held in memory while it is open."""


class Unreadable(ClipsonicError):
    """A clip, given by its id, that cannot be used, and why in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"The clip '{self.name}' cannot be used: {self.reason}."


@contextmanager
def opened(clip: Clip, media: Path | Member) -> Iterator[BinaryIO]:
    """Open one of a clip's files, its ``media`` or ``sound``, for reading at any position.

    Every failure, also of the operating system while it is open, is an :class:`Unreadable`.
    """
    if clip.problem is not None:
        raise Unreadable(clip.id, clip.problem)
    try:
        if isinstance(media, Member):
            if not 0 < media.size <= MAX_MEMBER:
                limit = f"1 to {MAX_MEMBER:,}"
                raise Unreadable(clip.id, f"{media.size:,} bytes in its shard, allowed are {limit}")
            with open_shard(media.shard) as shard:
                shard.seek(media.offset)
                content = shard.read(media.size)
            if len(content) < media.size:
                raise Unreadable(clip.id, "its shard ends in the middle of it")
            yield io.BytesIO(content)
            return
        status = media.stat()
        if not S_ISREG(status.st_mode):
            what = "a folder" if S_ISDIR(status.st_mode) else "a pipe or device"
            raise Unreadable(clip.id, f"{what}, no file")
        if not status.st_size:
            raise Unreadable(clip.id, "empty (0 bytes)")
        with media.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise Unreadable(clip.id, "there is no such file") from None
    except OSError as error:
        raise Unreadable(clip.id, (error.strerror or str(error)).lower()) from None


def open_shard(shard: str) -> BinaryIO | RemoteFile:
    """Open a file or an address for reading at any position; an address fails when first read."""
    return RemoteFile(shard) if is_address(shard) else Path(shard).open("rb")

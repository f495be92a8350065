"""Read parts of a file on the web, without a copy on the disk."""

import io
import os
import re

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.store import web

BLOCK = 1 << 16
"""Bytes requested at least: the small files of a sample come with its headers."""


class RemoteFile(io.RawIOBase):
    """Reads an address like a file, by HTTP ranges; raises OSError if all attempts fail."""

    def __init__(self, url: str, *, attempts: int = 5) -> None:
        self._url, self._attempts = url, attempts
        self._session: web.Session | None = None
        self._size: int | None = None
        self._at = 0
        self._block, self._block_at = b"", 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; only a seek from the end sends a request, for the size."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}
        self._at = max(0, (self._end() if whence == os.SEEK_END else base[whence]) + offset)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read as many bytes as requested, fewer only at the end of the file."""
        if size < 0:
            size = max(0, self._end() - self._at)
        start = self._at - self._block_at
        if not 0 <= start <= len(self._block) - size:
            if size == 0 or (self._size is not None and self._at >= self._size):
                return b""
            self._block, self._block_at = self._fetch(self._at, max(size, BLOCK)), self._at
            start = 0
        piece = self._block[start : start + size]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None
        super().close()

    def _end(self) -> int:
        """Return the file's size, of which any answer tells."""
        if self._size is None:
            self._fetch(0, 1)
        return self._size or 0

    def _fetch(self, start: int, size: int) -> bytes:
        try:
            if self._session is None:
                web.check_online(self._url)
                web.check_url(self._url)
                self._session = web.Session()
            return web.insist(lambda: self._ask(start, size), self._url, attempts=self._attempts)
        except (web.Unavailable, ClipsonicError) as error:
            raise OSError(str(error).rstrip(".")) from None

    def _ask(self, start: int, size: int) -> bytes:
        assert self._session is not None
        stop = start + size - 1
        headers = {"Range": f"bytes={start}-{stop}"}
        with self._session.get(self._url, headers=headers, timeout=(15, 60), stream=True) as answer:
            if answer.status_code == 416:  # beyond the end
                return b""
            web.check_status(answer, self._url, resumed=True)
            sent = answer.headers.get("Content-Range", "")
            part = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", sent)
            if part is None or int(part[1]) != start:
                raise web.Unavailable(f"{web.show(self._url)} is not given in parts (no ranges).")
            self._size = int(part[3])
            expected = min(stop, int(part[2])) + 1 - start
            content = answer.raw.read(expected)
        if len(content) < expected:
            raise web.Interrupted("the answer ended early")
        return bytes(content)

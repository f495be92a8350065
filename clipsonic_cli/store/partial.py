"""The beginning of a file: kept in ``NAME.part``, and in ``NAME.part.json`` whence it comes.

Knows: how to go on with it in a later process, and its digest as it grows. Does not know: when it
is the right file (``store/fetch.py``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3 import BaseHTTPResponse

from clipsonic_cli import bounded
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.store.web import Unavailable, show

CHUNK = 1 << 18
"""Bytes read, hashed and written at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a server says of the file it sends.

    Args:
        url: Where it was asked for, before any redirect.
        validator: What ``If-Range`` takes, a strong ETag or else the date of its last change;
            None: it cannot be gone on with.
        etag: Its ETag, weak or strong.
        total: Its length in bytes.
        stated: Its SHA-256.
    """

    url: str
    validator: str | None
    etag: str | None
    total: int | None
    stated: str | None

    @classmethod
    def read(cls, response: requests.Response, url: str, known: Origin | None) -> Origin:
        """Read the head of an answer, and of the redirects that led to it.

        The Hugging Face hub states digest and length of a large file when it redirects to where
        the file lies.

        Args:
            response: The answer.
            url: What was asked.
            known: What an earlier answer said, where this one brings the rest of the same file;
                such an answer need not say all again.

        Raises:
            Unavailable: It contradicts itself.
        """
        headers, answers = response.headers, (*response.history, response)
        etag = headers.get("ETag") or (known.etag if known else None)
        strong = etag if etag and etag.startswith('"') else None
        validator = strong or headers.get("Last-Modified") or (known.validator if known else None)
        digests = (answer.headers.get("X-Linked-Etag", "").strip('"') for answer in answers)
        stated = next(
            (text for text in digests if re.fullmatch("[0-9a-f]{64}", text)),
            known.stated if known else None,
        )
        if response.status_code == 206:
            length = headers.get("Content-Range", "").rpartition("/")[2]
        else:
            length = "" if is_chunked(response) else headers.get("Content-Length", "")
        lengths = [length, *(answer.headers.get("X-Linked-Size", "") for answer in answers)]
        totals = sorted({int(text) for text in lengths if text.isdecimal()})
        if len(totals) > 1:
            raise Unavailable(f"{show(url)} states several lengths of the file: {totals}.")
        total = totals[0] if totals else known.total if known else None
        return cls(url=url, validator=validator, etag=etag, total=total, stated=stated)


def is_chunked(response: requests.Response) -> bool:
    """Return whether the body marks its own end, so that a cut does not look like it."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


class Partial:
    """The beginning of one file on the disk; a writer holds the lock of the file.

    Args:
        target: Where the file shall lie when it is whole.
        report: Told (bytes there and hashed, bytes in all; 0 while unknown).
    """

    def __init__(self, target: Path, report: Callable[[int, int], None]) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.sidecar = target.with_name(f"{target.name}.part.json")
        self.origin: Origin | None = None
        with suppress(OSError, ValueError):  # half-written, or not ours
            self.origin = from_dict(Origin, bounded.read_json(self.sidecar, 1 << 20), "part")
        self.in_pieces = False
        """Whether it came in several answers."""
        self.done = 0
        """Bytes that are there and hashed."""
        self._digest = hashlib.sha256()
        self._report = report

    @property
    def sha256(self) -> str:
        """The digest of what is there, in hexadecimal."""
        return self._digest.hexdigest()

    def report(self) -> None:
        """Report how far it is."""
        self._report(self.done, (self.origin.total if self.origin else 0) or 0)

    def resume(self, url: str) -> int:
        """Return how many bytes of an address are there; hashes those of an earlier process."""
        if self.origin is None or self.origin.url != url or self.origin.validator is None:
            return 0
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self.done)
            while piece := file.read(CHUNK):
                self._count(piece)
        self.in_pieces = self.done > 0
        return self.done

    def begin(self, origin: Origin) -> None:
        """Start from nothing."""
        self.path.open("wb").close()  # first: old bytes must not lie beside a new origin
        self.sidecar.write_text(json.dumps(dataclasses.asdict(origin)), encoding="utf-8")
        self.origin, self.in_pieces, self.done = origin, False, 0
        self._digest = hashlib.sha256()

    def append(self, body: BaseHTTPResponse) -> None:
        """Add what comes as it comes, and stops when it is more than the file has."""
        assert self.origin is not None
        with self.path.open("rb+") as file:
            file.seek(self.done)
            # What has come is written before more is waited for: a line that is cut again and
            # again still gets on.
            while piece := body.read1(CHUNK):
                file.write(piece)
                self._count(piece)
                if self.origin.total is not None and self.done > self.origin.total:
                    break

    def remove(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)
        self.origin, self.done, self._digest = None, 0, hashlib.sha256()

    def finish(self) -> None:
        """Give the file its name, once it is safe on the disk."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.done += len(piece)
        self.report()

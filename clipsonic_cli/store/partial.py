"""A partial download: ``NAME.part`` holds its bytes, ``NAME.part.json`` its URL and validator.

A later process resumes it. Its digest is computed as it grows.
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
    """What a server states of the file it sends."""

    url: str
    """The address requested, before any redirect."""
    validator: str | None
    """For ``If-Range``: a strong ETag or else the date of its last change; None cannot resume."""
    etag: str | None
    total: int | None
    """Its length in bytes."""
    stated: str | None
    """Its SHA-256."""

    @classmethod
    def read(cls, response: requests.Response, url: str, known: Origin | None) -> Origin:
        """Read the head of an answer, and of the redirects that led to it.

        The Hugging Face hub states digest and length of a large file in its redirect to the file.
        An answer with the rest of a file need not repeat what is ``known`` from an earlier one. One
        that contradicts itself is Unavailable.
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
    """The beginning of the file ``target`` on disk; a writer holds the lock of the file.

    ``report`` is called with bytes on disk and hashed, and bytes in all (0 if unknown).
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
        """Bytes on disk and hashed."""
        self._digest = hashlib.sha256()
        self._report = report

    @property
    def sha256(self) -> str:
        """The digest of the bytes on disk, in hexadecimal."""
        return self._digest.hexdigest()

    def report(self) -> None:
        """Report the progress."""
        self._report(self.done, (self.origin.total if self.origin else 0) or 0)

    def resume(self, url: str) -> int:
        """Return how many bytes of an address are on disk; hash those of an earlier process."""
        if self.origin is None or self.origin.url != url or self.origin.validator is None:
            return 0
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self.done)
            while piece := file.read(CHUNK):
                self._count(piece)
        self.in_pieces = self.done > 0
        return self.done

    def begin(self, origin: Origin) -> None:
        """Start with no bytes."""
        self.path.open("wb").close()  # first: old bytes must not be taken for a new origin's
        self.sidecar.write_text(json.dumps(dataclasses.asdict(origin)), encoding="utf-8")
        self.origin, self.in_pieces, self.done = origin, False, 0
        self._digest = hashlib.sha256()

    def append(self, body: BaseHTTPResponse) -> None:
        """Append a body piece by piece; stop when there is more than the file should have."""
        assert self.origin is not None
        with self.path.open("rb+") as file:
            file.seek(self.done)
            # Each piece is written before the next one comes, so that a connection that is cut
            # again and again still makes progress.
            while piece := body.read1(CHUNK):
                file.write(piece)
                self._count(piece)
                if self.origin.total is not None and self.done > self.origin.total:
                    break

    def remove(self) -> None:
        """Delete the bytes and their origin."""
        self.path.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)
        self.origin, self.done, self._digest = None, 0, hashlib.sha256()

    def finish(self) -> None:
        """Flush the file to disk and give it its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.done += len(piece)
        self.report()

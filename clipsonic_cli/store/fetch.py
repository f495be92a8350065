"""Download a file; it appears under its name only when it is whole and verified.

Until then its bytes are in ``NAME.part`` (``store/partial.py``), and ``NAME.lock`` makes a second
process wait for the first. After a kill these are all that is left, and the next :func:`fetch`
resumes. ``store/web.py`` lists the environment variables that matter.
"""

import dataclasses
import errno
import hashlib
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipsonic_cli.errors import FetchFailed, NoConnection
from clipsonic_cli.store import web
from clipsonic_cli.store.partial import CHUNK, Origin, Partial, is_chunked
from clipsonic_cli.store.web import Interrupted, Unavailable, Unreachable, show

Report = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 if unknown)."""
FileReport = Callable[[str, int, int], None]
"""The same, after the file's name."""

FULL = "The bytes received are kept: free some space, and the same command resumes."
CLOSED = "Allow access to its folder, or set CLIPSONIC_HOME to another."
NO_LOCKS = "Its disk has no file locks; set CLIPSONIC_HOME to a folder on another."
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM), CLOSED),
    **dict.fromkeys((errno.ENOLCK, errno.ENOSYS), NO_LOCKS),
    errno.EROFS: "Set CLIPSONIC_HOME to a folder on a disk that can be written.",
    errno.EMFILE: "Allow this process more open files (ulimit -n).",
    errno.ENFILE: "Close other programs, which hold all files that this machine can open.",
    errno.ENAMETOOLONG: "Choose a shorter name, or set CLIPSONIC_HOME to a shorter path.",
}
"""Next step after an error of the disk, by its number."""
TIMEOUT = (15.0, 60.0)
"""Seconds until there is a connection, and between two pieces of an answer, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A verified file on disk."""

    path: Path
    bytes: int
    sha256: str
    url: str | None = None
    """The address that sent it, which may be a mirror's; None if the file existed already."""


class _WrongFile(Unavailable):
    """This address sent another file, which was deleted."""


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    report: Report = lambda _done, _total: None,
    attempts: int = 5,
    timeout: tuple[float, float] = TIMEOUT,
) -> Fetched:
    """Return a verified file: from the disk, or else from the first address that has it.

    Args:
        urls: Addresses of the same file, tried in order.
        target: Its path; the folder is created.
        size: Its length in bytes, if known.
        sha256: Its SHA-256 in hexadecimal, or 8 or more of its first digits, if known.
        report: Called at every piece and at every second of waiting for another attempt or
            process. What it raises ends the call; the bytes received are kept.
        attempts: Failures of an address in a row without much progress in between, at most.
        timeout: Seconds to connect and to wait for a piece (:data:`TIMEOUT`).

    Raises:
        FetchFailed: It cannot be had, is not the file expected, or cannot be written. ``target``
            is then as it was before.
        NoConnection: No address can be reached, or a variable forbids it.
        UsageError: An address, or a variable that should hold one, is invalid.
        ValueError: ``urls`` is empty, or ``sha256`` is not a digest.
    """
    sha256 = sha256.lower() if sha256 else None
    if not urls or (sha256 and not re.fullmatch("[0-9a-f]{8,64}", sha256)):
        raise ValueError(f"fetch needs an address and 8 to 64 hex digits, not {urls}, {sha256}")
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        if target.exists():
            return _verify_existing(target, size, sha256, report)
        web.check_online(str(target))
        addresses = web.sources(urls)
        target.parent.mkdir(parents=True, exist_ok=True)
        with acquired(lock, report), web.Session() as session:
            if target.exists():  # another process fetched it meanwhile
                return _verify_existing(target, size, sha256, report)
            partial = Partial(target, report)
            fetched = _Download(session, partial, size, sha256, attempts, timeout).run(addresses)
            _tidy(target)
            return fetched
    except OSError as error:
        raise disk_error(target, error) from None


def fetch_json(url: str) -> Any:
    """Fetch the JSON value at an address, such as of the hub's API; mirrors have none.

    Raises:
        FetchFailed: There is no such value.
        UsageError: The address, or a variable that should hold one, is invalid.
    """
    web.check_online(url)
    (address,) = web.sources((url,), mirrored=False)

    def request() -> Any:
        with session.get(address, timeout=TIMEOUT, stream=True) as response:
            web.check_status(response, address, resumed=False)
            return web.read_json(response, address)

    with web.Session() as session:
        try:
            return web.insist(request, address, attempts=5)
        except Unavailable as error:
            raise failure([error]) from None


def failure(errors: Sequence[Unavailable]) -> FetchFailed:
    """Return the error for a file that no address provides."""
    hosts = dict.fromkeys(str(error) for error in errors if isinstance(error, Unreachable))
    reasons = [str(error) for error in errors if not isinstance(error, Unreachable)]
    if hosts:
        reasons.append(
            f"No connection to {' or '.join(hosts)}. Check the network, or set CLIPSONIC_MIRROR to "
            "a mirror that can be reached (CLIPSONIC_OFFLINE=1 saves the attempts)."
        )
    kind = NoConnection if all(isinstance(e, Unreachable) for e in errors) else FetchFailed
    return kind(" ".join(reasons))


@dataclass(frozen=True, slots=True)
class _Download:
    """One call of :func:`fetch`, under the lock."""

    session: web.Session
    partial: Partial
    size: int | None
    sha256: str | None
    attempts: int
    timeout: tuple[float, float]

    def run(self, addresses: Sequence[str]) -> Fetched:
        """Try the addresses in order."""
        errors: list[Unavailable] = []
        for url in addresses:
            try:
                return self._from(url)
            except Unavailable as error:
                errors.append(error)
        raise failure(errors)

    def _from(self, url: str) -> Fetched:
        """Fetch from one address; twice where a wrong file came in several pieces.

        A piece on disk may have been damaged since it came; a file that came whole was not.
        """
        try:
            return self._insist(url)
        except _WrongFile:
            if not self.partial.in_pieces:
                raise
            return self._insist(url)

    def _insist(self, url: str) -> Fetched:
        return web.insist(
            lambda: self._attempt(url),
            url,
            attempts=self.attempts,
            done=lambda: self.partial.done,
            report=self.partial.report,
        )

    def _attempt(self, url: str) -> Fetched:
        """Request the missing bytes and verify the file."""
        self._receive_rest(url)
        return self._verified(url)

    def _receive_rest(self, url: str) -> None:
        """Append the missing bytes to the partial file, as far as they come."""
        # Request.
        partial, headers = self.partial, {}
        offset = partial.resume(url)
        if offset and partial.origin is not None:
            if offset == partial.origin.total:
                return
            headers = {"Range": f"bytes={offset}-", "If-Range": str(partial.origin.validator)}
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            # Check the head.
            if response.status_code == 416 and offset:
                partial.remove()
                raise Interrupted("it cannot resume from the bytes received", wait=0)
            web.check_status(response, url, resumed=offset > 0)
            resumes = response.status_code == 206
            origin = self._expected(Origin.read(response, url, partial.origin if resumes else None))
            if origin.total is None and not is_chunked(response) and not self.sha256:
                raise Unavailable(f"{show(url)} does not say where the file ends.")
            # Start, or resume at the offset.
            content_range = response.headers.get("Content-Range", "")
            if not resumes:
                if origin.total is not None:
                    replaced = partial.path.stat().st_size if partial.path.exists() else 0
                    check_space(partial.target, origin.total - replaced, partial.path.parent)
                partial.begin(origin)
            elif origin != partial.origin or not content_range.startswith(f"bytes {offset}-"):
                partial.remove()
                raise Interrupted("the file changed on the server", wait=0)
            # Receive.
            partial.append(response.raw)
            length = partial.done
            if origin.total is None or length == origin.total:
                return
            if length < origin.total and not is_chunked(response):
                raise Interrupted(f"it ended at {length} of {origin.total} bytes")
        partial.remove()
        raise _WrongFile(f"{show(url)} gave {length} bytes, not {origin.total}; they were deleted.")

    def _expected(self, origin: Origin) -> Origin:
        """Check what the server states of the file; add the length if only we know it."""
        if difference := _difference(origin.total, self.size, origin.stated, self.sha256):
            raise Unavailable(f"{show(origin.url)} has another file: {difference}.")
        total = self.size if origin.total is None else origin.total
        return dataclasses.replace(origin, total=total)

    def _verified(self, url: str) -> Fetched:
        """Give the file its name if it is the expected one, else delete it."""
        partial, origin, sha256 = self.partial, self.partial.origin, self.partial.sha256
        assert origin is not None
        for expected in (self.sha256, origin.stated):
            if not _agree(sha256, expected):
                partial.remove()
                raise _WrongFile(
                    f"{show(url)} gave a file of SHA-256 {sha256}, not {expected}; it was deleted."
                )
        partial.finish()
        return Fetched(path=partial.target, bytes=partial.done, sha256=sha256, url=url)


def _agree(sha256: str | None, digits: str | None) -> bool:
    """Return whether a digest begins with some digits, as far as both are known."""
    return sha256 is None or digits is None or sha256.startswith(digits)


def _difference(
    size: int | None, expected_size: int | None, sha256: str | None, expected_sha256: str | None
) -> str:
    """Format how a file differs from the expected one, as far as both are known; else ""."""
    if size is not None and expected_size is not None and size != expected_size:
        return f"bytes {size}, not {expected_size}"
    if not _agree(sha256, expected_sha256):
        return f"SHA-256 {sha256}, not {expected_sha256}"
    return ""


def acquired(lock: FileLock, report: Report) -> AbstractContextManager[Any]:
    """Wait for a lock that another process or thread may hold, after a ``UserWarning``.

    ``report`` is called with (0, 0) every second meanwhile; what it raises ends the waiting.
    """
    warned = False
    while True:
        try:
            return lock.acquire(timeout=1)
        except Timeout:
            if not warned:
                warned = True
                warnings.warn(
                    f"Another process is fetching the same and holds {lock.lock_file}; this one "
                    "waits for it, and Ctrl-C ends the waiting.",
                    stacklevel=2,
                )
            report(0, 0)


def check_space(name: object, needed: int, folder: Path) -> None:
    """Check that a folder's disk has ``needed`` bytes more for a file or model."""
    if needed > (free := shutil.disk_usage(folder).free):
        raise FetchFailed(
            f"{name} needs {needed:,} bytes, {free:,} are free in {folder}. Free some space, or "
            "set CLIPSONIC_HOME to a folder on a larger disk."
        )


def disk_error(path: Path, error: OSError) -> FetchFailed:
    """Return the error for a path that the disk cannot read or write, with the next step."""
    remedy = REMEDIES.get(error.errno or 0, "Set CLIPSONIC_HOME to another folder.")
    place = error.filename if isinstance(error.filename, str) else path
    return FetchFailed(f"{place} cannot be read or written ({error.strerror or error}). {remedy}")


def _verify_existing(target: Path, size: int | None, sha256: str | None, report: Report) -> Fetched:
    """Hash a file that exists; raise FetchFailed if it is not the one expected."""
    total, done, digest = target.stat().st_size, 0, hashlib.sha256()
    with target.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            report(done, total)
    if difference := _difference(done, size, digest.hexdigest(), sha256):
        raise FetchFailed(
            f"{target} is another file than expected: {difference}. Delete it and get it again."
        )
    _tidy(target)  # a kill right after the end may have left something
    return Fetched(path=target, bytes=done, sha256=digest.hexdigest())


def _tidy(target: Path) -> None:
    """Delete the files that are needed no longer; waiting processes find the target itself."""
    for suffix in (".part.json", ".lock"):
        with suppress(OSError):
            target.with_name(f"{target.name}{suffix}").unlink()

"""A file from the web: there under its name when it is whole and verified, and not before.

What comes is kept beside it (``store/partial.py``), and ``NAME.lock`` makes a second process wait
for the first. After a kill at any moment these are all that is left, and the next :func:`fetch`
goes on from them.

Knows: one file at a time; any number of threads may each fetch one. Does not know: what the file
is for (``store/manifest.py``), or people: it prints nothing. Which variables of the environment
matter is listed in ``store/web.py``.
"""

import dataclasses
import errno
import hashlib
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipsonic_cli.errors import FetchFailed
from clipsonic_cli.store import web
from clipsonic_cli.store.partial import CHUNK, Origin, Partial, is_chunked
from clipsonic_cli.store.web import Interrupted, Unavailable, show

FULL = "What came is kept: make room, and the same command goes on from there."
CLOSED = "Give access to its folder, or set CLIPSONIC_HOME to another."
REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: "Set CLIPSONIC_HOME to a folder on a disk that can be written.",
    errno.EMFILE: "Allow this process more open files (ulimit -n).",
    errno.ENFILE: "Close other programs, which hold all files that this machine can open.",
    errno.ENAMETOOLONG: "Choose a shorter name, or set CLIPSONIC_HOME to a shorter path.",
    errno.ENOLCK: "Its disk knows no locks; set CLIPSONIC_HOME to a folder on another.",
    errno.ENOSYS: "Its disk knows no locks; set CLIPSONIC_HOME to a folder on another.",
}
"""What to do about an error of the disk, by the system's number of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is there and verified.

    Args:
        path: Where it lies.
        bytes: Its length.
        sha256: Its digest, all 64 hexadecimal digits.
        url: The address that gave it, which may be a mirror's; None where it lay there already.
        etag: The ETag it was served with.
        stated: The SHA-256 the server stated beforehand, as the Hugging Face hub does.
    """

    path: Path
    bytes: int
    sha256: str
    url: str | None = None
    etag: str | None = None
    stated: str | None = None


class _WrongFile(Unavailable):
    """This address gave another file, which was deleted."""


def _silent(done: int, total: int) -> None:
    """A report that shows nothing."""


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    report: Callable[[int, int], None] = _silent,
    attempts: int = 5,
    timeout: tuple[float, float] = (15, 60),
    sleep: Callable[[float], None] = time.sleep,
    environ: Mapping[str, str] = os.environ,
) -> Fetched:
    """Return a file: from the disk, or else from the first address that has it.

    Args:
        urls: Addresses of the same file, the first to be asked first.
        target: Where it shall lie; its folder is made.
        size: Its length in bytes, where known.
        sha256: Its SHA-256 in hexadecimal, or 8 or more of its first digits, where known.
        report: Told (bytes there and hashed, bytes in all; 0 while unknown) at every piece and
            every second of waiting for another attempt or process. What it raises ends the call,
            and what came is kept.
        attempts: How often in a row an address may fail without having given much in between.
        timeout: Seconds until there is a connection, and between two pieces of an answer, at
            most. A slow transfer is left alone.
        sleep: Waits that many seconds.
        environ: The variables of ``store/web.py``, except those that requests reads.

    Returns:
        What is known of the file. One that lay there is hashed and compared all the same.

    Raises:
        FetchFailed: It cannot be had, is not the file expected, or cannot be written. There is
            nothing under its name then, or what lay there before.
        UsageError: An address, or a variable that should hold one, is none.
        ValueError: ``urls`` is empty, or ``sha256`` is no digest.
    """
    sha256 = sha256.lower() if sha256 else None
    if not urls or (sha256 and not re.fullmatch("[0-9a-f]{8,64}", sha256)):
        raise ValueError(f"fetch needs an address and 8 to 64 hex digits, not {urls}, {sha256}")
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        if target.exists():
            return _present(target, size, sha256, report)
        web.check_online(str(target), environ)
        addresses = web.sources(urls, environ)
        target.parent.mkdir(parents=True, exist_ok=True)
        with acquired(lock, report), web.Session(environ) as session:
            if target.exists():  # another process fetched it meanwhile
                return _present(target, size, sha256, report)
            partial = Partial(target, report)
            download = _Download(session, partial, size, sha256, attempts, timeout, sleep)
            fetched = download.run(addresses)
            _tidy(target)
            return fetched
    except OSError as error:
        raise denied(target, error) from None


def fetch_json(
    url: str,
    *,
    attempts: int = 5,
    timeout: tuple[float, float] = (15, 60),
    sleep: Callable[[float], None] = time.sleep,
    environ: Mapping[str, str] = os.environ,
) -> Any:
    """Return the JSON value at an address, such as of an interface of the hub; the mirror has none.

    Args:
        url: The address.
        attempts: How often it may fail.
        timeout: As for :func:`fetch`.
        sleep: Waits that many seconds.
        environ: The variables of ``store/web.py``, except those that requests reads.

    Raises:
        FetchFailed: There is no such value.
        UsageError: The address, or a variable that should hold one, is none.
    """
    web.check_online(url, environ)
    (address,) = web.sources((url,), {**environ, "CLIPSONIC_MIRROR": ""})

    def ask() -> Any:
        with session.get(address, timeout=timeout, stream=True) as response:
            web.check_status(response, address, resumed=False)
            return web.read_json(response, address)

    with web.Session(environ) as session:
        try:
            return web.insist(ask, address, attempts=attempts, sleep=sleep)
        except Unavailable as error:
            raise FetchFailed(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Download:
    """One call of :func:`fetch`, under the lock."""

    session: web.Session
    partial: Partial
    size: int | None
    sha256: str | None
    attempts: int
    timeout: tuple[float, float]
    sleep: Callable[[float], None]

    def run(self, addresses: Sequence[str]) -> Fetched:
        """Ask the addresses one after the other."""
        reasons = []
        for url in addresses:
            try:
                return self._from(url)
            except Unavailable as error:
                reasons.append(str(error))
        raise FetchFailed(" ".join(reasons))

    def _from(self, url: str) -> Fetched:
        """Ask one address until it has given all, gives nothing more or gave a wrong file."""

        def ask() -> Fetched:
            self._receive_rest(url)
            return self._verified(url)

        def pause(seconds: float) -> None:
            self.partial.report()
            self.sleep(seconds)

        def insist() -> Fetched:
            return web.insist(
                ask, url, attempts=self.attempts, sleep=pause, done=lambda: self.partial.done
            )

        try:
            return insist()
        except _WrongFile:
            # A piece may have been damaged since it came; a file that came whole was not.
            if not self.partial.in_pieces:
                raise
            return insist()

    def _receive_rest(self, url: str) -> None:
        """Gets what is missing, as far as it comes."""
        partial, headers = self.partial, {}
        offset = partial.resume(url)
        if offset and partial.origin is not None:
            if offset == partial.origin.total:
                return
            headers = {"Range": f"bytes={offset}-", "If-Range": str(partial.origin.validator)}
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if response.status_code == 416 and offset:
                partial.remove()
                raise Interrupted("it cannot go on with what came before", wait=0)
            web.check_status(response, url, resumed=offset > 0)
            resumes = response.status_code == 206
            origin = self._expected(Origin.read(response, url, partial.origin if resumes else None))
            if origin.total is None and not is_chunked(response) and not self.sha256:
                raise Unavailable(f"{show(url)} does not say where the file ends.")
            if not resumes:
                self._check_room(origin.total)
                partial.begin(origin)
            elif origin != partial.origin or not response.headers.get(
                "Content-Range", ""
            ).startswith(f"bytes {offset}-"):
                partial.remove()
                raise Interrupted("the file changed on the server", wait=0)
            partial.append(response.raw)
            length = partial.done
            if origin.total is None or length == origin.total:
                return
            if length < origin.total and not is_chunked(response):
                raise Interrupted(f"it ended at {length} of {origin.total} bytes")
        partial.remove()
        raise _WrongFile(f"{show(url)} gave {length} bytes, not {origin.total}; they were deleted.")

    def _expected(self, origin: Origin) -> Origin:
        """Let pass what can be the file; adds its length where the server does not say it.

        Raises:
            Unavailable: It is another file.
        """
        for what, stated, wanted, same in (
            ("bytes", origin.total, self.size, origin.total == self.size),
            ("SHA-256", origin.stated, self.sha256, _agree(origin.stated, self.sha256)),
        ):
            if stated is not None and wanted is not None and not same:
                raise Unavailable(
                    f"{show(origin.url)} has another file: {what} {stated}, not {wanted}."
                )
        total = self.size if origin.total is None else origin.total
        return dataclasses.replace(origin, total=total)

    def _check_room(self, total: int | None) -> None:
        """Refuses to begin what the disk cannot hold."""
        free = shutil.disk_usage(self.partial.path.parent).free
        if self.partial.path.exists():
            free += self.partial.path.stat().st_size  # it is emptied first
        if total is not None and total > free:
            raise FetchFailed(
                f"{self.partial.target} needs {total:,} bytes, {free:,} are free there. Make room, "
                "or set CLIPSONIC_HOME to a folder on a larger disk."
            )

    def _verified(self, url: str) -> Fetched:
        """Give the file its name if it is the expected one, else delete it."""
        partial, origin, found = self.partial, self.partial.origin, self.partial.sha256
        assert origin is not None
        for expected in (self.sha256, origin.stated):
            if not _agree(found, expected):
                partial.remove()
                raise _WrongFile(
                    f"{show(url)} gave a file of SHA-256 {found}, not {expected}; it was deleted."
                )
        partial.finish()
        return Fetched(
            path=partial.target,
            bytes=partial.done,
            sha256=found,
            url=url,
            etag=origin.etag,
            stated=origin.stated,
        )


def _agree(sha256: str | None, digits: str | None) -> bool:
    """Return whether a digest begins with some digits, as far as both are known."""
    return sha256 is None or digits is None or sha256.startswith(digits)


def acquired(lock: FileLock, report: Callable[[int, int], None]) -> AbstractContextManager[Any]:
    """Wait for a lock.

    Args:
        lock: What another process or thread may hold.
        report: Told (0, 0) every second meanwhile; what it raises ends the waiting. That there is
            one to wait for is a ``UserWarning``.
    """
    told = False
    while True:
        try:
            return lock.acquire(timeout=1)
        except Timeout:
            if not told:
                told = True
                warnings.warn(
                    f"Another process is fetching the same and holds {lock.lock_file}; this one "
                    "waits for it, and Ctrl-C ends the waiting.",
                    stacklevel=2,
                )
            report(0, 0)


def denied(path: Path, error: OSError) -> FetchFailed:
    """Return what to say when the disk refuses to read or write a path, or is full."""
    remedy = REMEDIES.get(error.errno or 0, "Set CLIPSONIC_HOME to another folder.")
    where = error.filename if isinstance(error.filename, str) else path
    return FetchFailed(f"{where} cannot be read or written ({error.strerror or error}). {remedy}")


def _present(
    target: Path, size: int | None, sha256: str | None, report: Callable[[int, int], None]
) -> Fetched:
    """Hash a file that is there already.

    Raises:
        FetchFailed: It is not the one expected.
    """
    total, done, digest = target.stat().st_size, 0, hashlib.sha256()
    with target.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            report(done, total)
    found = digest.hexdigest()
    for what, seen, wanted, same in (
        ("bytes", done, size, size is None or done == size),
        ("SHA-256", found, sha256, _agree(found, sha256)),
    ):
        if not same:
            raise FetchFailed(
                f"{target} is another file than expected: {what} {seen}, not {wanted}. Delete it "
                f"(`clipsonic download --remove NAME` does) and get it again."
            )
    _tidy(target)  # a kill right after the end may have left something
    return Fetched(path=target, bytes=done, sha256=found)


def _tidy(target: Path) -> None:
    """Delete what a file needs no longer that is there: whoever waits for the lock finds it."""
    for suffix in (".part.json", ".lock"):
        with suppress(OSError):
            target.with_name(f"{target.name}{suffix}").unlink()

"""A folder that one process works in at a time.

The lock is the operating system's, so that one of a process that has died is no obstacle; a file
next to it names the holder, for the message to others. Disks without locks, such as some network
drives, leave that file alone to go by, and a warning says so.
"""

import contextlib
import errno
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from clipsonic_cli.atomic import written
from clipsonic_cli.errors import UsageError

LOCK = ".lock"
OWNER = ".lock.json"
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""Errors of a disk without locks."""

_held: set[tuple[int, str]] = set()
"""Threads of this process and the folders they hold, which they may enter again."""


@contextlib.contextmanager
def owned(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder while the block runs; a process that has it already may enter it again.

    Args:
        folder: Made if need be.
        work: What is done in it, such as "clipsonic train", for the message to others.

    Raises:
        UsageError: Another process holds it; says which, and since when.
        OSError: The folder cannot be made or written.
    """
    from filelock import FileLock, Timeout

    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    key = threading.get_ident(), str(folder.resolve())
    if key in _held:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / LOCK, timeout=0))
        except Timeout:
            raise UsageError(_refusal(folder, _owner(folder), work)) from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                raise
            if _is_alive(owner := _owner(folder)):
                raise UsageError(_refusal(folder, owner, work)) from None
            warnings.warn(
                f"The disk of '{folder}' knows no locks: make sure that nothing else works there.",
                stacklevel=3,
            )
        _held.add(key)
        stack.callback(_held.discard, key)
        stack.callback(_forget, folder, new)
        owner = {"work": work, "pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
        with written(folder / OWNER) as temporary:
            temporary.write_text(json.dumps(owner) + "\n", encoding="utf-8")
        yield


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def _forget(folder: Path, new: list[Path]) -> None:
    """Delete the owner's file; and new folders, innermost first, that have stayed empty."""
    with contextlib.suppress(OSError):
        (folder / OWNER).unlink()
    with contextlib.suppress(OSError):
        if new and [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            for path in new:
                path.rmdir()


def _owner(folder: Path) -> dict[str, object]:
    """Read the owner's file of a folder; empty where that cannot be read."""
    try:
        with (folder / OWNER).open(encoding="utf-8") as file:
            owner = json.loads(file.read(4096))
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_alive(owner: dict[str, object]) -> bool:
    """Return whether an owner is a process of this machine that still runs."""
    pid = owner.get("pid")
    if type(pid) is not int or pid < 1 or owner.get("host") != socket.gethostname():
        return False
    try:
        if os.name != "nt":  # where it would end the process
            os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _refusal(folder: Path, owner: dict[str, object], work: str) -> str:
    who = ""
    if {"work", "pid", "host", "since"} <= owner.keys():
        since = owner["since"]
        who = f": {owner['work']}, process {owner['pid']} on {owner['host']}, since {since}"
    return (
        f"'{folder}' is being worked in{who}. Wait until that has ended, or stop it; or give "
        f"{work} another folder."
    )

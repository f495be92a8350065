"""A process that is killed (SIGKILL) at a moment that is chosen by number, not by time.

The moments are its changes of files in some folders: opening one to write, renaming, removing. A
kill between two of them leaves the same on the disk, but for bytes of an open file.
"""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

CHANGES = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}


def kill_before(number: int, *folders: Path) -> None:
    """Kill this process before its ``number``-th change, from now, of files in some folders."""
    places, left = tuple(map(str, folders)), number

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in CHANGES or not str(arguments[0]).startswith(places):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def expect(exitcode: int, function: Callable[..., None], *arguments: object) -> None:
    """Call a function in a forked process; end this one where it exits with another code."""
    process = get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode != exitcode:
        sys.exit(f"ended with {process.exitcode}, not {exitcode}: {arguments}")

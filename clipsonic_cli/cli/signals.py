"""SIGINT and SIGTERM end a command alike: by KeyboardInterrupt, whatever it is doing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_came = threading.Event()
"""Set once a signal came; code that it meets may lose the exception or fail in another way."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGINT or SIGTERM, unless a shell has the process ignore it."""
    _came.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    caught = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}
    for number in caught:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    """End the command, which leaves nothing half written."""
    _came.set()
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Return whether a signal came."""
    return _came.is_set()


def check_interrupted() -> None:
    """Raise KeyboardInterrupt again if it was lost, as in a callback of FFmpeg."""
    if was_interrupted():
        raise KeyboardInterrupt

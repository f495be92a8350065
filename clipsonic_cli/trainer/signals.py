"""Signals that end a training once it is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_signals() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into an event; a second of the same kind acts as before.

    Of the same kind, as Ctrl-C in ``torchrun`` reaches a process as SIGINT and, at once, as
    SIGTERM. A signal that the process ignores stays ignored: shells start background jobs so.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals belong to the main thread; nothing to catch here
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Readers that go wrong in every way that the harness has to see."""

import ctypes
import os
from pathlib import Path

from reader import Reader

from clipsonic_cli.errors import UsageError


def when_damaged(act):
    def read(path: Path) -> None:
        if path.read_bytes() != b"valid":
            act()

    return read


def refuse():
    raise UsageError("It is damaged.")


def hang():
    while True:
        try:
            while True:
                pass
        except Exception:  # as careless code does
            continue


ACTS = {
    "good": refuse,
    "faults": lambda: {}["missing"],
    "eats": lambda: bytearray(2 << 30),
    "hangs": hang,
    "ends": lambda: os._exit(7),
    "crashes": lambda: ctypes.string_at(0),
    "talks": lambda: os.write(1, b"as C libraries do"),
}


def table(models: Path) -> dict[str, Reader]:
    return {
        name: Reader(name=name, file="x", content=b"valid", read=when_damaged(act))
        for name, act in ACTS.items()
    }

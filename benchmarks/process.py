"""Run a command in a process of its own and measure it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """What a process took."""

    stdout: str
    wall: float
    """Seconds from its start to its end."""
    cpu: float
    """Processor seconds of all its threads, which other work on the machine adds little to."""
    peak: float
    """Most memory that it held at once, in MB of 10^6 bytes."""


def measured(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Measured:
    """Run a command of this Python, as ``["-m", "package"]``; SystemExit if it fails.

    Linux counts the memory of the process that starts it too, so that the peak is at least this
    one's.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None  # a pipe
    stdout = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed with exit code {process.returncode}.")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(
        stdout=stdout,
        wall=time.perf_counter() - started,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss * unit / 1e6,
    )

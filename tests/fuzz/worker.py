"""A process that reads damaged files, one after another, within bounds of memory and time.

Takes the module of a table of readers, its folder of models and its bound of seconds; reads lines
of "reader seed folder", and writes a line of JSON about each. Ends where a reader ends it.
"""

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from reader import Reader

MEMORY = 1 << 30
"""Bytes that a case may take beyond what the process has when all modules are loaded."""
MESSAGE = 10_000
"""Characters of a message at most."""


class TooLong(BaseException):
    """A case took too long; no reader catches it."""


def main(module: str, models: str, seconds: float) -> None:
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # A home of its own: another worker reads other files.
    os.environ["CLIPSONIC_HOME"] = tempfile.mkdtemp(dir=models)
    table: dict[str, Reader] = importlib.import_module(module).table(Path(models))
    signal.signal(signal.SIGALRM, _too_long)
    wanted: set[str] = set()
    print(json.dumps({"readers": list(table)}), file=answers, flush=True)
    for line in sys.stdin:
        name, seed, folder = json.loads(line)
        reader = table[name]
        if name not in wanted:  # loads the reader's modules
            wanted.add(name)
            _limit(resource.RLIM_INFINITY)
            _fresh(folder).joinpath(reader.file).write_bytes(reader.valid())
            try:
                reader.read(Path(folder, reader.file))
            except Exception:
                fault = f"the valid file: {traceback.format_exc()}"
                print(json.dumps({"fault": fault}), file=answers, flush=True)
                continue
            _limit(_status("VmSize") + MEMORY)
        _fresh(folder).joinpath(reader.file).write_bytes(reader.damaged(seed))
        print(json.dumps(_case(reader, Path(folder, reader.file), seconds)), file=answers)
        answers.flush()


def _case(reader: Reader, path: Path, seconds: float) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here
    before, start, fault, outcome = _status("VmRSS"), time.monotonic(), None, "read"
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        reader.read(path)
    except reader.errors as error:
        outcome = type(error).__name__
        if len(str(error)) > MESSAGE:
            fault = f"a message of {len(str(error))} characters: {str(error)[:200]}"
    except (MemoryError, TooLong):  # what state the process is left in is not known
        fault = f"beyond its bounds: {traceback.format_exc(chain=False)[:3000]}"
    except BaseException:
        fault = f"{traceback.format_exc(chain=False)[:3000]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - start
    return {
        "fault": fault,
        "outcome": outcome,
        "seconds": took,
        "memory": max(0, _status("VmHWM") - before),
    }


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong


def _fresh(folder: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
    return Path(folder)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def _status(field: str) -> int:
    """Return a size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))

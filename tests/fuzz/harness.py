"""Runs damaged files through readers in processes that are started again when they end."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

HERE = Path(__file__).parent
STARTS = 120
"""Seconds that a process may take to load a reader's modules, beyond those of a case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What came of one damaged file.

    Args:
        reader: Its reader's name.
        seed: Makes it again, with the reader's name.
        fault: What went wrong, or None.
        outcome: "read", or the error that the reader is to raise.
        seconds: How long it took.
        memory: Bytes that it took.
    """

    reader: str
    seed: int
    fault: str | None
    outcome: str = ""
    seconds: float = 0.0
    memory: int = 0


@dataclass
class Runner:
    """Runs cases.

    Args:
        module: Of the readers' table.
        models: A model's folder, for the table.
        folder: Takes damaged files; those of faults are kept.
        seconds: That a case may take.
    """

    module: str
    models: Path
    folder: Path
    seconds: float = 20
    cases: list[Case] = field(default_factory=list)

    def readers(self) -> list[str]:
        """Return the names of the table's readers."""
        worker = self._start()
        answer = self._answer(worker)
        self._end(worker)
        if "readers" not in answer:
            raise RuntimeError((self.folder / "stderr").read_text()[-3000:])
        names: list[str] = answer["readers"]
        return names

    def run(self, cases: Sequence[tuple[str, int]], workers: int = 2) -> list[Case]:
        """Run (reader, seed) each, in some order."""
        queue: SimpleQueue[tuple[str, int]] = SimpleQueue()
        for case in cases:
            queue.put(case)
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(self._work, queue, n) for n in range(workers)]:
                done.result()
        return self.cases

    def _work(self, queue: "SimpleQueue[tuple[str, int]]", number: int) -> None:
        worker: subprocess.Popen[bytes] | None = None
        folder = self.folder / f"worker-{number}"
        while True:
            try:
                name, seed = queue.get_nowait()
            except Empty:
                break
            if worker is None:
                worker = self._start()
                self._answer(worker)
            assert worker.stdin is not None
            worker.stdin.write(json.dumps([name, seed, str(folder)]).encode() + b"\n")
            worker.stdin.flush()
            answer = self._answer(worker)
            case = Case(reader=name, seed=seed, **answer)
            self.cases.append(case)
            if case.fault is not None:
                kept = self.folder / "faults" / f"{name}-{seed}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                if folder.is_dir():
                    folder.rename(kept)
            # After an error of Python's own the process is as sound as before.
            if case.fault is not None and not case.fault.startswith("Traceback"):
                self._end(worker)
                worker = None
        if worker is not None:
            self._end(worker)

    def _start(self) -> "subprocess.Popen[bytes]":
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stderr").open("ab") as stderr:
            return subprocess.Popen(
                [sys.executable, HERE / "worker.py", self.module, self.models, str(self.seconds)],
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def _answer(self, worker: "subprocess.Popen[bytes]") -> dict:  # type: ignore[type-arg]
        """Return a process's answer; a fault where it ended, or hangs where no signal reaches."""
        assert worker.stdout is not None
        there, _, _ = select.select([worker.stdout], [], [], self.seconds + STARTS)
        line = worker.stdout.readline() if there else b""
        if line:
            answer: dict[str, object] = json.loads(line)
            return answer
        if not there:
            worker.kill()
        return {"fault": "it hangs" if not there else f"the process ended: {worker.wait()}"}

    def _end(self, worker: "subprocess.Popen[bytes]") -> None:
        worker.kill()
        worker.communicate()

"""A process pool that survives workers which crash or hang.

A decoder that does so on a damaged file costs that clip, with a reason, and nothing else.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from clipsonic_cli.errors import ClipsonicError

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 4
"""Results per worker that may wait for an earlier one."""
START_SECONDS = 600.0
"""Seconds after which a process that has not started, as its imports hang, is killed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of a result: the process died or took too long, or the function raised."""

    reason: str


def each(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    seconds: float = 300.0,
) -> Iterator[tuple[Task, Result | Failed]]:
    """Call a function with each task in parallel, and yield the results in the tasks' order.

    Tasks are taken as they are needed, so that neither they nor the results accumulate.

    Args:
        function: Pickled, as tasks and results are; sent to each worker once.
        tasks: The arguments, one for each call.
        workers: Processes; 0 calls it in this process, unprotected.
        seconds: Time limit of a call, at which its process is killed; its start does not count.
    """
    if workers == 0:
        for task in tasks:
            yield task, _attempt(function, task)
        return
    pool: list[_Worker[Task, Result]] = []
    pending: deque[tuple[Task, list[Result | Failed]]] = deque()  # empty until they are done
    source = iter(tasks)
    more = True
    try:
        while more or pending:
            # Give tasks to idle workers.
            busy = [worker for worker in pool if worker.results is not None]
            while more and len(pending) < AHEAD * workers and len(busy) < workers:
                try:
                    task = next(source)
                except StopIteration:
                    more = False
                    break
                idle = next((worker for worker in pool if worker.results is None), None)
                if idle is None:
                    idle = _Worker(function)
                    pool.append(idle)
                pending.append((task, idle.start(task)))
                busy.append(idle)

            # Collect their results.
            wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                if not worker.collect(seconds):
                    worker.stop()
                    pool.remove(worker)
            while pending and pending[0][1]:
                task, [result] = pending.popleft()
                yield task, result
    finally:
        for worker in pool:
            worker.stop()


class _Worker(Generic[Task, Result]):
    """A process that works on one task at a time."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        # Not forked: a copy of a process with threads, as torch has, may deadlock.
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self._process.start()
        theirs.close()
        self.results: list[Result | Failed] | None = None
        """Where the result of the task goes; None while there is no task."""
        self._began = False
        self._since = 0.0

    def start(self, task: Task) -> list[Result | Failed]:
        """Send a task; return an empty list, to which :meth:`collect` appends the result."""
        self.results, self._since = [], time.monotonic()
        with suppress(OSError):  # the process has died, as collect will report
            self.connection.send(task)
        return self.results

    def collect(self, seconds: float) -> bool:
        """Store the result if there is one; return whether the process can still be used."""
        results = self.results
        assert results is not None
        try:
            if self.connection.poll():
                answer = self.connection.recv()
                if self._began:
                    results.append(answer)
                    self.results = None
                else:
                    self._began, self._since = True, time.monotonic()
                return True
        except (EOFError, OSError):
            self._process.join(timeout=5)
            code = self._process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
            results.append(Failed(f"the process that decoded it ended {how}"))
            return False
        start = (START_SECONDS, "the start of the process that decodes it")
        limit, what = (seconds, "it") if self._began else start
        if time.monotonic() - self._since > limit:
            results.append(Failed(f"{what} took longer than {limit:g} seconds"))
            return False
        return True

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()


def _serve(connection: Connection, function: Callable[[Task], Result]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl+C
    with suppress(BrokenPipeError):
        connection.send(None)  # this process has started
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        with suppress(BrokenPipeError):  # it was killed; the next turn ends this process too
            connection.send(_attempt(function, task))


def _attempt(function: Callable[[Task], Result], task: Task) -> Result | Failed:
    try:
        return function(task)
    except ClipsonicError as error:
        return Failed(" ".join(str(error).split()))
    except Exception as error:
        return Failed(f"{type(error).__name__}: {' '.join(str(error).split())}")

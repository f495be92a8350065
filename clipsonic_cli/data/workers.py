"""A process pool that survives workers which crash or hang.

A decoder that does so on a damaged file costs that clip, with a reason, and nothing else.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
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
    pending: deque[_Call[Task, Result]] = deque()
    source = iter(tasks)
    more = True
    try:
        while more or pending:
            running = {worker.call for worker in pool}
            while more and len(pending) < AHEAD * workers and len(running - {None}) < workers:
                try:
                    call = _Call[Task, Result](next(source))
                except StopIteration:
                    more = False
                    break
                idle = next((worker for worker in pool if worker.call is None), None)
                if idle is None:
                    idle = _Worker(function)
                    pool.append(idle)
                idle.start(call)
                pending.append(call)
                running.add(call)
            busy = [worker for worker in pool if worker.call is not None]
            wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                if not worker.collect(seconds):
                    worker.stop()
                    pool.remove(worker)
            while pending and pending[0].results:
                done = pending.popleft()
                yield done.task, done.results[0]
    finally:
        for worker in pool:
            worker.stop()


@dataclass(eq=False, slots=True)
class _Call(Generic[Task, Result]):
    task: Task
    results: list[Result | Failed] = field(default_factory=list)
    """Empty until it is done."""


class _Worker(Generic[Task, Result]):
    """A process that works on one task at a time."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        # Not forked: a copy of a process with threads, as torch has, may deadlock.
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self._process.start()
        theirs.close()
        self.call: _Call[Task, Result] | None = None
        self._began = False
        self._since = 0.0

    def start(self, call: _Call[Task, Result]) -> None:
        """Send a task; :meth:`collect` reports if the process has died."""
        self.call, self._since = call, time.monotonic()
        with suppress(OSError):
            self.connection.send(call.task)

    def collect(self, seconds: float) -> bool:
        """Store the result if there is one; return whether the process can still be used."""
        call = self.call
        assert call is not None
        try:
            if self.connection.poll():
                answer = self.connection.recv()
                if self._began:
                    call.results.append(answer)
                    self.call = None
                else:
                    self._began, self._since = True, time.monotonic()
                return True
        except (EOFError, OSError):
            self._process.join(timeout=5)
            code = self._process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
            call.results.append(Failed(f"the process that decoded it ended {how}"))
            return False
        start = (START_SECONDS, "the start of the process that decodes it")
        limit, what = (seconds, "it") if self._began else start
        if time.monotonic() - self._since > limit:
            call.results.append(Failed(f"{what} took longer than {limit:g} seconds"))
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

import os
import signal
import time

import pytest

from clipsonic_cli.data import workers
from clipsonic_cli.data.workers import AHEAD, Failed, each
from clipsonic_cli.errors import UsageError


def behave(task: object) -> object:
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "leave":
        os._exit(3)
    if task == "hang":
        time.sleep(60)
    if task == "refuse":
        raise UsageError("Not\nthis.")
    if task == "fail":
        raise ValueError("wrong")
    return task, os.getpid()


def test_a_process_that_dies_or_hangs_costs_its_task_alone():
    tasks = [0, "crash", 1, "hang", 2, "leave", 3, "refuse", "fail", 4]
    results = list(each(behave, tasks, workers=2, seconds=3))
    assert [task for task, _ in results] == tasks
    reasons = {task: result.reason for task, result in results if isinstance(result, Failed)}
    assert "signal 11" in reasons.pop("crash")
    assert "code 3" in reasons.pop("leave")
    assert "longer than 3 seconds" in reasons.pop("hang")
    assert reasons == {"refuse": "Not this.", "fail": "ValueError: wrong"}
    assert all(pid != os.getpid() for _, (_, pid) in results[::2][:4])


def test_without_workers_it_happens_here():
    assert list(each(behave, [1], workers=0)) == [(1, (1, os.getpid()))]
    [(_, failed)] = each(behave, ["fail"], workers=0)
    assert failed == Failed("ValueError: wrong")


def test_tasks_are_taken_as_needed_and_leaving_early_ends_the_processes():
    taken = []
    endless = (taken.append(k) or k for k in iter(int, 1))
    results = each(behave, endless, workers=1)
    _, (_, pid) = next(results)
    results.close()
    assert len(taken) <= AHEAD + 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def nothing(task):
    return None


def test_a_function_may_give_nothing():
    assert list(each(nothing, range(9), workers=1)) == [(number, None) for number in range(9)]


class SlowToStart:
    """Arrives in another process only once a file is there."""

    def __init__(self, gate):
        self.gate = gate

    def __setstate__(self, state):
        while not state["gate"].exists():
            time.sleep(0.01)

    def __call__(self, task):
        return task


class Clock:
    """Shows 400 seconds more at each look, up to ``end``; then it opens the gate."""

    def __init__(self, end, gate):
        self.now, self.end, self.gate = -400, end, gate

    def monotonic(self):
        if self.now < self.end:
            self.now += 400
        else:
            self.gate.touch()
        return self.now


def test_the_start_of_a_process_is_no_part_of_a_call(monkeypatch, tmp_path):
    gate = tmp_path / "open"
    monkeypatch.setattr(workers, "time", Clock(400, gate))
    assert list(each(SlowToStart(gate), [1], workers=1, seconds=100)) == [(1, 1)]


def test_a_process_that_never_starts_is_given_up(monkeypatch, tmp_path):
    gate = tmp_path / "open"
    monkeypatch.setattr(workers, "time", Clock(10_000, gate))
    [(_, failed)] = each(SlowToStart(gate), [1], workers=1, seconds=100)
    assert failed == Failed("the start of the process that decodes it took longer than 600 seconds")

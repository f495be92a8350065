"""How a training counts time: by a clock that the steps move."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch

from clipsonic_cli.trainer import checkpoint, clock
from clipsonic_cli.trainer.clock import Clock
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train

CONFIG = TrainConfig(steps=1000, batch_size=4, lr=0.05, warmup=200, save_every=6, log_every=4)


@pytest.fixture
def now(monkeypatch):
    """The time, in a list, which stands still."""
    now = [1e6]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def timed(now, regression):
    """Return a function that builds an objective whose steps take so many seconds."""

    def timed(seconds, stop=None):
        def before_step(step):
            if step == stop:
                raise RuntimeError("killed")
            now[0] += seconds

        objective = regression()
        objective.before_step = before_step
        return objective

    return timed


def test_the_pace_is_that_of_all_steps_but_the_first(now):
    measured = Clock(step=5, earlier=30.0, minutes=None)
    paces = []
    for step, seconds in enumerate((60, 2, 4, 6), start=6):
        now[0] += seconds
        measured.tick(step)
        paces.append(measured.pace(step))
    assert paces == [60, 2, 3, 4]
    assert measured.seconds == 102
    assert measured.end(9, 19) == (19, 40)
    assert measured.minutes_left is None
    assert not measured.over


def test_the_nearer_end_counts(now):
    measured = Clock(step=0, earlier=0, minutes=1)
    for step in (1, 2, 3):
        now[0] += 10
        measured.tick(step)
    assert measured.end(3, 5) == (5, 20)
    assert measured.end(3, 1000) == (6, 30)
    assert measured.minutes_left == 0.5
    now[0] += 31
    assert measured.over
    assert (measured.end(3, 1000), measured.minutes_left) == ((3, 0), 0)


def test_bar_metrics_and_result_of_a_training_of_minutes_agree(points, timed, tmp_path):
    seen, saved = [], []
    done = train(
        timed(6.0), points, CONFIG, tmp_path, held_out=points, minutes=1.0,
        on_step=seen.append, on_save=lambda progress, _log: saved.append(progress),
    )  # fmt: skip
    assert (done.step, done.seconds, done.last) == (10, 60, True)
    assert [(s.step, s.steps, s.seconds_left) for s in seen] == [
        (step, 10, 60 - 6 * step) for step in range(1, 11)
    ]
    assert [status.minutes_left for status in seen[-2:]] == [0.1, 0]
    assert {status.clips_per_second for status in seen[1:]} == {4 / 6}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "net" in line]
    assert [(line["step"], line["seconds"], line["eta_seconds"]) for line in logged] == [
        (4, 24, 36), (8, 48, 12), (10, 60, 0),
    ]  # fmt: skip
    assert "held_out_net" in lines[-1]  # validated at the end, though it is no multiple
    assert [(progress.step, progress.last) for progress in saved] == [(6, False), (10, True)]


def test_time_between_steps_counts(points, timed, now, tmp_path):
    def sample(_progress, _log):
        now[0] += 30

    done = train(timed(6.0), points, CONFIG, tmp_path, minutes=1.0, on_save=sample)
    assert (done.step, done.seconds) == (7, 6 * 6 + 30 + 6 + 30)


def test_the_warm_up_fits_into_the_time_and_is_kept(points, timed, tmp_path):
    """Ten minutes of six seconds a step are a hundred steps, of which it is a tenth."""

    def state(folder):
        return checkpoint.load_newest(tmp_path / folder)

    for folder, kill in (("whole", 13), ("parts", 10)):
        with pytest.raises(RuntimeError, match="killed"):
            train(timed(6.0, kill), points, CONFIG, tmp_path / folder, minutes=10)
    # Killed after a checkpoint at 6, before its length was known: measured again.
    assert (state("parts")["step"], state("parts")["warmup"]) == (6, 200)
    with pytest.raises(RuntimeError, match="killed"):
        train(timed(6.0, 13), points, CONFIG, tmp_path / "parts", minutes=9.4)
    whole, parts = state("whole"), state("parts")
    assert (whole["step"], whole["warmup"], parts["warmup"]) == (12, 10, 10)
    assert all(torch.equal(whole["ema"][name], w) for name, w in parts["ema"].items())

    # Later it stays, however fast steps are.
    longer = dataclasses.replace(CONFIG, steps=30)
    done = [
        train(timed(pace), points, longer, tmp_path / folder, minutes=minutes)
        for folder, pace, minutes in (("whole", 0.0, None), ("parts", 2.0, 90))
    ]
    assert [progress.warmup for progress in done] == [10, 10]
    assert all(torch.equal(done[0].weights[name], w) for name, w in done[1].weights.items())


def test_without_an_end_in_time_the_warm_up_is_the_configurations(points, timed, tmp_path):
    done = train(timed(6.0), points, dataclasses.replace(CONFIG, steps=12), tmp_path)
    assert done.warmup == 200

"""A training that is killed again and again, by the signal nothing can catch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from clipsonic_cli.trainer import checkpoint

PROGRAM = """
import random, signal, sys
from pathlib import Path

import torch._dynamo  # an optimizer's first step imports it, which takes seconds
from conftest import Points, Regression
from sudden_kill import expect, kill_before
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train

root, kills = Path(sys.argv[1]), 6
config = TrainConfig(
    steps=200, batch_size=4, lr=0.01, ema_decay=0.9, save_every=5, log_every=5, validate_every=20,
    validate_batches=1,
)

def go(folder, number=None):
    if number is not None:
        kill_before(number, folder)
    train(Regression(), Points(), config, folder, held_out=Points())

when = random.Random(0)
for _ in range(kills):
    expect(-signal.SIGKILL, go, root / "killed", when.randint(1, 60))
for name in ("killed", "unbroken"):
    expect(0, go, root / name)
"""


def final(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clock = {"seconds", "clips_per_second", "waiting", "eta_seconds"}
    timeless = [{k: v for k, v in line.items() if k not in clock} for line in lines]
    return checkpoint.load_newest(run_dir), timeless, checkpoint.load_best(run_dir)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_six_kills_change_nothing(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, tmp_path]
    here = {"cwd": Path(__file__).parent, "env": {**os.environ, "PYTHONPATH": ":".join(sys.path)}}
    subprocess.run(command, check=True, timeout=600, **here)
    state, lines, best = final(tmp_path / "killed")
    expected, expected_lines, expected_best = final(tmp_path / "unbroken")
    assert state["step"] == 200
    assert same(state["networks"]["net"], expected["networks"]["net"])
    assert same(state["ema"], expected["ema"])
    assert torch.equal(state["generator"], expected["generator"])
    assert lines == expected_lines
    assert best["step"] == expected_best["step"]
    assert same(best["weights"], expected_best["weights"])

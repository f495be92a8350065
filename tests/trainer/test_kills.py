"""A training that is killed again and again, by the signal nothing can catch."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from clipsonic_cli.trainer import checkpoint

PROGRAM = """
import os, random, signal, sys, time
from pathlib import Path

from conftest import Points, Regression
from clipsonic_cli.config import TrainConfig
from clipsonic_cli.trainer.loop import train

run_dir, kills = Path(sys.argv[1]), 6
config = TrainConfig(
    steps=200, batch_size=4, lr=0.01, ema_decay=0.9, save_every=5, log_every=5, validate_every=20,
    validate_batches=1,
)
go = lambda folder, objective: train(objective, Points(), config, folder, held_out=Points())

def held(limit):  # at a step, so that it does not end before it is killed
    objective = Regression()
    objective.before_step = lambda step: step >= limit and signal.pause()
    return objective

def newest(folder):
    return max((int(p.stem[-8:]) for p in folder.glob("state-*.pt")), default=0)

go(run_dir / "unbroken", Regression())
when = random.Random(0)
for kill in range(kills):
    goal = newest(run_dir / "killed") + 5 * when.randint(1, 4)
    child = os.fork()
    if not child:
        go(run_dir / "killed", held(goal + 7))  # after the next save
        os._exit(0)
    while newest(run_dir / "killed") < goal:
        time.sleep(0.001)
    time.sleep(when.uniform(0, 0.005))  # anywhere in a step, or in the next save
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"ended by itself before kill {kill}")
go(run_dir / "killed", Regression())
"""


def final(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clock = {"seconds", "clips_per_second", "waiting", "eta_seconds"}
    timeless = [{k: v for k, v in line.items() if k not in clock} for line in lines]
    return checkpoint.load_newest(run_dir), timeless, checkpoint.load_best(run_dir)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_six_kills_change_nothing(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parent, timeout=600)
    state, lines, best = final(tmp_path / "killed")
    expected, expected_lines, expected_best = final(tmp_path / "unbroken")
    assert state["step"] == 200
    assert same(state["networks"]["net"], expected["networks"]["net"])
    assert same(state["ema"], expected["ema"])
    assert torch.equal(state["generator"], expected["generator"])
    assert lines == expected_lines
    assert best["step"] == expected_best["step"]
    assert same(best["weights"], expected_best["weights"])

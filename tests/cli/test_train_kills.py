"""``clipsonic train`` killed twenty times, by the signal nothing can catch."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from make_media import write_media

from clipsonic_cli.store import bundle

CLIPS, KILLS, STEPS = 400, 20, 100
OPTIONS = f"--steps {STEPS} --batch-size 2 --save-every 2 --validate-every 20 --sample-every 0"
PROGRAM = """
import sys
from pathlib import Path
from clipsonic_cli.cli import main
from sudden_kill import kill_before

number, *folders = sys.argv[1:4]
del sys.argv[1:4]
if int(number):
    kill_before(int(number), *map(Path, folders))
main()
"""


class Runner:
    """One home with its run; ``go`` begins or goes on in a process of its own."""

    def __init__(self, folder: Path, data: Path, base: Path) -> None:
        folder.mkdir()
        self.home, self.run = folder / "home", folder / "run"
        first = [
            "--data",
            str(data),
            "--base",
            str(base),
            "--output",
            str(self.run),
            "--name",
            "it",
        ]
        self.first = [*first, *OPTIONS.split(), "--workers", "1"]

    def go(self, killed_before: int = 0) -> int:
        """Return the exit code; killed before an operation on files if a number is given."""
        options = ["--resume", str(self.run)] if self.is_training() else self.first
        program = [sys.executable, "-c", PROGRAM, str(killed_before), self.home, self.run]
        paths = {"CLIPSONIC_HOME": str(self.home), "PYTHONPATH": ":".join(sys.path)}
        environment = {**os.environ, **paths, "OMP_NUM_THREADS": "1"}
        command = [*program, "train", *options, "--quiet"]
        return subprocess.run(command, env=environment, timeout=3600).returncode

    def is_training(self) -> bool:
        return (self.run / "run.json").exists()

    def model(self) -> bundle.Bundle:
        return bundle.load(self.home / "models" / "it" / "unet.safetensors", kind="unet")


@pytest.mark.slow
def test_twenty_kills_lose_nothing(micro, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(CLIPS):
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, 40_000).astype(np.float32)
        write_media(data / f"{number}.mp4", seconds=2.5, fps=4, samples=noise)
    unbroken, killed = (Runner(tmp_path / name, data, micro) for name in ("unbroken", "killed"))
    assert unbroken.go() == 0
    when = random.Random(0)
    during = []
    for kill in range(KILLS):
        number = when.randint(1, 70)
        assert killed.go(number) == -signal.SIGKILL, f"ended by itself before kill {kill}"
        during.append(killed.is_training())
    assert {True, False} == set(during)
    assert killed.go() == 0
    ours, theirs = killed.model(), unbroken.model()
    assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in theirs.weights)
    assert ours.header.meta["steps"] == theirs.header.meta["steps"] == STEPS
    assert ours.header.meta["data"] == theirs.header.meta["data"]
    assert (killed.run / "data.csv").read_text() == (unbroken.run / "data.csv").read_text()
    lines = [(each.run / "metrics.jsonl").read_text().splitlines() for each in (killed, unbroken)]
    losses = [[json.loads(line).get("unet") for line in each] for each in lines]
    assert losses[0] == losses[1]

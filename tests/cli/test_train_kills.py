"""``clipsonic train`` killed twenty times, by the signal nothing can catch."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from make_media import write_media

from clipsonic_cli.store import bundle

CLIPS, KILLS, STEPS = 400, 20, 100
OPTIONS = f"--steps {STEPS} --batch-size 2 --save-every 2 --validate-every 20 --sample-every 0"


class Runner:
    """One home with its run; ``go`` begins or goes on in a process of its own."""

    def __init__(self, folder: Path, data: Path, base: Path) -> None:
        folder.mkdir()
        self.home, self.run = folder / "home", folder / "run"
        first = ["--data", str(data), "--base", str(base), "--out", str(self.run), "--name", "it"]
        self.first = [*first, *OPTIONS.split(), "--workers", "1"]

    def go(self) -> subprocess.Popen[bytes]:
        begun = (self.run / "run.json").exists()
        options = ["--resume", str(self.run)] if begun else self.first
        command = [sys.executable, "-m", "clipsonic_cli", "train", *options, "--quiet"]
        environment = {**os.environ, "CLIPSONIC_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=environment, start_new_session=True)

    def progress(self) -> int:
        """Shards written, then checkpoints."""
        states = [int(path.stem[-8:]) for path in self.run.glob("state-*.pt")]
        shards = len(list(self.home.glob("cache/prepared/*/*.safetensors")))
        return shards + max(states, default=0)

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
    assert unbroken.go().wait(600) == 0
    when = random.Random(0)
    during = []
    for kill in range(KILLS):
        child, before = killed.go(), killed.progress()
        wanted = before + (0 if kill in (0, 9) else when.choice([1, 1, 2]))
        deadline = time.monotonic() + 120
        while killed.progress() < wanted and time.monotonic() < deadline:
            assert child.poll() is None, f"ended by itself before kill {kill}"
            time.sleep(0.002)
        time.sleep(when.uniform(0, 1.5))  # anywhere: decoding, a step, in the midst of writing
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        during.append("training" if (killed.run / "run.json").exists() else "preparation")
    assert {"training", "preparation"} == set(during)
    assert killed.go().wait(600) == 0
    ours, theirs = killed.model(), unbroken.model()
    assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in theirs.weights)
    assert ours.header.meta["steps"] == theirs.header.meta["steps"] == STEPS
    assert ours.header.meta["data"] == theirs.header.meta["data"]
    assert (killed.run / "data.csv").read_text() == (unbroken.run / "data.csv").read_text()
    lines = [(each.run / "metrics.jsonl").read_text().splitlines() for each in (killed, unbroken)]
    losses = [[json.loads(line).get("unet") for line in each] for each in lines]
    assert losses[0] == losses[1]

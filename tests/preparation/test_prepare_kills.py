"""A preparation that is killed again and again, by the signal nothing can catch."""

import os
import subprocess
import sys

from make_media import clips_of
from pairs import gathered, write_pair

from clipsonic_cli.preparation.config import PreparationConfig

CLIPS = 20
PROGRAM = """
import random, signal, sys
from pathlib import Path

import torch
from make_media import clips_of
from sudden_kill import expect, kill_before
from clipsonic_cli.data.check import Rules
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.preparation import prepare as module
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.store import bundle

data, root, clip = (Path(each) for each in sys.argv[1:])
torch.set_num_threads(1)  # threads do not survive a fork
module.SHARD_CLIPS, kills = 2, 5
clips = list(clips_of(str(data)))
encoder = load_clip(bundle.load(clip, kind="clip"))
config = PreparationConfig(encoder=encoder.identity, waves=True)

def go(folder, number=None):
    if number is not None:
        kill_before(number, folder)
    module.prepare(clips, folder, config, clip_encoder=encoder, rules=Rules(), workers=0)

when = random.Random(0)
for _ in range(kills):
    expect(-signal.SIGKILL, go, root / "killed", when.randint(1, 20))
for name in ("killed", "unbroken"):
    expect(0, go, root / name)
"""


def test_kills_lose_nothing_and_change_nothing(tmp_path, micro, content):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(CLIPS):
        write_pair(data / f"{number}", 2.1 + 0.1 * number, 200.0 + 20 * number)
    clip = micro / "clip.safetensors"
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, data, tmp_path, clip]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}  # for what tests import
    subprocess.run(command, check=True, timeout=600, env=environment)
    clips = list(clips_of(str(data)))
    config = PreparationConfig(encoder="micro-clip", waves=True)
    killed, unbroken = (
        content(gathered(tmp_path / name, clips, config)) for name in ("killed", "unbroken")
    )
    assert len(unbroken) == CLIPS
    assert killed == unbroken
    left = {path.suffix for path in (tmp_path / "killed").iterdir()}
    assert left <= {".safetensors", ".part"}

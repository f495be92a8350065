"""A preparation that is killed again and again, by the signal nothing can catch."""

import subprocess
import sys
from pathlib import Path

from make_media import clips_of
from pairs import gathered, write_pair

from clipsonic_cli.preparation.config import PreparationConfig

CLIPS = 20
PROGRAM = """
import os, random, signal, sys, time
from pathlib import Path

import torch
from clipsonic_cli.config import PreparationConfig
from clipsonic_cli.data.check import Rules
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.preparation import prepare as module
from clipsonic_cli.store import bundle

data, root, clip, making = (Path(each) for each in sys.argv[1:])
sys.path.insert(0, str(making))
from make_media import clips_of

torch.set_num_threads(1)  # threads do not survive a fork
module.SHARD_CLIPS = 2
clips, when = list(clips_of(str(data))), random.Random(0)
encoder = load_clip(bundle.load(clip, kind="clip"))
config = PreparationConfig(encoder=encoder.identity, waves=True)

def start(folder):
    if not (child := os.fork()):
        module.prepare(clips, folder, config, clip_encoder=encoder, rules=Rules(), workers=0)
        os._exit(0)
    return child

def done():
    return len(list((root / "killed").glob("clips-*")))

for kill in range(5):
    goal = done() + (kill > 0)
    child = start(root / "killed")
    while done() < goal:
        time.sleep(0.001)
    time.sleep(when.uniform(0, 0.03))  # anywhere in the clips of the next shard, or its writing
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"ended by itself before kill {kill}")
for name in ("killed", "unbroken"):
    _, status = os.waitpid(start(root / name), 0)
    if status:
        sys.exit(f"{name} ended with {status}")
"""


def test_kills_lose_nothing_and_change_nothing(tmp_path, micro, content):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(CLIPS):
        write_pair(data / f"{number}", 2.1 + 0.1 * number, 200.0 + 20 * number)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, data, tmp_path]
    making = Path(__file__).parents[1] / "data"
    subprocess.run([*command, micro / "clip.safetensors", making], check=True, timeout=600)
    clips = list(clips_of(str(data)))
    config = PreparationConfig(encoder="micro-clip", waves=True)
    killed, unbroken = (
        content(gathered(tmp_path / name, clips, config)) for name in ("killed", "unbroken")
    )
    assert len(unbroken) == CLIPS
    assert killed == unbroken
    left = {path.suffix for path in (tmp_path / "killed").iterdir()}
    assert left <= {".safetensors", ".part"}

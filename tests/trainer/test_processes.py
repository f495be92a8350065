"""Two processes, started by torchrun, are one training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipsonic_cli.trainer import checkpoint

PROGRAM = """
import json, os, signal, sys
from pathlib import Path

import torch
from conftest import Points, Regression
from test_denoiser import PRIOR, PRIOR_PROCESS, UNET, Clips, random
from test_vocoder import Tones, make
from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import PriorObjective, UNetObjective
from clipsonic_cli.trainer.loop import train

out, rank = Path(sys.argv[1]), os.environ.get("RANK", "0")
processes = int(os.environ.get("WORLD_SIZE", "1"))
config = TrainConfig(
    steps=20, batch_size=8, lr=0.05, ema_decay=0.5, clip_norm=1.0, save_every=8, log_every=4,
    validate_every=10, validate_batches=2,
)

class Watched(Points):
    seen = []
    def sample(self, batch_size, generator):
        batch = super().sample(batch_size, generator)
        self.seen += batch["x"].flatten().tolist()
        return batch

points, saved = Watched(), []
done = train(
    Regression(dropout=0.0), points, config, out / "net", held_out=Points(),
    on_save=lambda progress, log: saved.append(progress),
)
seen = points.seen[: 2 * 8 * 20 // processes]  # beyond it: a batch made ahead
(out / f"seen-{rank}.json").write_text(json.dumps(seen))
(out / f"saved-{rank}.json").write_text(json.dumps([progress.step for progress in saved]))

short = TrainConfig(steps=6, batch_size=4, lr=1e-3, save_every=3, log_every=1)
train(make(warmup=2), Tones(), short, out / "gan")

torch.manual_seed(0)
embed = torch.nn.functional.normalize(random(6, 16), dim=1)
unet = UNet(UNET).to(memory_format=torch.channels_last)
unet = UNetObjective(unet, Process(DiffusionConfig()), window=8)
train(unet, Clips(mel=random(6, 1, 8, 12).tanh(), embed=embed[:, :4]), short, out / "unet")
texts = Clips(embed=embed, text_embed=embed.flip(0), text_encodings=random(6, 3, 8))
train(PriorObjective(Prior(PRIOR), PRIOR_PROCESS), texts, short, out / "prior")

stopped = Regression(dropout=0.0)
if rank == str(processes - 1):  # one process alone is told
    stopped.before_step = lambda step: step == 6 and signal.raise_signal(signal.SIGTERM)
try:
    train(stopped, points, config, out / "stopped")
except KeyboardInterrupt:
    train(Regression(dropout=0.0), points, config, out / "stopped")

points.y[:] = float("nan")
try:
    train(Regression(), points, config, out / "nan")
except ClipsonicError as error:
    (out / f"error-{rank}.txt").write_text(str(error))
if torch.distributed.is_initialized():  # else its threads may meet the end of the interpreter
    torch.distributed.destroy_process_group()
"""


NAMES = ["net", "gan", "unet", "prior", "stopped"]


def run(folder, *launcher):
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{PROGRAM}")
    command = [sys.executable, "-W", "ignore", *launcher, str(program), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return run(tmp_path_factory.mktemp("processes") / "one")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return run(tmp_path_factory.mktemp("processes") / "two", *torchrun)


def lines(folder):
    clock = {"seconds", "clips_per_second", "waiting", "eta_seconds"}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in clock} for line in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_curve_is_that_of_one_process(one, two, name):
    """Sums in another order differ in the last bits of float32."""
    alone, shared = lines(one / name), lines(two / name)
    assert len(alone) == len(shared) > 4
    for expected, line in zip(alone, shared, strict=True):
        assert line == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_of_one_process(one, two, name):
    """Adam makes much of the last bits where a gradient is all but zero: the norm is compared."""
    alone, shared = (
        torch.cat(
            [weight.flatten() for weight in checkpoint.load_newest(run / name)["ema"].values()]
        )
        for run in (one, two)
    )
    assert (alone - shared).norm() < 1e-4 * alone.norm()


@pytest.mark.slow
def test_the_processes_data_is_disjoint_and_together_that_of_one(one, two):
    whole = json.loads((one / "seen-0.json").read_text())
    halves = [json.loads((two / f"seen-{rank}.json").read_text()) for rank in (0, 1)]
    size = 2 * 8  # numbers of a step: 8 points of 2
    for step in range(20):
        first, second = (half[step * size // 2 : (step + 1) * size // 2] for half in halves)
        assert first + second == whole[step * size : (step + 1) * size]


@pytest.mark.slow
def test_one_process_writes(two):
    assert [p.name for p in sorted((two / "net").glob("[!.]*"))] == [
        "best.pt", "metrics.jsonl", "state-00000016.pt", "state-00000020.pt",
    ]  # fmt: skip
    assert json.loads((two / "saved-0.json").read_text()) == [8, 16, 20]
    assert json.loads((two / "saved-1.json").read_text()) == []


@pytest.mark.slow
def test_all_processes_stop_at_a_loss_that_is_no_number_and_name_all_clips(two):
    messages = {(two / f"error-{rank}.txt").read_text() for rank in (0, 1)}
    assert len(messages) == 1
    assert messages.pop().count("point-") == 8

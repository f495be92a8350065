import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_denoiser import UNET, Clips, random
from torch import nn

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.models.group_norm import GroupNorm32
from clipsonic_cli.models.unet import ResBlock, UNet
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import UNetObjective
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.optimizer import adamw, learning_rate

CONFIG = TrainConfig(steps=6, batch_size=8, lr=0.05, clip_norm=1.0, log_every=1, ema_decay=0.5)


def weights_of(objective):
    return torch.cat([p.detach().flatten() for p in objective.networks["net"].parameters()])


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_pieces_of_a_batch_add_up_to_the_batch(points, regression, tmp_path, micro_batch):
    whole, pieces = regression(dropout=0.0), regression(dropout=0.0)
    one = train(whole, points, CONFIG, tmp_path / "whole")
    config = dataclasses.replace(CONFIG, micro_batch=micro_batch)
    many = train(pieces, points, config, tmp_path / "pieces")
    torch.testing.assert_close(weights_of(whole), weights_of(pieces), rtol=1e-5, atol=1e-6)
    assert many.losses["net"] == pytest.approx(one.losses["net"], rel=1e-5)
    assert many.losses["twice"] == pytest.approx(2 * many.losses["net"], rel=1e-5)


class Small:
    """An objective on a GPU that only so many clips fit into."""

    def __init__(self, objective, clips):
        self.networks = objective.networks
        self.main, self.criterion = objective.main, objective.criterion
        self.draw, self.turns, self._loss, self.clips = (
            objective.draw, objective.turns, objective.loss, clips,
        )  # fmt: skip
        self.tried = []

    def loss(self, network, batch, step):
        loss = self._loss(network, batch, step)
        self.tried.append(len(batch["clip"]))
        if self.tried[-1] > self.clips:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss


def test_out_of_memory_halves_the_pieces_and_keeps_the_batch(points, regression, tmp_path):
    whole, small = regression(dropout=0.0), Small(regression(dropout=0.0), clips=2)
    train(whole, points, CONFIG, tmp_path / "whole")
    train(small, points, CONFIG, tmp_path / "small")
    torch.testing.assert_close(weights_of(whole), weights_of(small), rtol=1e-5, atol=1e-6)
    assert small.tried == [8, 4] + [2] * 4 * 6  # found once


def test_a_try_that_failed_leaves_no_trace_in_weights_or_metrics(points, regression, tmp_path):
    """With dropout too: every try begins from the same seed."""
    config = dataclasses.replace(CONFIG, micro_batch=4)
    planned, forced = regression(), Small(regression(), clips=4)
    first = train(planned, points, config, tmp_path / "planned")
    second = train(forced, points, CONFIG, tmp_path / "forced")
    assert torch.equal(weights_of(planned), weights_of(forced))
    assert first.losses == second.losses


def test_one_clip_that_does_not_fit_is_an_error_for_people(points, regression, tmp_path):
    with pytest.raises(ClipsonicError, match="ran out at step 0 with 1 of 8 clips at once"):
        train(Small(regression(), clips=0), points, CONFIG, tmp_path)


def test_only_matrices_decay():
    """With no gradient Adam moves nothing but by decay: lr * weight_decay of the weight."""
    network = nn.Conv1d(2, 3, 1)
    network.bias.data.fill_(1.0)
    before = network.weight.detach().clone()
    optimizer = adamw(network, TrainConfig(lr=0.1, weight_decay=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.detach(), 0.95 * before)
    assert (network.bias == 1).all()


def test_the_configs_numbers_reach_the_optimizer():
    config = TrainConfig(lr=0.3, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.06)
    groups = adamw(nn.Linear(2, 2), config).param_groups
    assert {(g["lr"], g["betas"], g["eps"]) for g in groups} == {(0.3, (0.8, 0.99), 1e-6)}
    assert [group["weight_decay"] for group in groups] == [0.06, 0.0]


def test_the_rate_rises_and_then_decays():
    config = TrainConfig(lr=1.0, warmup=4, lr_decay=0.5)
    rates = [learning_rate(config, step) for step in range(7)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.25]


def test_a_checkpoint_of_one_group_of_parameters_is_read(points, regression, tmp_path):
    """The state is by number of the parameter in its network, whatever groups it had."""
    config = dataclasses.replace(CONFIG, log_every=4)
    unbroken, resumed = regression(), regression()
    whole = train(unbroken, points, config, tmp_path / "unbroken")
    train(regression(), points, dataclasses.replace(config, steps=3), tmp_path)
    (path,) = tmp_path.glob("state-*.pt")
    state = torch.load(path)
    plain = torch.optim.AdamW(regression().networks["net"].parameters())
    plain.load_state_dict(plain.state_dict() | state["optimizers"]["net"])
    state["optimizers"]["net"] = plain.state_dict()
    torch.save(state, path)
    parts = train(resumed, points, config, tmp_path)
    assert torch.equal(weights_of(resumed), weights_of(unbroken))
    assert parts.losses == whole.losses


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_an_error_for_people(points, regression, tmp_path):
    config = dataclasses.replace(CONFIG, compile=True)
    objective = regression()
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}),
        pytest.raises(ClipsonicError, match=r"net cannot be compiled for cpu \(InvalidCxx") as item,
    ):
        train(objective, points, config, tmp_path)
    assert "\n" not in str(item.value)
    objective.networks["net"](points.x)  # is as it was before


COMPILED = """
import dataclasses, json, sys
from pathlib import Path

import torch
from conftest import Points, Regression
from test_denoiser import UNET, Clips, random
from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import UNetObjective
from clipsonic_cli.trainer.loop import train

whole = TrainConfig(
    steps=6, batch_size=8, lr=1e-3, save_every=3, log_every=1, validate_every=2, validate_batches=2,
)
pieces = dataclasses.replace(whole, micro_batch=3)
embed = torch.nn.functional.normalize(random(6, 4), dim=1)
clips = Clips(mel=random(6, 1, 8, 12).tanh(), embed=embed)

def unet():
    torch.manual_seed(0)
    network = UNet(UNET).to(memory_format=torch.channels_last)
    return UNetObjective(network, Process(DiffusionConfig()), window=8)

def run(folder, objective, dataset, **changes):
    config = pieces if isinstance(dataset, Points) else whole
    folder = Path(sys.argv[1]) / folder
    train(objective, dataset, dataclasses.replace(config, **changes), folder, held_out=dataset)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]

told = {}
for name, objective, dataset in (("net", lambda: Regression(dropout=0.0), Points()),
                                 ("unet", unet, clips)):
    told[name] = {"plain": run(name + "-plain", objective(), dataset)}
    before = graphs()
    told[name]["compiled"] = run(name + "-compiled", objective(), dataset, compile=True)
    told[name]["graphs"] = graphs() - before
    for first in (True, False):
        folder = f"{name}-{first}"
        run(folder, objective(), dataset, compile=first, steps=4)
        told[name][str(first)] = run(folder, objective(), dataset, compile=not first)
    told[name]["more graphs"] = graphs() - before - told[name]["graphs"]

for folder, steps in (("whole", [6]), ("parts", [2, 6])):
    for step in steps:
        run(folder, Regression(), Points(), compile=True, steps=step)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return what a process with plain and compiled runs prints, and their folder."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("compiling needs a C++ compiler, and there is no g++ here")
    out = tmp_path_factory.mktemp("compiled")
    command = [sys.executable, "-W", "ignore", "-c", COMPILED, str(out)]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(out / "cache")}
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), out


def losses(lines):
    clock = {"seconds", "clips_per_second", "waiting", "eta_seconds"}
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("run", ["compiled", "True", "False"])
@pytest.mark.parametrize("name", ["net", "unet"])
def test_a_compiled_run_is_the_plain_run_and_either_goes_on_from_the_other(compiled, name, run):
    """In all that is logged, held-out losses by averaged weights too; sums in another order."""
    result, _ = compiled
    plain, other = losses(result[name]["plain"]), losses(result[name][run])
    assert len(plain) == len(other) == 9
    for expected, line in zip(plain, other, strict=True):
        assert line == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "unet"])
def test_looks_at_held_out_clips_compile_once_and_not_each_time(compiled, name):
    """With and without gradients, for a piece of a batch and for what is left of it."""
    result, _ = compiled
    assert result[name]["graphs"] <= 4


def joined(saved, *, by):
    """Return all numbers of a saved state, by their last key if ``by`` is None."""
    found = {}
    for name, part in saved.items():
        if isinstance(part, dict):
            for key, numbers in joined(part, by=by).items():
                found.setdefault(key, []).append(numbers)
        elif isinstance(part, torch.Tensor):
            found.setdefault(by or name, []).append(part.double().flatten())
    return {key: torch.cat(parts) for key, parts in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "unet"])
def test_a_compiled_runs_checkpoint_is_a_plain_runs(compiled, name):
    """A few weights whose gradient is hardly more than rounding move otherwise; the mean does not.

    Of the U-Net's the mean difference was up to 1.2e-5 of the mean size, of the optimizer's first
    moments. Steps that differ by a tenth would make 2e-2 of the weights.
    """
    _, out = compiled
    plain, other = (checkpoint.load_newest(out / f"{name}-{x}") for x in ("plain", "compiled"))
    for key, by in (("networks", "weights"), ("ema", "weights"), ("optimizers", None)):
        expected, found = (joined(saved[key], by=by) for saved in (plain, other))
        assert expected.keys() == found.keys()
        assert by or {"step", "exp_avg", "exp_avg_sq"} <= expected.keys()
        for kind, numbers in expected.items():
            assert (found[kind] - numbers).abs().mean() < 1e-4 * numbers.abs().mean(), kind


@pytest.mark.slow
def test_a_compiled_run_with_dropout_is_resumed_to_the_last_bit(compiled):
    _, out = compiled
    whole, parts = (checkpoint.load_newest(out / name)["ema"] for name in ("whole", "parts"))
    assert all(torch.equal(parts[name], weight) for name, weight in whole.items())


def test_weights_moments_and_averages_of_a_u_net_stay_channels_last(tmp_path):
    """Through training, and through a checkpoint; the maps between the layers are so too."""
    seen = []

    def look(_module, inputs, output):
        seen.append(output.is_contiguous(memory_format=torch.channels_last))

    embed = torch.nn.functional.normalize(random(4, 4), dim=1)
    clips = Clips(mel=random(4, 1, 16, 16).tanh(), embed=embed)
    for steps in (1, 2):
        network = UNet(UNET).to(memory_format=torch.channels_last)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | ResBlock | GroupNorm32):
                module.register_forward_hook(look)
        objective = UNetObjective(network, Process(DiffusionConfig()), window=16)
        train(objective, clips, TrainConfig(steps=steps, batch_size=2), tmp_path)
    state = checkpoint.load_newest(tmp_path)
    kept = [*network.state_dict().values(), *state["networks"]["unet"].values()]
    kept += state["ema"].values()
    kept += [m["exp_avg"] for m in state["optimizers"]["unet"]["state"].values()]
    maps = [v for v in kept if v.ndim == 4 and v.shape[1] > 1 and v.shape[2] > 1]
    assert len(maps) == 4 * sum(1 for v in network.parameters() if v.shape[2:] == (3, 3)) - 4
    assert all(v.is_contiguous(memory_format=torch.channels_last) for v in maps)
    assert all(seen)


CUDA = """
import json, sys
from pathlib import Path

import torch
from test_denoiser import UNET, Clips, random
from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import UNetObjective
from clipsonic_cli.trainer.loop import train

embed = torch.nn.functional.normalize(random(64, 4), dim=1)
clips = Clips(mel=random(64, 1, 64, 64).tanh(), embed=embed)

def losses(folder, device, precision, **options):
    torch.manual_seed(0)
    unet = UNet(UNET).to(memory_format=torch.channels_last)
    objective = UNetObjective(unet, Process(DiffusionConfig()))
    config = TrainConfig(steps=4, batch_size=64, precision=precision, log_every=1, **options)
    train(objective, clips, config, Path(sys.argv[1]) / folder, device=torch.device(device))
    lines = (Path(sys.argv[1]) / folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["unet"] for line in lines], json.loads(lines[-1]).get("micro_batch")

full = {p: losses(p, "cuda", p) for p in ("float32", "bfloat16")}
_, total = torch.cuda.mem_get_info()
torch.cuda.empty_cache()
peak = torch.cuda.max_memory_allocated()
torch.cuda.set_per_process_memory_fraction(0.6 * peak / total)
print(json.dumps([full["float32"], full["bfloat16"], losses("small", "cuda", "float32")]))
"""


@pytest.mark.cuda
def test_a_gpu_trains_in_both_precisions_and_in_a_memory_too_small(tmp_path):
    """A process of its own: accelerate settles on one kind of device in each."""
    command = [sys.executable, "-W", "ignore", "-c", CUDA, str(tmp_path)]
    folder = Path(__file__).parent
    done = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    (full, _), (half, _), (small, piece) = json.loads(done.stdout.splitlines()[-1])
    assert half == pytest.approx(full, rel=0.02)
    assert small == pytest.approx(full, rel=1e-3)
    assert piece in (8, 16, 32)

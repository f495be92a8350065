"""What a request leaves open of a run's configuration: the paper's, or what suits the machine."""

import sys
from dataclasses import dataclass, replace
from typing import Any

import torch

from clipsonic_cli.config import StudentConfig
from clipsonic_cli.device import cores
from clipsonic_cli.ranges import round_up
from clipsonic_cli.trainer.config import TrainConfig, longest_warmup
from clipsonic_cli.training.request import Resolved, TrainRequest
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.stage_row import StageRow
from clipsonic_cli.training.stages import STAGES, fit_to_encoder, size_of
from clipsonic_cli.types import Stage

GIGABYTE = 1e9
MANY_CLIPS = 20_000
"""From here on, the paper's training is as long as on VGGSound."""
FEW_CLIPS = 2_000
"""Below it, the paper's network would memorize the clips."""
INTERVALS = {"save_every": 2000, "log_every": 100, "validate_every": 2000}
CPU_INTERVALS = {"save_every": 100, "log_every": 10, "validate_every": 250}
"""Steps between checkpoints, log lines and validations: a few minutes."""
BATCHES = ((60, 128), (20, 64), (0, 32))
"""A U-Net's default batch, by the least memory of a GPU in GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The hardware a training runs on."""

    device: str
    """ "cpu", "cuda" or "mps"."""
    name: str
    """The device in words."""
    memory: int = 0
    """Bytes of one GPU's memory; 0 for a CPU."""
    bfloat16: bool = False
    """Whether it computes fast in bfloat16."""
    processes: int = 1


def this_machine(device: torch.device, processes: int) -> Machine:
    """Describe the machine that this process runs on."""
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return Machine(
            device="cuda",
            name=card.name,
            memory=card.total_memory,
            bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
            processes=processes,
        )
    # Emulated elsewhere, which is slower than float32.
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return Machine(
        device=device.type,
        name=f"{cores()} cores" if device.type == "cpu" else "Apple GPU",
        bfloat16=device.type == "cpu" and bool(able.get("amx_bf16") or able.get("avx512_bf16")),
        processes=processes,
    )


def choose(
    request: TrainRequest, resolved: Resolved, machine: Machine, *, catalogue: str, clips: int
) -> tuple[RunConfig, tuple[str, ...]]:
    """Choose what the request leaves open, for as many training clips.

    A warm start's network is trained, on its diffusion process unless the paper's is requested.

    Returns:
        The run's configuration, and lines that say why it is so.
    """
    row, start = request.row, resolved.warm_start
    paper = request.preset == "paper"

    # Network.
    size, why = _size(request, resolved, machine, clips)
    network = start.network if start else row.sizes[size]
    if paper and start is None:
        network = replace(network, **row.paper_network)
    network = fit_to_encoder(network, request.stage, resolved.encoder)
    if isinstance(network, StudentConfig) and request.calls is not None:
        network = replace(network, calls=request.calls)

    # Diffusion process.
    own = start is not None and (not paper or row.teacher is not None)
    diffusion = start.diffusion if start and own else row.diffusion.get(request.preset)
    if request.extensions.zero_snr and diffusion is not None:
        prediction = "v" if diffusion.prediction == "eps" else diffusion.prediction
        diffusion = replace(diffusion, schedule="cosine-zero-snr", prediction=prediction)

    # Loop.
    usual = paper_settings(request.stage, clips)
    if not paper:
        usual = _default_settings(row, size, machine, clips)
        steps = request.train.get("steps", usual["steps"])
        usual["warmup"] = min(usual["warmup"], longest_warmup(steps))
    intervals = CPU_INTERVALS if machine.device == "cpu" else INTERVALS
    train = TrainConfig(**{**intervals, **usual, **request.train})
    every = request.sample_every
    config = RunConfig(
        name=request.name,
        data=request.source.data,
        catalogue=catalogue,
        stage=request.stage,
        space=request.space,
        warm_start=None if start is None else start.name,
        network=network,
        diffusion=diffusion,
        train=train,
        preset=request.preset,
        extensions=request.extensions,
        sample_every=max(train.save_every, train.steps // 20) if every is None else every,
        trackers=request.trackers,
        licence=request.licence or (start and start.licence) or "not stated",
    )

    # Reasons.
    place = machine.name + (f", {machine.processes} processes" if machine.processes > 1 else "")
    base = resolved.base
    rest = f"model '{base.name}'" if base.path.is_dir() else "published weights"
    chosen = not paper and "precision" not in request.train
    reasons = (
        f"training {config.part.name} on {place}; the rest is from {rest}",
        f"size {size} ({why})",
        f"batch {train.batch_size}, learning rate {train.lr:g}, "
        f"{train.precision}{_why_precision(train, row) if chosen else ''}",
    )
    return config, reasons


def _size(
    request: TrainRequest, resolved: Resolved, machine: Machine, clips: int
) -> tuple[str, str]:
    """Choose the network's size, and say why."""
    if request.size is not None:
        return request.size, "requested"
    if resolved.warm_start is not None:
        size = size_of(resolved.warm_start.network, request.stage)
        return size or "of its own", "the warm start's"
    if request.preset == "paper":
        return "large", "the paper's, as far as it says"
    if machine.device == "cpu":
        return "mini", "what a CPU can train in hours"
    if 0 < machine.memory < 6 * GIGABYTE:
        return "base", f"{machine.memory / GIGABYTE:.0f} GB of memory; large needs 6"
    if clips < FEW_CLIPS:
        return "base", f"{clips:,} clips; large is for {FEW_CLIPS:,} and more"
    return "large", "the paper's, which this GPU can train"


def paper_settings(stage: Stage, clips: int) -> dict[str, Any]:
    """Return the fields of TrainConfig that make a training the paper's.

    Where the paper is silent they are those of the code it names: improved-diffusion's trainer of
    the U-Net, dalle2-pytorch's of the prior, and BigVGAN's first version.

    Source: CLIPSonic section 3 and appendix A.
    """
    row = STAGES[stage]
    return {
        "steps": row.paper_steps[clips >= MANY_CLIPS],
        "ema_warmup": False,
        "publish": "last",
        "publish_dtype": "float32",
        **row.paper,
    }


def _default_settings(row: StageRow, size: str, machine: Machine, clips: int) -> dict[str, Any]:
    """Return what was found to train well in the time that such a machine takes."""
    cpu = machine.device == "cpu"
    settings = {
        "lr": row.lr.get(size, row.lr["large"]),
        "batch_size": next(b for least, b in BATCHES if machine.memory >= least * GIGABYTE),
        "steps": 200_000 if clips >= FEW_CLIPS else 50_000,
        "precision": "bfloat16" if machine.bfloat16 else "float32",
        "compile": machine.device == "cuda" and sys.platform == "linux",  # where Triton comes along
        "warmup": 200 if cpu else 1000,
        "ema_decay": 0.999 if cpu else 0.9999,
        "clip_norm": 1.0,
        **row.default,
        **(row.cpu if cpu else {}),
    }
    return settings | {"batch_size": round_up(settings["batch_size"], machine.processes)}


def _why_precision(train: TrainConfig, row: StageRow) -> str:
    if train.precision == "bfloat16":
        return ", which this machine computes faster"
    if "precision" in row.default:
        return ", which suits it"
    return ", as this machine has no fast bfloat16"

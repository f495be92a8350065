"""What a training is like when little is asked for: the paper's, or what suits data and machine.

Knows: settings and why. Does not know: how anything is trained. ``choose`` touches nothing.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from clipsonic_cli.config import (
    PRESETS,
    PRIOR_SIZES,
    UNET_SIZES,
    VOCODER_SIZES,
    DiffusionConfig,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.registry import unknown
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.types import Stage

SIZES: Mapping[Stage, Mapping[str, Any]] = {
    "unet": UNET_SIZES,
    "prior": PRIOR_SIZES,
    "vocoder": VOCODER_SIZES,
}
Network = UNetConfig | PriorConfig | VocoderConfig
GIGABYTE = 1e9
MANY_CLIPS = 20_000
"""Above it, the paper trains for as long as on VGGSound."""
EPOCH = 171_899 // 32
"""Steps in which the paper's batches of 32 go through the paper's VGGSound once (CLIPSonic section
3): BigVGAN's learning rate decays by the epoch, which on a small data set would end it early."""
FEW_CLIPS = 2_000
"""Below it, the paper's network would learn the clips by heart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What trains.

    Args:
        device: "cpu", "cuda" or "mps".
        name: What a person calls it.
        memory: Bytes of one GPU's memory; 0 for a CPU.
        bfloat16: Whether it computes in bfloat16 at speed.
        processes: How many of them.
    """

    device: str
    name: str
    memory: int = 0
    bfloat16: bool = False
    processes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is to train on.

    Args:
        clips: Fit for training.
        dim: D of the vectors that condition it.
        text_dim: C of token encodings.
        max_text_len: L of token encodings.
    """

    clips: int
    dim: int = 768
    text_dim: int = 768
    max_text_len: int = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """What a warm start is.

    Args:
        network: What it is to be loaded into.
        diffusion: The process it was trained on; None for a vocoder.
    """

    network: Network
    diffusion: DiffusionConfig | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen, and why, in words."""

    network: Network
    diffusion: DiffusionConfig | None
    train: TrainConfig
    sample_every: int
    reasons: tuple[str, ...]


def this_machine(device: torch.device, processes: int) -> Machine:
    """Describes the machine that this process runs on."""
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


def cores() -> int:
    """Gives how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_names(preset: str, stage: Stage, size: str | None) -> None:
    """Refuses a preset or a size that there is not.

    Raises:
        UsageError: So it is; the nearest is suggested.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, list(PRESETS))
    if size is not None and size not in SIZES[stage]:
        raise unknown("size", size, list(SIZES[stage]))


def choose(
    preset: str,
    stage: Stage,
    machine: Machine,
    facts: Facts,
    *,
    size: str | None = None,
    begun: WarmStart | None = None,
    wishes: Mapping[str, Any] | None = None,
) -> Choice:
    """Chooses network, process and loop.

    Args:
        preset: One of :data:`PRESETS`.
        stage: What is trained.
        machine: What trains it.
        facts: On what.
        size: A size of :data:`SIZES`; None chooses.
        begun: A warm start: its network is trained, on its process unless the paper's is wanted.
        wishes: Fields of :class:`TrainConfig` that a person asked for.

    Raises:
        UsageError: There is no such preset or size.
    """
    check_names(preset, stage, size)
    asked = dict(wishes or {})
    paper = preset == "paper"
    if size is not None:
        why = "asked for"
    elif begun is not None:
        size, why = size_of(begun.network, stage) or "of its own", "the warm start's"
    else:
        size, why = _size(machine, facts, paper=paper)
    network = begun.network if begun else SIZES[stage][size]
    if paper and begun is None and isinstance(network, PriorConfig):
        network = replace(network, attention="softmax_bias128")  # as CLIPSonic-PD's (appendix A)
    of_preset = paper_settings(stage, facts.clips) if paper else _usual(size, stage, machine, facts)
    if not paper:  # a batch that can be shared
        share = -(-of_preset["batch_size"] // machine.processes)
        of_preset["batch_size"] = share * machine.processes
    train = TrainConfig(**{**_intervals(machine), **of_preset, **asked})
    precision = "" if paper or "precision" in asked else _precision(train, stage)
    reasons = (
        f"size {size} ({why})",
        f"batch {train.batch_size}, {train.steps:,} steps, learning rate {train.lr:g}, "
        f"{train.precision}{precision}",
    )
    return Choice(
        network=_for_encoder(network, facts),
        diffusion=begun.diffusion if begun and not paper else _diffusion(stage, paper=paper),
        train=train,
        sample_every=max(train.save_every, train.steps // 20),
        reasons=reasons,
    )


def _size(machine: Machine, facts: Facts, *, paper: bool) -> tuple[str, str]:
    if paper:
        return "large", "the paper's, as far as it says"
    if machine.device == "cpu":
        return "mini", "what a CPU can train in hours"
    if 0 < machine.memory < 6 * GIGABYTE:
        return "base", f"{machine.memory / GIGABYTE:.0f} GB of memory; large needs 6"
    if facts.clips < FEW_CLIPS:
        return "base", f"{facts.clips:,} clips; large is for {FEW_CLIPS:,} and more"
    return "large", "the paper's, which this GPU can train"


def size_of(network: Network, stage: Stage) -> str | None:
    """Return the name of a network's size, or None for a size of its own.

    Neither the encoder it is for nor a prior's kind of attention matters.
    """

    def plain(network: Network) -> Network:
        network = _for_encoder(network, Facts(clips=0))
        return replace(network, attention="cosine") if isinstance(network, PriorConfig) else network

    sizes: Mapping[str, Network] = SIZES[stage]
    return next((name for name, each in sizes.items() if plain(each) == plain(network)), None)


def _for_encoder(network: Network, facts: Facts) -> Network:
    """Gives a network the sizes of the encoder's vectors."""
    match network:
        case UNetConfig():
            return replace(network, cond_dim=facts.dim)
        case PriorConfig():
            return replace(
                network, dim=facts.dim, text_dim=facts.text_dim, max_text_len=facts.max_text_len
            )
        case VocoderConfig():
            return network


def _diffusion(stage: Stage, *, paper: bool) -> DiffusionConfig | None:
    match stage:
        case "unet":
            # Few steps, which is how sounds are made here, suit v better than eps.
            return DiffusionConfig() if paper else DiffusionConfig(prediction="v")
        case "prior":
            return DiffusionConfig(
                train_steps=PriorConfig().num_timesteps,
                prediction="x0",
                variance="fixed",
                clip_x0=False,
            )
        case "vocoder":
            return None


def paper_settings(stage: Stage, clips: int) -> dict[str, Any]:
    """Return the fields of TrainConfig that make a training the paper's.

    Where the paper is silent they are those of the code it names: improved-diffusion's trainer of
    the U-Net, dalle2-pytorch's of the prior, and BigVGAN's first version, which is trained as
    HiFi-GAN is (Kong et al. 2020, section 3) and averages no weights.

    Args:
        stage: What is trained.
        clips: Fit for training.

    Source: CLIPSonic section 3 and appendix A.
    """
    loop: dict[str, Any] = {"ema_warmup": False, "publish": "last", "publish_dtype": "float32"}
    match stage:
        case "unet":
            return loop | {"steps": 500_000 if clips >= MANY_CLIPS else 200_000}
        case "prior":
            return loop | {
                "weight_decay": 0.06,
                "betas": (0.9, 0.99),
                "eps": 1e-6,
                "clip_norm": 0.5,
                "prior_dropout": 0.05,
                "steps": 200_000,
            }
        case "vocoder":
            return loop | {
                "betas": (0.8, 0.99),
                "clip_norm": 1000.0,
                "weight_decay": 0.01,
                "decayed": "all",
                "lr_decay": 0.999 ** (1 / EPOCH),
                "ema_decay": 0.0,
                "steps": 500_000,
            }


def _usual(size: str, stage: Stage, machine: Machine, facts: Facts) -> dict[str, Any]:
    """What was found to train well within the time that a machine of its kind takes."""
    of_machine: dict[str, Any] = {
        "precision": "bfloat16" if machine.bfloat16 and stage != "vocoder" else "float32",
        "compile": machine.device == "cuda" and sys.platform == "linux",  # where Triton comes along
        "warmup": 200 if machine.device == "cpu" else 1000,
        "ema_decay": 0.999 if machine.device == "cpu" else 0.9999,
        "clip_norm": 1.0,
    }
    rate = {"base": 3e-4, "mini": 8e-4}.get(size, 1e-4)
    if machine.device == "cpu":
        steps = {"unet": 3000, "prior": 3000, "vocoder": 5000}[stage]
    else:
        steps = 200_000 if facts.clips >= FEW_CLIPS else 50_000
    batch = 128 if machine.memory > 60 * GIGABYTE else 64 if machine.memory > 20 * GIGABYTE else 32
    match stage:
        case "unet":
            return of_machine | {"lr": rate, "steps": steps, "batch_size": batch}
        case "prior":
            of_prior = {"weight_decay": 0.06, "betas": (0.9, 0.99), "eps": 1e-6}
            lr = min(5e-4, rate)
            return of_machine | of_prior | {"lr": lr, "steps": steps, "batch_size": 128}
        case "vocoder":
            few = 8 if machine.device == "cpu" else 32
            lr = min(4e-4, rate)
            of_gan = {"betas": (0.8, 0.99), "clip_norm": 1000.0, "batch_size": few}
            return of_machine | of_gan | {"lr": lr, "steps": steps}


def _intervals(machine: Machine) -> dict[str, int]:
    """A few minutes between checkpoints, on a CPU and on a GPU."""
    if machine.device == "cpu":
        return {"save_every": 100, "log_every": 10, "validate_every": 250}
    return {"save_every": 2000, "log_every": 100, "validate_every": 2000}


def _precision(train: TrainConfig, stage: Stage) -> str:
    if train.precision == "bfloat16":
        return ", which this machine computes faster"
    return ", which suits it" if stage == "vocoder" else ", as this machine has no fast bfloat16"

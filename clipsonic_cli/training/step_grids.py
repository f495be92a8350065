"""The timesteps that suit a trained U-Net, for each sampler and number of steps."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clipsonic_cli.config import UNetConfig
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.step_grids import SOLVERS, optimal_grids, solve
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.models import state_dict
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.ranges import round_up
from clipsonic_cli.store.step_grids import KEY
from clipsonic_cli.training.request import TrainCallbacks
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.setup import Setup
from clipsonic_cli.types import Report, silent

SHARE = 0.02
"""Share of the time of the U-Net's training, at most."""
LEAST_SECONDS = 5.0
"""Least that this share must be; after a shorter training there are no grids."""
SOUNDS = 8
"""Sounds whose solution decides, at most."""
LEVELS = 72
"""Steps of the solution, whose levels are chosen from."""
MOST_STEPS = 32
"""Most steps that have a grid."""
W = 1.5
"""Guidance scale, the default of a recipe."""


def grids_of(
    weights: Mapping[str, Tensor],
    config: RunConfig,
    setup: Setup,
    device: torch.device,
    seconds: float,
    callbacks: TrainCallbacks,
) -> Mapping[str, Any]:
    """Choose timesteps for a U-Net that was trained for ``seconds``, on held-out clips if any.

    Returns:
        What its meta holds of them; nothing after a short training.
    """
    budget, header, network = SHARE * seconds, setup.header, config.network
    if budget < LEAST_SECONDS:
        return {}
    assert isinstance(network, UNetConfig)
    assert header.diffusion is not None  # a U-Net's header has both
    assert header.mel is not None
    clips = setup.dataset if setup.held_out is None else setup.held_out
    generator = torch.Generator().manual_seed(config.train.seed)
    meta = choose_step_grids(
        state_dict.build(lambda: UNet(network), weights, config.part.name, device=device),
        Process(header.diffusion),
        clips.sample(SOUNDS, generator)["embed"],
        (header.mel.n_mels, config.extensions.window),
        seconds=budget,
        report=callbacks.on_progress,
    )
    if meta:
        callbacks.on_message(
            f"timesteps of {', '.join(SOLVERS)} are chosen for this U-Net, in up to {MOST_STEPS} "
            "steps"
        )
    return meta


def choose_step_grids(
    unet: UNet,
    process: Process,
    embed: Tensor,
    shape: tuple[int, int],
    *,
    seconds: float | None = None,
    report: Report = silent,
) -> Mapping[str, Any]:
    """Choose timesteps for every sampler that draws no noise, as a U-Net's meta holds them.

    Args:
        unet: The network, in evaluation mode.
        process: What it was trained on.
        embed: (B, D) conditions; the first :data:`SOUNDS` are used, or fewer.
        shape: Mel bands and frames.
        seconds: Time to take, by the time of a first step; None sets no limit.
        report: Receives the steps of the solution.

    Returns:
        Nothing where the time is not enough for one sound.
    """
    embed = embed[:SOUNDS].to(next(unet.parameters()).device, torch.float32)
    height, frames = shape[0], round_up(shape[1], unet.multiple)
    x_T = SeededNoise(range(len(embed)))((len(embed), 1, height, frames)).to(embed)  # noqa: N806
    levels = min(LEVELS, process.config.train_steps)

    def denoise_for(cond: Tensor) -> Any:
        uncond = unet.null_cond[None].float()
        return guided(
            lambda x_t, t, c: unet(x_t, process.network_time(t), c),
            cond,
            uncond,
            Constant(W, process),
        )

    if seconds is not None:
        timesteps = spaced_timesteps(process.config.train_steps, 3)
        solve(denoise_for(embed[:1]), x_T[:1], timesteps[:1], process)  # the first is slower
        started = time.perf_counter()
        solve(denoise_for(embed[:1]), x_T[:1], timesteps[1:], process)
        each = (time.perf_counter() - started) / 2
        count = min(len(embed), int(seconds / (each * levels)))
        if count < 1:
            return {}
        embed, x_T = embed[:count], x_T[:count]  # noqa: N806
    timesteps = spaced_timesteps(process.config.train_steps, levels)
    solved = solve(denoise_for(embed), x_T, timesteps, process, report=report)
    grids = {name: optimal_grids(name, solved, MOST_STEPS) for name in SOLVERS}
    return {
        KEY: {name: {str(steps): grid for steps, grid in of.items()} for name, of in grids.items()}
    }

"""How a recipe samples a mel: by which network, at which timesteps, and what a call predicts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.config import Recipe, StudentConfig
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.diffusion.guidance import distilled, guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import halving_timesteps, spaced_timesteps
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.modes import MODES, Mode
from clipsonic_cli.parts import Denoiser
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.step_grids import step_grid
from clipsonic_cli.store.student import SAMPLER
from clipsonic_cli.text import counted
from clipsonic_cli.types import Denoise


def mode_of(recipe: Recipe) -> Mode:
    """Return a recipe's mode, with the student in the place of its U-Net where it says so.

    A mode without a student, or a negative for one, is a UsageError.
    """
    mode = MODES[recipe.mode]
    if not recipe.student:
        return mode
    if recipe.negative_query is not None:
        raise UsageError(
            "A student has learned to steer away from the absent condition alone. Leave out "
            "`negative`, or make the sound without the student."
        )
    return mode.by_student()


def check_sampling(recipe: Recipe, unet: Header) -> None:
    """Check that a U-Net can make what a recipe says: names, steps and guidance.

    Raises:
        UsageError: A name is unknown, the steps exceed the training schedule, or a student was
            trained for others, or cannot be guided so.
        BadBundle: The file is of a student where a U-Net is needed, or the other way round; or its
            timesteps are damaged.
    """
    GUIDANCE_RULES.check(recipe.guidance_rule)
    SAMPLERS.check(recipe.sampler)
    config = unet.config
    if isinstance(config, StudentConfig) != recipe.student:
        needed = "student" if recipe.student else "U-Net"
        raise BadBundle(f"A {needed} is needed, the part holds a {unet.kind}. Get it again.")
    if isinstance(config, StudentConfig):
        _check_student(recipe, unet, config)
    timesteps_of(recipe, unet)


def _check_student(recipe: Recipe, unet: Header, config: StudentConfig) -> None:
    """Check that a student was trained for a recipe's sampler, steps and guidance."""
    assert unet.diffusion is not None  # a student's header has one
    if recipe.sampler != SAMPLER:
        raise UsageError(
            f"The student takes steps of {SAMPLER}, not of {recipe.sampler}. Leave out `sampler`, "
            "or make the sound without the student."
        )
    if recipe.steps != config.calls:
        raise UsageError(
            f"The student of this model was trained for {counted(config.calls, 'step')}, not "
            f"{recipe.steps}. Leave out `steps`, or train one for as many `calls`."
        )
    rule: type[Constant] = GUIDANCE_RULES.load(recipe.guidance_rule)
    if not rule.is_scale:
        raise UsageError(
            f"The student reads w alone, and the rule '{recipe.guidance_rule}' changes more. Leave "
            "out `guidance_rule`, or make the sound without the student."
        )
    bound = rule(recipe.guidance, Process(unet.diffusion))
    most = max(bound.scale(torch.tensor([t])) for t in timesteps_of(recipe, unet))
    if most > config.max_guidance:
        raise UsageError(
            f"`guidance` is {recipe.scale}; the student of this model reads 0 to "
            f"{config.max_guidance:g}. Lower it, or make the sound without the student."
        )


def timesteps_of(recipe: Recipe, unet: Header) -> Sequence[int]:
    """Return the timesteps that a recipe visits, noisiest first; see :func:`check_sampling`."""
    assert unet.diffusion is not None  # a U-Net's header has one
    if recipe.student:
        return halving_timesteps(unet.diffusion.train_steps, recipe.steps)
    evenly = spaced_timesteps(unet.diffusion.train_steps, recipe.steps)
    return step_grid(unet, recipe.sampler, recipe.steps) or evenly


def denoise_of(recipe: Recipe, denoiser: Denoiser, cond: Tensor, uncond: Tensor) -> Denoise:
    """Bind conditions and a recipe's guidance to a U-Net, or to a student.

    Args:
        recipe: Its guidance counts.
        denoiser: The network.
        cond: (B, D).
        uncond: (B, D) or (1, D), what a U-Net is steered away from.
    """
    unet, process = denoiser.unet, denoiser.process
    rule: Constant = GUIDANCE_RULES.load(recipe.guidance_rule)(recipe.guidance, process)

    def call(x_t: Tensor, t: Tensor, cond: Tensor, w: Tensor | None = None) -> Tensor:
        output: Tensor = unet(x_t, process.network_time(t), cond, w)
        return output

    return distilled(call, cond, rule) if recipe.student else guided(call, cond, uncond, rule)

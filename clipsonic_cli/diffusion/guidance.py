"""Wrap a conditional network as a :class:`~clipsonic_cli.types.Denoise`: guidance, windows."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.types import Denoise

Model = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``model(x_t, t, cond) -> output`` for x_t (B, C, ...), t (B,) and cond (B, D)."""


def guided(model: Model, cond: Tensor, uncond: Tensor, rule: Constant) -> Denoise:
    """Bind a condition with classifier-free guidance: ``uncond + w * (cond - uncond)``, or a rule.

    w = 0 is unconditional and w = 1 plainly conditional, each with one model call of B; any other
    w makes one call of 2B. Variance logits, if the output has them, are the conditional half's.

    Args:
        model: The network.
        cond: (B, D).
        uncond: (B, D) or (1, D): the learned null condition, or one to steer away from.
        rule: A row of ``diffusion.GUIDANCE_RULES``, with w.
    """
    uncond = uncond.expand_as(cond)
    both = torch.cat([uncond, cond])  # (2B, D)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        w = rule.scale(t)
        if w in (0, 1):
            return model(x_t, t, cond if w == 1 else uncond)
        output = model(torch.cat([x_t, x_t]), torch.cat([t, t]), both)  # (2B, C or 2C, ...)
        without, with_ = output.to(x_t.dtype).chunk(2)
        logits = with_[:, x_t.shape[1] :]  # of the variance, if learned
        return torch.cat([rule.combine(x_t, t, w, with_, without), logits], dim=1)

    return denoise


def distilled(model: Callable[..., Tensor], cond: Tensor, rule: Constant) -> Denoise:
    """Bind a condition and the w of a rule to a student, ``model(x_t, t, cond, w)``: one call of B.

    Args:
        model: A network that has learned what guidance makes of its teacher's predictions.
        cond: (B, D).
        rule: A row of ``diffusion.GUIDANCE_RULES`` that changes nothing but w.

    Source:
        Meng et al. 2023, section 3.1.
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return model(x_t, t, cond, torch.full_like(t, rule.scale(t), dtype=torch.float32))

    return denoise


def windowed(denoise: Denoise, frames: int, window: int, hop: int) -> Denoise:
    """Denoise a long x_t in overlapping windows along its last axis, and blend them.

    Windows start every ``hop`` frames; the last one ends with x_t. They are evaluated one after
    another, so memory does not grow with the length. Predictions and variance logits are weighted
    by a Hann window: with equal weights the mel would jump where a window starts or ends. The
    weights of a frame sum to 1, also at both ends of x_t. An x_t of one window is not divided.

    Args:
        denoise: Called with x_t (B, ..., window).
        frames: Length of x_t.
        window: Length of a window.
        hop: Distance between windows, 1 to ``window``.

    Source:
        Bar-Tal et al. 2023 (MultiDiffusion), eq. 5, with a Hann window for the weights.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop must be in 1 .. {window}, the window: {hop}")
    if frames <= window:
        return denoise
    starts = [*range(0, frames - window, hop), frames - window]
    # Sampled between its zeros, so that all weights are positive.
    hann = torch.sin(math.pi * (torch.arange(window) + 0.5) / window) ** 2
    total = torch.zeros(frames)
    for start in starts:
        total[start : start + window] += hann
    weights = [hann / total[start : start + window] for start in starts]  # (window,)

    def blend(x_t: Tensor, t: Tensor) -> Tensor:
        outputs = [denoise(x_t[..., start : start + window], t) for start in starts]
        blended = x_t.new_zeros(*outputs[0].shape[:-1], frames)
        for start, weight, output in zip(starts, weights, outputs, strict=True):
            blended[..., start : start + window] += weight.to(x_t) * output
        return blended

    return blend

"""Wrappers that turn a conditional network into a :class:`~clipsonic_cli.types.Denoise`.

Knows how outputs are combined; does not know what a condition means.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from clipsonic_cli.types import Denoise

Model = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``model(x_t, t, cond) -> output`` for x_t (B, C, ...), t (B,) and cond (B, D)."""


def guided(model: Model, cond: Tensor, uncond: Tensor, guidance_scale: float) -> Denoise:
    """Bind a condition with classifier-free guidance: ``uncond + w * (cond - uncond)``.

    w = 0 is unconditional and w = 1 plainly conditional, each with one model call of B; any other
    w makes one call of 2B. Variance logits, if the output has them, are the conditional half's.

    Args:
        model: The network.
        cond: (B, D).
        uncond: (B, D) or (1, D): the learned absence of a condition, or one to steer away from.
        guidance_scale: The paper's w.

    Source:
        CLIPSonic section 2, footnote 2; Ho & Salimans 2022, whose w is smaller by one.
    """
    uncond = uncond.expand_as(cond)
    if guidance_scale in (0, 1):
        only = cond if guidance_scale == 1 else uncond
        return lambda x_t, t: model(x_t, t, only)
    both = torch.cat([uncond, cond])  # (2B, D)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        output = model(torch.cat([x_t, x_t]), torch.cat([t, t]), both)  # (2B, C or 2C, ...)
        without, with_ = output.to(x_t.dtype).chunk(2)
        channels = x_t.shape[1]  # what follows them on axis 1 is variance logits
        base, steered = without[:, :channels], with_[:, :channels]
        prediction = base + guidance_scale * (steered - base)
        return torch.cat([prediction, with_[:, channels:]], dim=1)

    return denoise


def windowed(denoise: Denoise, frames: int, window: int, hop: int) -> Denoise:
    """Bind a network to a long x_t: it predicts overlapping windows, which are blended.

    Windows start every ``hop`` frames; the last one ends with x_t. They are evaluated one after
    another, so memory does not grow with the length. A window's prediction (and its variance
    logits) counts by a Hann window, so that it enters and leaves without a step: with equal weights
    the mel jumps where a window begins or ends. The weights of a frame sum to 1, also at both ends
    of x_t, which only one window covers. What fits one window is not cut.

    Args:
        denoise: Called with x_t (B, ..., window).
        frames: Length of x_t along the last axis.
        window: Length of a window.
        hop: Distance between windows, 1 to ``window``.

    Raises:
        ValueError: A hop that leaves gaps or does not advance.

    Source:
        Bar-Tal et al. 2023 (MultiDiffusion), eq. 5, with a Hann window for the weights.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop must lie in 1 .. {window}, the window: {hop}")
    if frames <= window:
        return denoise
    starts = [*range(0, frames - window, hop), frames - window]
    # Sampled between its zeros: every frame of a window counts, the outermost least.
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

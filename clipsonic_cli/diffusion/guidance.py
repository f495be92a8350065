"""Wrappers that turn a conditional network into a :class:`~clipsonic_cli.types.Denoise`.

Knows how outputs are combined; does not know what a condition means.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from clipsonic_cli.types import Denoise

Model = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``model(x_t, t, cond) -> output`` for x_t (B, C, ...), t (B,) and cond (B, D)."""


def guided(model: Model, cond: Tensor, uncond: Tensor, guidance_scale: float) -> Denoise:
    """Binds a condition with classifier-free guidance: ``uncond + w * (cond - uncond)``.

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
    """Lets a network see a long x_t through overlapping windows and averages what it says.

    Windows start every ``hop`` frames; the last one ends with x_t. They are evaluated one after
    another, so memory does not grow with the length. What fits one window is not cut.

    Args:
        denoise: Called with x_t (B, ..., window).
        frames: Length of x_t along the last axis.
        window: Length of a window.
        hop: Distance between windows, 1 to ``window``.

    Raises:
        ValueError: A hop that leaves gaps or does not advance.

    Source:
        Bar-Tal et al. 2023 (MultiDiffusion), eq. 5 with equal weights.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop must lie in 1 .. {window}, the window: {hop}")
    if frames <= window:
        return denoise
    starts = [*range(0, frames - window, hop), frames - window]
    count = torch.zeros(frames)
    for start in starts:
        count[start : start + window] += 1

    def average(x_t: Tensor, t: Tensor) -> Tensor:
        outputs = [denoise(x_t[..., start : start + window], t) for start in starts]
        total = x_t.new_zeros(*outputs[0].shape[:-1], frames)
        for start, output in zip(starts, outputs, strict=True):
            total[..., start : start + window] += output
        return total / count.to(total)

    return average

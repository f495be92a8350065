"""Finish a sound for its file: fade its ends."""

import math

import torch

FADE_IN, FADE_OUT = 0.002, 0.005
"""Seconds of the fades at the two ends of a sound.

The first is shorter, so that no attack is blunted: a mel places one to a frame of 32 ms only, and a
sound that is cut from its onset begins a frame before it.
"""
SHARE = 8
"""Each fade is at most one part in so many of its sound."""


def faded(
    samples: torch.Tensor, sample_rate: int, *, start: bool = True, end: bool = True
) -> torch.Tensor:
    """Fade the ends of samples (..., N), which cut a wave anywhere and click otherwise.

    Each fade is half a period of a raised cosine that reaches 0 at the outermost sample; all
    samples between the fades stay bit for bit. Less than eight samples have no fades.
    """
    samples, count = samples.clone(), samples.shape[-1]
    first, last = fade_lengths(count, sample_rate)
    if start:
        samples[..., :first] *= _slope(first).flip(0).to(samples)
    if end:
        samples[..., count - last :] *= _slope(last).to(samples)
    return samples


def fade_lengths(count: int, sample_rate: int) -> tuple[int, int]:
    """Return the samples of the fades at the beginning and the end of so many samples."""
    first, last = (min(round(s * sample_rate), count // SHARE) for s in (FADE_IN, FADE_OUT))
    return first, last


def _slope(count: int) -> torch.Tensor:
    """Return (count,) float64 weights, falling to 0."""
    places = torch.arange(1, count + 1, dtype=torch.float64)
    return (1 + torch.cos(math.pi * places / count)) / 2

"""Finish a sound for its file: fade its ends, trim, resample, normalize."""

import math
from typing import Literal

import soxr
import torch

from clipsonic_cli.audio.level import CEILING, LEAST_GAIN, MOST_GAIN
from clipsonic_cli.audio.loudness import loudness
from clipsonic_cli.config import Finish

FADE_IN, FADE_OUT = 0.002, 0.005
"""Seconds of the fades at the two ends of a sound.

The first is shorter, so that no attack is blunted: a mel places one to a frame of 32 ms only, and a
sound that is cut from its onset begins a frame before it.
"""
SHARE = 8
"""Each fade is at most one part in so many of its sound."""
TRIM_DECIBELS = 50
"""What is further below the peak than this counts as silence at the ends of a sound."""


def finished(
    samples: torch.Tensor, sample_rate: int, finish: Finish
) -> tuple[torch.Tensor, int, float]:
    """Finish samples (N,), N > 0; return them, their sample rate, and the gain of normalizing."""
    if finish.trim:
        samples = trimmed(samples, sample_rate)
    samples = resampled(samples, sample_rate, finish.rate or sample_rate)
    sample_rate, gain = finish.rate or sample_rate, 1.0
    if finish.normalize is not None:
        gain = _gain(samples, sample_rate, finish.normalize)
        samples = samples * gain
    return samples, sample_rate, gain


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


def trimmed(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Remove silence at both ends of samples (N,): what is over 50 dB below the peak.

    So much of it is kept as the fades of the new ends need, so that the rest stays bit for bit; of
    digital silence all is kept.
    """
    count, peak = len(samples), samples.abs().max()
    loud = (samples.abs() >= peak * 10 ** (-TRIM_DECIBELS / 20)).nonzero()
    first, last = fade_lengths(count, sample_rate)
    start, end = max(int(loud[0]) - first, 0), min(int(loud[-1]) + 1 + last, count)
    return faded(samples[start:end], sample_rate, start=start > 0, end=end < count)


def resampled(samples: torch.Tensor, sample_rate: int, wanted: int) -> torch.Tensor:
    """Convert samples (N,) to another sample rate, by soxr's very high quality."""
    if wanted == sample_rate:
        return samples
    return torch.from_numpy(soxr.resample(samples.numpy(), sample_rate, wanted, quality="VHQ"))


def _gain(samples: torch.Tensor, sample_rate: int, normalize: float | Literal["peak"]) -> float:
    """Return the gain that normalizes samples, at which no peak is above the ceiling of files.

    It is 1.0 for silence: where nothing is above -70 LUFS, the loudness has no value.
    """
    lufs = loudness(samples, sample_rate)
    if lufs == -math.inf:
        return 1.0
    gain = CEILING / float(samples.abs().max())
    if normalize != "peak":
        gain = min(gain, 10 ** ((normalize - lufs) / 20))
    return min(max(gain, LEAST_GAIN), MOST_GAIN)

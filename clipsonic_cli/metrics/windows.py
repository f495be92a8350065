"""A sound in the pieces that are heard at once.

Knows: sample rates and lengths. Does not know: the networks that hear, and what of.
"""

from dataclasses import dataclass

import soxr
import torch
from torch import Tensor

from clipsonic_cli.types import Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Cuts a sound into overlapping windows.

    Args:
        seconds: Length of each.
        hop: Seconds from one to the next.
    """

    seconds: float
    hop: float

    def cut(self, sound: Waveform) -> list[Waveform]:
        """Gives every whole window; a sound that is no longer than one is a window as it is."""
        length, hop = (round(s * sound.sample_rate) for s in (self.seconds, self.hop))
        if len(sound.samples) <= length:
            return [sound]
        return [
            Waveform(samples=samples, sample_rate=sound.sample_rate)
            for samples in sound.samples.unfold(0, length, hop)
        ]


def at_rate(samples: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """Gives a sound as a network listens to it.

    Args:
        samples: (N,) mono, about in [-1, 1].
        sample_rate: In Hz.
        wanted: In Hz; a sound of another rate is resampled by soxr at its high quality.

    Returns:
        (M,) float32 on the CPU, M about N * wanted / sample_rate.

    Raises:
        ValueError: The samples are not (N,) or not finite, or there is no such sample rate.
    """
    samples = samples.detach().float().cpu()
    if samples.ndim != 1 or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if sample_rate < 1:
        raise ValueError(f"need a sample rate in Hz, got {sample_rate}")
    if sample_rate == wanted or not len(samples):
        return samples
    return torch.from_numpy(soxr.resample(samples.numpy(), sample_rate, wanted))


def spread(samples: Tensor, length: int, count: int) -> list[Tensor]:
    """Gives windows from a sound's beginning to its end, evenly spread.

    Args:
        samples: (N,), no less than ``length``.
        length: Samples of each.
        count: How many, 1 or more.

    Returns:
        Tensors (length,).
    """
    spare = len(samples) - length
    starts = torch.linspace(0, spare, count, dtype=torch.float64).round().long()
    return [samples[start : start + length] for start in starts.tolist()]

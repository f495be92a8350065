"""Windows of sounds, and resampling, for networks with a fixed length and sample rate."""

from dataclasses import dataclass

import soxr
import torch
from torch import Tensor

from clipsonic_cli.types import Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Overlapping windows of a length, a hop apart, both in seconds."""

    seconds: float
    hop: float

    def cut(self, sound: Waveform) -> list[Waveform]:
        """Return every whole window; a sound no longer than one is returned as it is."""
        length, hop = (round(s * sound.sample_rate) for s in (self.seconds, self.hop))
        if len(sound.samples) <= length:
            return [sound]
        return [
            Waveform(samples=samples, sample_rate=sound.sample_rate)
            for samples in sound.samples.unfold(0, length, hop)
        ]


def at_rate(samples: Tensor, sample_rate: int, target: int) -> Tensor:
    """Resample mono samples (N,) by soxr at its high quality: (M,) float32 on the CPU.

    Raises:
        ValueError: The samples are not (N,) or not finite, or there is no such sample rate.
    """
    samples = samples.detach().float().cpu()
    if samples.ndim != 1 or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if sample_rate < 1:
        raise ValueError(f"need a sample rate in Hz, got {sample_rate}")
    if sample_rate == target or not len(samples):
        return samples
    return torch.from_numpy(soxr.resample(samples.numpy(), sample_rate, target))


def spread(samples: Tensor, length: int, count: int) -> list[Tensor]:
    """Return ``count`` windows (length,), evenly spread from the start of samples to their end."""
    starts = torch.linspace(0, len(samples) - length, count, dtype=torch.float64).round().long()
    return [samples[start : start + length] for start in starts.tolist()]

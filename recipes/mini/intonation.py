"""Whether a vocoder plays in tune: how much of steady tones stays at their partials."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec

PITCHES = tuple(110 * 2 ** (n / 3 + 0.01) for n in range(13))
"""Hz: four octaves of thirds from A2, 12 cents above those of tuned instruments."""
PARTIALS = 8
SAMPLES = 65_536
NEAR = 2 ** (20 / 1200)
"""A ratio of 20 cents, by which a partial may be off."""
LEAST_HZ = 1.5
"""What it may be off in any case, for the width of the window."""


def tone(hertz: float, rate: int) -> Tensor:
    """Return a harmonic tone (65,536,) with a soft start and end."""
    time = torch.arange(SAMPLES) / rate
    partials = [
        torch.sin(2 * math.pi * number * hertz * time + number) * 0.3 / number
        for number in range(1, PARTIALS + 1)
        if number * hertz < rate / 2
    ]
    ramp = (torch.arange(SAMPLES) / 1000).clamp(max=1)
    return torch.stack(partials).sum(0) * ramp * ramp.flip(0)


def in_tune(waveform: Tensor, hertz: float, rate: int) -> float:
    """Return the share of the energy of a waveform's middle that is at the partials of a tone."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4]
    power = torch.fft.rfft(middle * torch.hann_window(len(middle))).abs().square()
    places = torch.arange(len(power)) * rate / len(middle)  # Hz
    partial = (places / hertz).round().clamp(min=1) * hertz
    allowed = (partial * (NEAR - 1)).clamp(min=LEAST_HZ)
    return float(power[(places - partial).abs() <= allowed].sum() / power.sum())


def tuning(
    vocode: Callable[[Tensor], Tensor], spec: MelSpec, pitches: Sequence[float] = PITCHES
) -> float:
    """Return :func:`in_tune` of what a vocoder makes of tones' mels, a mean over pitches."""
    log_mel, rate = LogMel(spec), spec.sample_rate
    shares = [in_tune(vocode(log_mel(tone(f, rate)[None]))[0], f, rate) for f in pitches]
    return sum(shares) / len(shares)

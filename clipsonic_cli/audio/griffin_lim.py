"""Convert log-mel to a waveform without a trained vocoder.

It inverts the mel filters and estimates phases. A trained vocoder sounds better: see
``models/bigvgan.py`` and ``models/vocos.py``, which goes on with the rounds of this one.
"""

from math import ceil
from typing import ClassVar

import torch
from torch import nn

from clipsonic_cli.audio.mel import istft, mel_filters, stft
from clipsonic_cli.config import MelSpec
from clipsonic_cli.ranges import round_up

INVERSION_STEPS = 100
PHASE_SEED = 0
PHASE_PERIOD = 192
"""Frames after which the phases to start from repeat, so that those of a long mel, and of a piece
that begins at a multiple of it, are known without drawing all: 6 s, 0.8 MB."""
TINY = 1e-12


class GriffinLim(nn.Module):
    """A :class:`~clipsonic_cli.types.Vocoder` with nothing to train.

    Each row starts from the same phases, drawn on the CPU, so that the waveform depends on its mel
    alone: not on the batch, the device or an earlier call.

    Args:
        spec: Geometry of the mel.
        iterations: Rounds of phase estimation; more than 60 improve little.
        momentum: Extrapolation between rounds; 0 is Griffin & Lim's own algorithm.

    Source:
        Griffin & Lim 1984; momentum: Perraudin et al. 2013; updates of the inversion: Lee & Seung
        2000, theorem 2.
    """

    part: ClassVar[str | None] = None

    filters: torch.Tensor
    spread: torch.Tensor
    window: torch.Tensor

    def __init__(self, spec: MelSpec, *, iterations: int = 60, momentum: float = 0.99) -> None:
        super().__init__()
        self.spec = spec
        self.iterations = iterations
        self.momentum = momentum
        overlap = ceil(spec.n_fft / spec.hop_length) - 1  # frames to either side in a spectrum
        self.context = round_up((iterations + 1) * overlap, PHASE_PERIOD)
        """Frames to either side that a sample depends on, at most; a multiple of the period."""
        filters = mel_filters(spec)  # (F, n_fft // 2 + 1)
        spread = filters.mT / filters.sum(dim=0).clamp(min=TINY).unsqueeze(1)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)

    @torch.no_grad()
    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Return a waveform (B, hop_length * T), of which the mel is near to the one given.

        ``mel`` is (B, 1, F, T >= 2), natural logarithm; the waveform has its level and may exceed
        1. Another shape is a ValueError.
        """
        shape = tuple(mel.shape)
        if len(shape) != 4 or shape[1:3] != (1, self.spec.n_mels) or shape[3] < 2:
            raise ValueError(f"need a mel (B, 1, {self.spec.n_mels}, T >= 2), got {shape}")
        magnitude = self.magnitude(mel.squeeze(1).float().exp())
        return self.estimate(magnitude, self.random_phase(magnitude))

    def random_phase(self, magnitude: torch.Tensor) -> torch.Tensor:
        """Return the phases to start from, the same for each row of (B, n_fft // 2 + 1, T)."""
        bins, frames = magnitude.shape[1:]
        generator = torch.Generator().manual_seed(PHASE_SEED)
        turns = torch.rand(bins, min(frames, PHASE_PERIOD), generator=generator).to(magnitude)
        turns = turns[:, torch.arange(frames) % PHASE_PERIOD]
        return (2 * torch.pi * turns).expand(magnitude.shape)

    @torch.no_grad()
    def estimate(self, magnitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Return a waveform (B, hop_length * T), of which the spectrum is near to a magnitude.

        The magnitude and the phase to start from are (B, n_fft // 2 + 1, T).
        """
        # In the order in memory of the spectra that follow, the operations take half the time.
        magnitude, phase = (each.mT.contiguous().mT for each in (magnitude, phase))
        angles = torch.polar(torch.ones_like(phase), phase)
        previous = torch.zeros_like(angles)
        for _ in range(self.iterations):
            waveform = istft(magnitude * angles, self.spec, self.window)
            consistent = stft(waveform, self.spec, self.window)  # (B, n_fft // 2 + 1, T)
            ahead = consistent + self.momentum * (consistent - previous)
            angles = ahead.sgn()
            previous = consistent
        return istft(magnitude * angles, self.spec, self.window)

    def magnitude(self, mel: torch.Tensor) -> torch.Tensor:
        """Invert the filters: return (B, n_fft // 2 + 1, T) of least divergence from a linear mel.

        The mel is (B, F, T). Neighbouring bins that no filter tells apart are alike.
        """
        smooth = self.spread @ (mel / self.filters.sum(dim=1, keepdim=True))
        return self.fit(smooth, mel, INVERSION_STEPS)

    def fit(self, magnitude: torch.Tensor, mel: torch.Tensor, steps: int) -> torch.Tensor:
        """Bring the mel of a magnitude (B, n_fft // 2 + 1, T) near to a linear one (B, F, T).

        Multiplicative updates keep every bin positive, and what the filters do not tell apart in
        the proportions it has.
        """
        for _ in range(steps):
            ratio = mel / (self.filters @ magnitude).clamp(min=TINY)
            magnitude = magnitude * (self.spread @ ratio)
        return magnitude

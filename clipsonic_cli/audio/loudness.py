"""Measure loudness as ITU-R BS.1770-4 does: in LUFS, K-weighted, and gated in two passes."""

import math

import torch
import torch.nn.functional as F

SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
HIGH_PASS = (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621)
"""Coefficients b0, b1, b2, a1 and a2 of the two filters (annex 1, tables 1 and 2)."""
FILTER_RATE = 48_000
"""Hz that the coefficients are for; at other rates the filters have the same response."""
OFFSET = -0.691
"""LUFS of a weighted mean square of 1 (equation 2)."""
BLOCK, STEP = 0.4, 0.1
"""Seconds of a block, and from one to the next."""
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
"""Blocks count above this, in LUFS; and above this, in LU, next to the mean of those."""
SEGMENT, MARGIN = 16.0, 0.5
"""Seconds that are filtered at once, and to either side, where the high-pass settles."""


def loudness(samples: torch.Tensor, sample_rate: int) -> float:
    """Compute the integrated loudness in LUFS of mono samples (N,), N > 0.

    Sounds of less than a block are one block; for others the standard leaves out what follows the
    last whole one.

    Returns:
        -inf where no block is above -70 LUFS.
    """
    energy = _weighted(samples, sample_rate).square_().cumsum(0)
    energy = F.pad(energy, (1, 0))  # of the samples before each
    block, count = min(round(BLOCK * sample_rate), len(samples)), len(samples)
    blocks = math.floor((count - block) / (STEP * sample_rate)) + 1
    # In float64, as float32 counts to 2^24 only.
    starts = (torch.arange(blocks, dtype=torch.float64) * STEP * sample_rate).round().long()
    powers = (energy[starts + block] - energy[starts]) / block
    powers = powers[powers > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
    if not len(powers):
        return -math.inf
    powers = powers[powers > powers.mean() * 10 ** (RELATIVE_GATE / 10)]
    return OFFSET + 10 * math.log10(powers.mean())


def _weighted(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Filter samples (N,) by K-weighting, in pieces and by their spectrum; return float64."""
    segment, margin = (round(seconds * sample_rate) for seconds in (SEGMENT, MARGIN))
    padded, pieces = F.pad(samples.cpu(), (margin, margin)), []
    for start in range(0, len(samples), segment):
        piece = padded[start : start + segment + 2 * margin].double()
        hz = torch.fft.rfftfreq(len(piece), 1 / sample_rate, dtype=torch.float64)
        spectrum = torch.fft.rfft(piece) * _response(hz)
        pieces.append(torch.fft.irfft(spectrum, n=len(piece))[margin:-margin])
    return torch.cat(pieces)


def _response(hz: torch.Tensor) -> torch.Tensor:
    """Return the complex response of both filters; above 24 kHz it is that of 24 kHz."""
    z = torch.exp(-2j * math.pi * hz.clamp(max=FILTER_RATE / 2) / FILTER_RATE)
    response = torch.ones_like(z)
    for b0, b1, b2, a1, a2 in (SHELF, HIGH_PASS):
        response *= (b0 + b1 * z + b2 * z**2) / (1 + a1 * z + a2 * z**2)
    return response

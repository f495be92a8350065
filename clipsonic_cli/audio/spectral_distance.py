"""How far a waveform is from a recording, by its spectrograms."""

import torch
import torch.nn.functional as F
from torch import Tensor

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""FFT size and hop of the spectrograms compared, in samples."""
FLOOR = 1e-4
"""Least magnitude: differences below the last of 16 bits do not count."""


def spectral_distance(made: Tensor, recorded: Tensor) -> float:
    """Compute spectral convergence plus log difference, a mean over three resolutions.

    Both waveforms are (N,), at 16 kHz or so; 0 is the same, and silence is 1 and more.

    Source: Yamamoto et al. 2020 (Parallel WaveGAN, arXiv 1910.11480), equations 4 to 6; a measure
    of vocoders in Lee et al. 2023 (BigVGAN).
    """
    distances = []
    for n_fft, hop in RESOLUTIONS:
        ours, theirs = (magnitudes(x[: len(made)], n_fft, hop) for x in (made, recorded))
        convergence = (ours - theirs).norm() / theirs.norm()
        distances.append(float(convergence + F.l1_loss(ours.log(), theirs.log())))
    return sum(distances) / len(distances)


def magnitudes(waveform: Tensor, n_fft: int, hop: int) -> Tensor:
    """Return the magnitudes (n_fft // 2 + 1, frames) of a waveform, :data:`FLOOR` at least."""
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, hop, window=window, return_complex=True)
    return spectrum.abs().clamp(min=FLOOR)

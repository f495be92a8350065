"""Compute log-mels as BigVGAN does, on the Slaney mel scale, and map them to [-1, 1]."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from clipsonic_cli.config import MelSpec

LINEAR_HZ = 200.0 / 3.0  # Slaney's scale: linear below 1 kHz, 66.7 Hz a mel ...
KNEE_HZ = 1000.0
KNEE_MEL = KNEE_HZ / LINEAR_HZ
LOG_STEP = math.log(6.4) / 27.0  # ... logarithmic above, 27 mels from 1 to 6.4 kHz

POWER_FLOOR = 1e-9  # inside the square root, so that its gradient is finite in silence
MAGNITUDE_FLOOR = 1e-5  # exp(MelSpec.log_min)

ONSET = 0.1
"""Share of a mel's largest energy at which a sound starts: 10 dB below."""


def hz_to_mel(hz: float) -> float:
    """Return the Slaney mel of a frequency in Hz."""
    if hz < KNEE_HZ:
        return hz / LINEAR_HZ
    return KNEE_MEL + math.log(hz / KNEE_HZ) / LOG_STEP


def mel_to_hz(mel: float) -> float:
    """Return the frequency in Hz of a Slaney mel."""
    if mel < KNEE_MEL:
        return mel * LINEAR_HZ
    return KNEE_HZ * math.exp(LOG_STEP * (mel - KNEE_MEL))


def mel_filters(spec: MelSpec) -> torch.Tensor:
    """Return triangular filters, evenly spaced in mel, each of unit area over Hz.

    Returns:
        (F, n_fft // 2 + 1) float32, non-negative, lowest band first.

    Source:
        Slaney 1998, Auditory Toolbox; equal to librosa's default filters.
    """
    if not 0 <= spec.f_min < spec.f_max <= spec.sample_rate / 2:
        raise ValueError(
            f"need 0 <= f_min < f_max <= {spec.sample_rate / 2}, got {spec.f_min} and {spec.f_max}"
        )
    low, high = hz_to_mel(spec.f_min), hz_to_mel(spec.f_max)
    step = (high - low) / (spec.n_mels + 1)
    corners = torch.tensor(
        [mel_to_hz(low + step * i) for i in range(spec.n_mels + 2)], dtype=torch.float64
    )
    bins = torch.arange(spec.n_fft // 2 + 1, dtype=torch.float64) * spec.sample_rate / spec.n_fft
    left, centre, right = (c.unsqueeze(1) for c in (corners[:-2], corners[1:-1], corners[2:]))
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)  # (F, n_fft // 2 + 1)
    return (triangles * 2 / (right - left)).float()


def stft(waveform: torch.Tensor, spec: MelSpec, window: torch.Tensor) -> torch.Tensor:
    """Transform (B, N) to complex (B, n_fft // 2 + 1, floor(N / hop_length)).

    Frames are not centred; each end is reflected by (n_fft - hop_length) / 2 samples.
    """
    pad = (spec.n_fft - spec.hop_length) // 2
    frames = F.pad(waveform, (pad, pad), mode="reflect").unfold(1, spec.n_fft, spec.hop_length)
    spectra: torch.Tensor = torch.fft.rfft(frames * window)
    return spectra.mT


def istft(spectrum: torch.Tensor, spec: MelSpec, window: torch.Tensor) -> torch.Tensor:
    """Transform (B, n_fft // 2 + 1, T) to (B, hop_length * T) by weighted overlap-add.

    It undoes :func:`stft` where N is a multiple of the hop.

    note: torch.istft accepts centred frames only, as no window covers the outermost samples of
    others; here these are in the padding, which is cut off.
    """
    frames: torch.Tensor = torch.fft.irfft(spectrum.mT, n=spec.n_fft) * window  # (B, T, n_fft)
    hop, hops, count = spec.hop_length, math.ceil(spec.n_fft / spec.hop_length), frames.shape[1]
    # A frame is a few hops, and a hop of the result the sum of as many. F.fold, which adds frame by
    # frame, takes several times as long as to add whole tensors.
    parts = _in_hops(frames, hop)  # (B, T, hops, hop)
    added = frames.new_zeros(len(frames), count + hops - 1, hop)
    for i in range(hops):
        added[:, i : i + count] += parts[:, :, i]
    frame = torch.arange(count + hops - 1)[:, None] - torch.arange(hops)  # (T + hops - 1, hops)
    there = ((frame >= 0) & (frame < count)).to(window)
    weights = there @ _in_hops(window.square(), hop)
    pad = (spec.n_fft - hop) // 2
    kept = slice(pad, pad + hop * count)
    return added.flatten(1)[:, kept] / weights.flatten()[kept]


def _in_hops(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Divide frames (..., n_fft) into (..., hops, hop); the last hop is filled with zeros."""
    return F.pad(frames, (0, -frames.shape[-1] % hop)).reshape(*frames.shape[:-1], -1, hop)


class LogMel(nn.Module):
    """Waveform to natural-log mel, exactly as BigVGAN is trained on.

    A waveform of N samples has floor(N / hop_length) frames, and frame t belongs to samples
    [t * hop_length, (t + 1) * hop_length): see :func:`stft`.

    Source:
        Lee et al. 2023 (BigVGAN), section 4 and its published code.
    """

    filters: torch.Tensor
    window: torch.Tensor

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.spec = spec
        # Constants of the spec, not weights: they follow .to(device) but stay out of files.
        self.register_buffer("filters", mel_filters(spec), persistent=False)
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Compute the mel (B, 1, F, T), natural logarithm; silence is ``log_min``.

        The waveform is (B, N) in [-1, 1], with N > (n_fft - hop_length) / 2.
        """
        spec = self.spec
        pad = (spec.n_fft - spec.hop_length) // 2
        if waveform.ndim != 2 or waveform.shape[-1] <= pad:
            raise ValueError(f"need (B, N) with N > {pad} samples, got {tuple(waveform.shape)}")
        spectrum = stft(waveform, spec, self.window)  # (B, n_fft // 2 + 1, T)
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + POWER_FLOOR).sqrt()
        mel = (self.filters @ magnitude).clamp(min=MAGNITUDE_FLOOR).log()
        return mel.unsqueeze(1)  # (B, 1, F, T)


def onset(mel: torch.Tensor, frames: int) -> int:
    """Find where a sound starts in a mel that will be cropped to fewer frames.

    Args:
        mel: (F, T) natural logarithm, on the CPU.
        frames: Frames to keep, up to T.

    Returns:
        The frame before the first whose energy is within 10 dB of the largest, or an earlier one
        where fewer than ``frames`` would follow; 0 for a constant mel, or one with NaN.
    """
    energy = (2 * mel.double()).exp().sum(dim=0)  # (T,)
    loud = (energy >= ONSET * energy.max()).numpy()  # all False with NaN
    first = int(loud.argmax())
    return min(max(first - 1, 0), mel.shape[-1] - frames)


def normalize(mel: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Map natural-log mel of any shape from [log_min, log_max] to [-1, 1], clamped: the x_0."""
    unit = (mel - spec.log_min) / (spec.log_max - spec.log_min)
    return (2 * unit - 1).clamp(-1, 1)


def denormalize(x_0: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Map x_0 of any shape, clamped to [-1, 1], back to natural-log mel, a vocoder's input."""
    unit = (x_0.clamp(-1, 1) + 1) / 2
    return spec.log_min + unit * (spec.log_max - spec.log_min)

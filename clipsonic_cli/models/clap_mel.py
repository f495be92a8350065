"""The mel that CLAP was trained on, as LAION's own code computes it, but repeatable.

Source: Wu et al. 2023 and its published code.
"""

import functools

import soxr
import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.models.clap import N_MELS
from clipsonic_cli.types import Waveform

SAMPLE_RATE = 48_000
N_FFT = 1024
HOP_LENGTH = 480
F_MIN, F_MAX = 50.0, 14_000.0
POWER_FLOOR = 1e-10
"""-100 dB."""
SAMPLES = 480_000
"""The longest input: 10 s."""
FULL_SCALE = 32_767


def log_mel(waveform: Waveform) -> Tensor:
    """Compute the mel of a sound.

    The waveform is resampled to 48 kHz, clipped, rounded towards zero to 16 bits, repeated as often
    as it fits into 10 s as a whole, and followed by silence. Of longer sounds LAION's code draws
    three excerpts at random, so that a score could not be repeated; here the caller chooses what to
    embed of them.

    Args:
        waveform: Mono, up to 10 s; as in LAION's code, less than one frame more does not matter.

    Returns:
        (1, 1001, F) float32 in dB, silence is -100.

    Raises:
        UsageError: The sound is longer.
        ValueError: The waveform is empty, not (N,), or not finite.
    """
    samples = waveform.samples.detach().float().cpu()
    if samples.ndim != 1 or not samples.numel() or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if waveform.sample_rate != SAMPLE_RATE:
        resampled = soxr.resample(samples.numpy(), waveform.sample_rate, SAMPLE_RATE)
        samples = torch.from_numpy(resampled)
    if len(samples) >= SAMPLES + HOP_LENGTH:
        raise UsageError(
            f"CLAP embeds at most {SAMPLES // SAMPLE_RATE} s, this sound lasts "
            f"{waveform.seconds:.2f} s: cut it, or score it window by window."
        )
    samples = (samples.clamp(-1, 1) * FULL_SCALE).trunc() / FULL_SCALE
    samples = samples.repeat(max(SAMPLES // len(samples), 1))
    samples = torch.nn.functional.pad(samples, (0, max(SAMPLES - len(samples), 0)))
    stft = torch.stft(
        samples.double(),  # in single precision, round-off next to a loud tone exceeds silence
        N_FFT,
        HOP_LENGTH,
        window=torch.hann_window(N_FFT, dtype=torch.float64),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )  # (n_fft // 2 + 1, T)
    mel = mel_filters() @ torch.view_as_real(stft).square().sum(-1)  # (F, T)
    return 10 * mel.clamp(min=POWER_FLOOR).log10().T.float()[None]


@functools.cache
def mel_filters() -> Tensor:
    """Return triangles of height 1, evenly spaced in HTK's mel: (F, n_fft // 2 + 1) float64.

    Source: Young et al., The HTK Book: mel = 2595 log10(1 + Hz / 700).
    """
    ends = 2595 * (1 + torch.tensor([F_MIN, F_MAX], dtype=torch.float64) / 700).log10()
    mels = torch.linspace(float(ends[0]), float(ends[1]), N_MELS + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT
    left, centre, right = (c.unsqueeze(1) for c in (corners[:-2], corners[1:-1], corners[2:]))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)

"""BigVGAN's critics, which tell recorded from generated waveforms while a vocoder is trained.

They have NVIDIA's names, and are never shipped, so they keep their weight norm.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

Judgement = tuple[torch.Tensor, list[torch.Tensor]]
"""Logits (B, M), near 1 for recordings, and the feature maps of every layer, the last too."""

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
SLOPE = 0.1


class Discriminator(nn.Module):
    """Several critics, each of which judges the whole waveform."""

    def __init__(self, critics: Iterable[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(critics)

    def forward(self, waveform: torch.Tensor) -> list[Judgement]:
        """Judge (B, 1, N), N above half of any n_fft; one judgement for each critic."""
        return [critic(waveform) for critic in self.discriminators]


class MultiPeriodDiscriminator(Discriminator):
    """Judges every 2nd, 3rd, 5th, 7th and 11th sample: periodic structure.

    Args:
        periods: One critic for each; primes, so that they share few samples.
        channels: Width of the first layer; the widest has 32 times as many. 32 is BigVGAN's.

    Source: Kong et al. 2020 (HiFi-GAN), section 2.3.
    """

    def __init__(self, periods: Iterable[int] = PERIODS, *, channels: int = 32) -> None:
        super().__init__(PeriodDiscriminator(period, channels) for period in periods)


class MultiResolutionDiscriminator(Discriminator):
    """Judges magnitude spectrograms of three resolutions: spectral structure.

    Args:
        resolutions: (n_fft, hop_length, window length) in samples, one critic for each.
        channels: Width of all layers. 32 is BigVGAN's.

    Source: Jang et al. 2021 (UnivNet), section 2.2; Lee et al. 2023 (BigVGAN), section 3.
    """

    def __init__(
        self, resolutions: Iterable[tuple[int, int, int]] = RESOLUTIONS, *, channels: int = 32
    ) -> None:
        super().__init__(
            ResolutionDiscriminator(resolution, channels) for resolution in resolutions
        )


class PeriodDiscriminator(nn.Module):
    """Folds the waveform into rows of one period and convolves along the columns."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 4 * channels, 16 * channels, 32 * channels)
        layers = [
            nn.Conv2d(inner, outer, (5, 1), (3, 1), padding=(2, 0))
            for inner, outer in pairwise(widths)
        ]
        layers.append(nn.Conv2d(widths[-1], widths[-1], (5, 1), padding=(2, 0)))
        self.convs = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.conv_post = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: torch.Tensor) -> Judgement:
        """Judge (B, 1, N)."""
        x = F.pad(waveform, (0, -waveform.shape[-1] % self.period), mode="reflect")
        x = x.view(len(x), 1, -1, self.period)  # (B, 1, N / period, period)
        return judge(x, self.convs, self.conv_post)


class ResolutionDiscriminator(nn.Module):
    """Convolves a magnitude spectrogram of (n_fft, hop_length, window length) in samples."""

    window: torch.Tensor

    def __init__(self, resolution: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length, window_samples = resolution
        # Rectangular, as in the published code.
        self.register_buffer("window", torch.ones(window_samples), persistent=False)
        layers = [nn.Conv2d(1, channels, (3, 9), padding=(1, 4))]
        layers += [
            nn.Conv2d(channels, channels, (3, 9), stride=(1, 2), padding=(1, 4)) for _ in range(3)
        ]
        layers.append(nn.Conv2d(channels, channels, (3, 3), padding=1))
        self.convs = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.conv_post = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=1))

    def forward(self, waveform: torch.Tensor) -> Judgement:
        """Judge (B, 1, N)."""
        pad = (self.n_fft - self.hop_length) // 2
        stft = torch.stft(
            F.pad(waveform, (pad, pad), mode="reflect").squeeze(1),
            self.n_fft,
            self.hop_length,
            len(self.window),
            window=self.window,
            center=False,
            return_complex=True,
        )
        x = stft.abs().unsqueeze(1)  # (B, 1, n_fft // 2 + 1, frames)
        return judge(x, self.convs, self.conv_post)


def judge(x: torch.Tensor, convs: nn.ModuleList, conv_post: nn.Module) -> Judgement:
    """Run the layers and keep what each returns."""
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        features.append(x)
    x = conv_post(x)
    features.append(x)
    return x.flatten(1), features

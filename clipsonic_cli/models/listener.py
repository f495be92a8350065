"""A small CLAP: joint embedding of 2 s of audio, as normalised log-mels, and a CLIP's texts.

Source: convolutions pooled first over bands, then by mean and maximum over time, as in Kong et al.
2020 (PANNs); learned by contrast as in Wu et al. 2023 (CLAP).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import MelSpec

MAX_LOGIT_SCALE = 100.0
"""Largest value of the learned scale (Radford et al. 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """What a listener's bundle stores next to its weights."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Width of each level; bands and frames are halved from one to the next."""
    dim: int = 128
    """Size D of the shared space."""
    text_dim: int = 256
    """Size of the CLIP's embeddings."""
    frames: int = 64
    """Frames T of a window."""


class Listener(nn.Module):
    """Embeds windows of mels and texts; about 1.7 million parameters.

    Args:
        config: Its sizes.
        spec: The geometry of the mels.
        dropout: Share of the pooled features that are left out in training.

    Raises:
        ValueError: Bands or frames cannot be halved once for each level but the first.
    """

    def __init__(self, config: ListenerConfig, spec: MelSpec, *, dropout: float = 0.3) -> None:
        super().__init__()
        smallest = 1 << (len(config.channels) - 1)
        if spec.n_mels % smallest or config.frames % smallest:
            raise ValueError(
                f"{spec.n_mels} bands and {config.frames} frames cannot be halved "
                f"{len(config.channels) - 1} times, once for each level but the first"
            )
        self.config, self.spec = config, spec
        layers: list[nn.Module] = []
        width = 1
        for channels in config.channels:
            layers += [nn.MaxPool2d(2)] if layers else []
            layers += [
                nn.Conv2d(width, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            width = channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.sound_projection = nn.Linear(width, config.dim)
        self.text_projection = nn.Linear(config.text_dim, config.dim)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @property
    def window(self) -> int:
        """Samples of a window."""
        return self.config.frames * self.spec.hop_length

    @property
    def logit_scale(self) -> Tensor:
        """What cosines are multiplied by, a scalar."""
        return self.log_scale.clamp(max=math.log(MAX_LOGIT_SCALE)).exp()

    def embed_sounds(self, mel: Tensor) -> Tensor:
        """Return unit vectors (B, D) of normalised mels (B, 1, F, T), in [-1, 1]."""
        wanted = (1, self.spec.n_mels, self.config.frames)
        if mel.ndim != 4 or mel.shape[1:] != wanted:
            raise ValueError(
                f"need mels (B, {', '.join(map(str, wanted))}), got {tuple(mel.shape)}"
            )
        h = self.features(mel).mean(2)  # (B, C, T / 16), whatever the height
        h = h.mean(2) + h.amax(2)  # (B, C)
        return F.normalize(self.sound_projection(self.dropout(h)).float(), dim=1)

    def embed_texts(self, embed: Tensor) -> Tensor:
        """Return unit vectors (B, D) of a CLIP's text embeddings (B, text_dim)."""
        return F.normalize(self.text_projection(embed).float(), dim=1)

    def forward(self, mel: Tensor, embed: Tensor) -> Tensor:
        """Compare every window with every text: (B, M) cosines times :attr:`logit_scale`.

        Args:
            mel: (B, 1, F, T), see :meth:`embed_sounds`.
            embed: (M, text_dim), the texts' embeddings by a CLIP.
        """
        return self.logit_scale * (self.embed_sounds(mel) @ self.embed_texts(embed).T)

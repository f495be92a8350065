"""The diffusion bridge: a denoiser of frame vectors, which makes them of text vectors too.

It learns from frames alone what their vectors are like. Where a noisy frame would be, a text's
vector is put in: what denoising makes of it is where frames are (``encoders/bridge.py``).

Source: Lee et al. 2025 (Diffusion Bridge).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import BridgeConfig
from clipsonic_cli.models.unet import sinusoids, zeroed

SCALE = 5.0
"""Norm of what is denoised (Lee et al. 2025, released code)."""
EXPANSION = 2
"""Width inside a block, as a multiple of that between blocks."""


class Block(nn.Module):
    """A residual layer that time (B, E) scales, shifts and gates; it begins as its skip path.

    Source: Peebles and Xie 2023, section 3.2 (adaLN-Zero).
    """

    def __init__(self, width: int, time_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(nn.Linear(time_dim, 3 * width))
        self.layers = nn.Sequential(
            nn.Linear(width, EXPANSION * width), nn.SiLU(), nn.Linear(EXPANSION * width, width)
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return (B, width) for x of that shape."""
        scale, shift, gate = self.modulation(time).chunk(3, dim=-1)
        x_out: Tensor = x + gate * self.layers(self.norm(x) * (1 + scale) + shift)
        return x_out


class Bridge(nn.Module):
    """Predicts a frame's vector, centred, from the direction of a noisy one.

    The length of what it reads has no influence, so that a text's vector can stand for a noisy one
    at any step. Buffers: ``frame_mean`` and ``text_mean`` (D,), of unit vectors, and ``radius``,
    the mean distance of frames from their mean.
    """

    frame_mean: Tensor
    text_mean: Tensor
    radius: Tensor

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("frame_mean", torch.zeros(config.dim))
        self.register_buffer("text_mean", torch.zeros(config.dim))
        self.register_buffer("radius", torch.ones(()))
        self.time_embed = nn.Sequential(
            nn.Linear(config.time_dim, config.time_dim),
            nn.SiLU(),
            nn.Linear(config.time_dim, config.time_dim),
            nn.SiLU(),
        )
        self.first = nn.Linear(config.dim, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.time_dim) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.last = zeroed(nn.Linear(config.width, config.dim))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict x_0 (B, D), of norm :data:`SCALE` if sure, from x_t (B, D) at steps t (B,)."""
        time = self.time_embed(sinusoids(t, self.config.time_dim).to(x_t.dtype))
        x = self.first(F.normalize(x_t, dim=-1) * SCALE)
        for block in self.blocks:
            x = block(x, time)
        x_0: Tensor = self.last(self.norm(x))
        return x_0

    def enter(self, embed: Tensor, mean: Tensor) -> Tensor:
        """Centre vectors (B, D) on a mean (D,), and scale them to the norm :data:`SCALE`."""
        return SCALE * F.normalize(embed - mean, dim=-1)

    def leave(self, x_0: Tensor) -> Tensor:
        """Return the frame vectors (B, D), of unit norm, in the directions of x_0 (B, D)."""
        return F.normalize(self.frame_mean + self.radius * F.normalize(x_0, dim=-1), dim=-1)

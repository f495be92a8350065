"""The mel U-Net: improved-diffusion's network with a condition vector where its class label was.

The parameter names are improved-diffusion's, so that its published weights can start a training.
Nothing depends on the width, so a network trained on 64 frames runs on 128.

Source: Nichol & Dhariwal 2021, section 2 and appendix A; CLIPSonic section 3.
"""

import math
from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipsonic_cli.config import StudentConfig, UNetConfig
from clipsonic_cli.models.group_norm import GROUPS, GroupNorm32

GUIDANCE_RATE = 10.0
"""Radians of the fastest sinusoid in the embedding of w, for each 1 of w."""

M = TypeVar("M", bound=nn.Module)


def sinusoids(time: Tensor, dim: int) -> Tensor:
    """Embed times as [cos | sin] of geometrically spaced frequencies, from 1 to nearly 1/10000.

    Args:
        time: (B,) network time in [0, 1000); may be fractional.
        dim: Size of the embedding, even.

    Returns:
        (B, dim) float32.

    Source: Vaswani et al. 2017, section 3.5, in improved-diffusion's order.
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=time.device) / half
    angles = time.float()[:, None] * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zeroed(module: M) -> M:
    """Set a module's parameters to zero, so that a block begins as its skip path."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResBlock(nn.Module):
    """Two convolutions, the second scaled and shifted by the time-and-condition vector (B, E).

    A 1x1 convolution carries the skip path where input and output differ in width.
    """

    def __init__(self, in_channels: int, out_channels: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            GroupNorm32(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed_dim, 2 * out_channels))
        self.out_layers = nn.Sequential(
            GroupNorm32(out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection: nn.Module = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embed: Tensor) -> Tensor:
        """Map x (B, C_in, F, T) and embed (B, E) to (B, C_out, F, T)."""
        h = self.in_layers(x)
        scale, shift = self.emb_layers(embed)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.out_layers[0](h), 1 + scale)
        return cast(Tensor, self.skip_connection(x) + self.out_layers[1:](h))


class AttentionBlock(nn.Module):
    """Self-attention over all positions of the map, without positional encoding."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm32(channels)
        # Conv1d of kernel 1 for the checkpoint's shapes; applied as linear layers, which keeps a
        # head's channels adjacent, as the fast attention kernels want them.
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to the same shape."""
        h = self.norm(x).flatten(2).transpose(1, 2)  # (B, F*T, C)
        h = F.linear(h, self.qkv.weight[..., 0], self.qkv.bias)
        # Head first, then q, k, v: improved-diffusion's order, unlike most attention layers.
        h = h.view(*h.shape[:2], self.num_heads, 3, -1).permute(3, 0, 2, 1, 4)
        q, k, v = h.unbind(0)  # (B, heads, F*T, C/heads) each
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, F*T, C)
        h = F.linear(h, self.proj_out.weight[..., 0], self.proj_out.bias)
        return x + h.transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):
    """Halves both axes with a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C, F/2, T/2)."""
        return cast(Tensor, self.op(x))


class Upsample(nn.Module):
    """Doubles both axes by repetition, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C, 2F, 2T)."""
        # In float32 on a CPU, one transposed convolution takes 4/9 of the multiplications.
        if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled():
            kernel, bias = doubling(self.conv.weight), self.conv.bias
            return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


def doubling(weight: Tensor) -> Tensor:
    """Return the kernel (C_in, C_out, 4, 4) that doubles both axes and then convolves.

    With it, a transposed convolution of stride 2 and padding 1 equals a repetition of every row and
    column, and then a convolution with ``weight`` (C_out, C_in, 3, 3) and padding 1.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    tall = F.pad(flipped, (0, 0, 0, 1)) + F.pad(flipped, (0, 0, 1, 0))
    return F.pad(tall, (0, 1)) + F.pad(tall, (1, 0))


class Stage(nn.Sequential):
    """A few layers in a row, of which the residual blocks also read the embedding."""

    def forward(self, x: Tensor, embed: Tensor) -> Tensor:  # type: ignore[override]
        """Map x (B, C, F, T), with embed (B, E), through every layer."""
        for layer in self:
            x = layer(x, embed) if isinstance(layer, ResBlock) else layer(x)
        return x


class UNet(nn.Module):
    """Predicts noise (and a variance) of a noisy mel, given the time and a condition vector.

    The condition passes a linear layer and is added to the time embedding, where
    improved-diffusion adds its class embedding. ``null_cond`` (D,) is the learned absence of a
    condition: ``unet.null_cond.expand(B, -1)`` gives the unconditional prediction. A student also
    reads the guidance scale, whose embedding is added too and begins as zero.

    Raises:
        ValueError: A width is no multiple of 32, or of the number of heads where attention is used.

    Source: CLIPSonic section 2 and 3; Nichol & Dhariwal 2021; Meng et al. 2023, of the student.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels * mult for mult in config.channel_mult]
        if any(width % GROUPS for width in (config.channels, *widths)):
            raise ValueError(f"U-Net widths must be multiples of {GROUPS}, not {widths}")
        attends = [2**level in config.attention_downsample for level in range(len(widths))]
        attends_at = [w for w, attend in zip(widths, attends, strict=True) if attend] + widths[-1:]
        if any(width % config.num_heads for width in attends_at):
            raise ValueError(f"num_heads {config.num_heads} does not divide widths {attends_at}")

        embed_dim = 4 * config.channels
        self.time_embed = nn.Sequential(
            nn.Linear(config.channels, embed_dim), nn.SiLU(), nn.Linear(embed_dim, embed_dim)
        )
        self.cond_proj = nn.Linear(config.cond_dim, embed_dim)
        # Of about unit norm, as conditions are.
        null_cond = nn.init.normal_(torch.empty(config.cond_dim), std=config.cond_dim**-0.5)
        self.null_cond = nn.Parameter(null_cond)
        if isinstance(config, StudentConfig):
            self.guidance_embed = nn.Sequential(
                nn.Linear(config.channels, embed_dim),
                nn.SiLU(),
                zeroed(nn.Linear(embed_dim, embed_dim)),
            )

        def residual(in_width: int, out_width: int, attend: bool) -> list[nn.Module]:
            layers: list[nn.Module] = [ResBlock(in_width, out_width, embed_dim, config.dropout)]
            if attend:
                layers.append(AttentionBlock(out_width, config.num_heads))
            return layers

        width = config.channels
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(1, width, 3, padding=1))])
        skips = [width]  # widths the decoder will concatenate, last first
        for level, level_width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage(*residual(width, level_width, attends[level])))
                width = level_width
                skips.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage(Downsample(width)))
                skips.append(width)

        self.middle_block = Stage(
            *residual(width, width, attend=True), *residual(width, width, attend=False)
        )

        self.output_blocks = nn.ModuleList()
        for level, level_width in reversed(list(enumerate(widths))):
            for block in range(config.num_res_blocks + 1):
                layers = residual(width + skips.pop(), level_width, attends[level])
                width = level_width
                if level > 0 and block == config.num_res_blocks:
                    layers.append(Upsample(width))
                self.output_blocks.append(Stage(*layers))

        out_channels = 2 if config.learn_variance else 1
        self.out = nn.Sequential(
            GroupNorm32(width), nn.SiLU(), zeroed(nn.Conv2d(width, out_channels, 3, padding=1))
        )

    @property
    def multiple(self) -> int:
        """What both axes of a mel must be a multiple of."""
        return 1 << (len(self.config.channel_mult) - 1)

    def forward(
        self, x_t: Tensor, time: Tensor, cond: Tensor, guidance: Tensor | None = None
    ) -> Tensor:
        """Predict at x_t.

        Args:
            x_t: (B, 1, F, T) noisy normalised mel; F and T multiples of :attr:`multiple`.
            time: (B,) network time in [0, 1000): the training step times 1000 / train_steps.
            cond: (B, D) condition of unit norm, or ``null_cond`` in rows without one.
            guidance: (B,) guidance scale w of a student; None for other U-Nets.

        Returns:
            In x_t's dtype, (B, 2, F, T): the prediction, then variance logits; (B, 1, F, T) if no
            variance is learned.
        """
        self._check(x_t, time, cond, guidance)
        dtype = self.cond_proj.weight.dtype
        embed = self.time_embed(sinusoids(time, self.config.channels).to(dtype))
        # A unit vector has entries of D^-0.5, too faint next to the time embedding to be learned
        # from soon; at unit variance it starts as strong as a class embedding would.
        scaled = cond.to(dtype) * self.config.cond_dim**0.5
        embed = embed + self.cond_proj(scaled)  # (B, 4 * channels)
        if guidance is not None:
            waves = sinusoids(GUIDANCE_RATE * guidance, self.config.channels)
            embed = embed + self.guidance_embed(waves.to(dtype))
        h = x_t.to(dtype)
        skips = []
        for stage in self.input_blocks:
            h = stage(h, embed)
            skips.append(h)
        h = self.middle_block(h, embed)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), embed)
        return cast(Tensor, self.out(h)).to(x_t.dtype)

    def _check(self, x_t: Tensor, time: Tensor, cond: Tensor, guidance: Tensor | None) -> None:
        if x_t.ndim != 4 or x_t.shape[1] != 1 or any(n % self.multiple for n in x_t.shape[2:]):
            raise ValueError(
                f"x_t must be (B, 1, F, T) with F and T multiples of {self.multiple}, "
                f"not {tuple(x_t.shape)}"
            )
        batch = x_t.shape[0]
        expected = [("time", time, (batch,)), ("cond", cond, (batch, self.config.cond_dim))]
        if isinstance(self.config, StudentConfig) != (guidance is not None):
            raise ValueError("a student reads guidance, and no other U-Net does")
        if guidance is not None:
            expected.append(("guidance", guidance, (batch,)))
        for name, tensor, shape in expected:
            if tensor.shape != shape:
                raise ValueError(f"{name} must be {shape}, not {tuple(tensor.shape)}")


def begin_as_student(student: UNet, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a student that predicts what a U-Net does, whatever w it reads.

    The U-Net is of the same sizes. What predicts its variance is left out; what reads w is the
    student's own, which adds nothing yet.
    """
    own = {k: v for k, v in student.state_dict().items() if k.startswith("guidance_embed.")}
    last = {k: v[:1] for k, v in weights.items() if k in ("out.2.weight", "out.2.bias")}
    return {**weights, **last, **own}

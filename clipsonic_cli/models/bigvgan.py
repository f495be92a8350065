"""BigVGAN's generator, under NVIDIA's names: natural-log mel to waveform.

It is built with plain convolutions, as it is stored and used; :meth:`BigVGAN.add_weight_norm`
prepares it for training and :func:`fold_weight_norm` turns trained weights into plain ones.
"""

import functools
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

from clipsonic_cli.config import MelSpec, VocoderConfig

TAPS = 12
PADDING = TAPS // 2 - 1  # samples repeated at either end
CUTOFF = 0.25  # of the doubled rate: the Nyquist frequency of the original one
HALF_WIDTH = 0.3  # of the transition band, in the same unit
BETA_FLOOR = 1e-9
GAIN_AND_DIRECTION = (  # torch has had two spellings of a weight-normed convolution's weights
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


class BigVGAN(nn.Module):
    """A :class:`~clipsonic_cli.types.Vocoder` of transposed convolutions and AMP blocks.

    Args:
        config: Widths, rates and kernels.
        spec: The mel it reads; the rates must multiply to its hop.

    Raises:
        ValueError: The config does not fit the spec or itself.

    Source: Lee et al. 2023 (BigVGAN), section 3 and figure 1.
    """

    part: ClassVar[str | None] = "vocoder"
    context: ClassVar[int] = 32

    def __init__(self, config: VocoderConfig, spec: MelSpec) -> None:
        super().__init__()
        check(config, spec)
        self.config = config
        self.spec = spec
        stages = list(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True))
        widths = [config.channels >> level for level in range(len(stages) + 1)]
        self.conv_pre = nn.Conv1d(spec.n_mels, widths[0], 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for (rate, kernel), (wide, narrow) in zip(stages, pairwise(widths), strict=True):
            up = nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(nn.Sequential(up))  # their name is ups.i.0
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(AMPBlock(narrow, size, dilations))
        self.activation_post = Activation(widths[-1])
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=config.bias_at_final)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Compute the waveform (B, hop_length * T) in [-1, 1] of a natural-log mel (B, 1, F, T)."""
        if mel.ndim != 4 or mel.shape[1:3] != (1, self.spec.n_mels):
            raise ValueError(f"need a mel (B, 1, {self.spec.n_mels}, T), got {tuple(mel.shape)}")
        parallel = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(mel.squeeze(1))  # (B, C, T)
        for level, up in enumerate(self.ups):
            x = up(x)  # (B, C / 2, rate * T)
            blocks = self.resblocks[level * parallel : (level + 1) * parallel]
            x = sum(block(x) for block in blocks) / parallel
        x = self.conv_post(self.activation_post(x)).squeeze(1)  # (B, hop_length * T)
        return torch.tanh(x) if self.config.tanh_at_final else x.clamp(-1, 1)

    def add_weight_norm(self) -> None:
        """Split every convolution's weight into length and direction, for training."""
        for module in list(self.modules()):
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                weight_norm(module)

    def remove_weight_norm(self) -> None:
        """Turn the weights back into plain ones; the function stays the same."""
        for module in list(self.modules()):
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and hasattr(
                module, "parametrizations"
            ):
                remove_parametrizations(module, "weight")


class AMPBlock(nn.Module):
    """Anti-aliased multi-periodicity block: dilated residual convolutions of (B, C, T).

    Each dilation has a residual pair of convolutions, of which the second is not dilated.
    """

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding="same")

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations = nn.ModuleList(Activation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add each pair's output to its input."""
        for i, (conv1, conv2) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            act1, act2 = self.activations[2 * i], self.activations[2 * i + 1]
            x = x + conv2(act2(conv1(act1(x))))
        return x


class Activation(nn.Module):
    """SnakeBeta at twice the rate, so that the harmonics it makes do not fold back as aliases.

    Source: Lee et al. 2023 (BigVGAN), section 3.2; Karras et al. 2021 (StyleGAN3), section 3.2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = Upsample()
        self.downsample = Downsample()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply SnakeBeta to the samples and to those interpolated halfway between them."""
        activated: torch.Tensor = self.downsample(self.act(self.upsample(x)))
        return activated


class LowPass(nn.Module):
    """The windowed sinc of 12 taps as ``filter`` (1, 1, 12); part of NVIDIA's weights."""

    filter: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc().to(torch.get_default_device(), copy=True))


class Upsample(LowPass):
    """(B, C, T) to (B, C, 2 T), with repeated ends."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Interpolate."""
        taps = 2 * self.filter.expand(x.shape[1], -1, -1)
        x = F.pad(x, (PADDING, PADDING), mode="replicate")
        # The padding crops what the repeated samples and the filter's delay add at both ends.
        return F.conv_transpose1d(x, taps, stride=2, padding=3 * PADDING, groups=x.shape[1])


class Downsample(nn.Module):
    """(B, C, 2 T) to (B, C, T), with repeated ends."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter and drop every other sample."""
        taps = self.lowpass.filter.expand(x.shape[1], -1, -1)
        x = F.pad(x, (PADDING, PADDING + 1), mode="replicate")
        return F.conv1d(x, taps, stride=2, groups=x.shape[1])


class SnakeBeta(nn.Module):
    """x + sin^2(alpha x) / beta, with one frequency alpha and one strength 1 / beta a channel.

    Both are stored as (C,) logarithms, zero at the start.

    Source: Ziyin et al. 2020 (Snake); Lee et al. 2023 (BigVGAN), section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, T) to the same shape."""
        alpha = self.alpha.exp().unsqueeze(1)  # (C, 1)
        strength = 1 / (self.beta.exp().unsqueeze(1) + BETA_FLOOR)
        activated: torch.Tensor = Snake.apply(x, alpha, strength)
        return activated


class Snake(torch.autograd.Function):
    """x + strength sin^2(alpha x), which keeps x alone for the backward pass.

    Plain autograd would keep several tensors of the doubled rate, and a training step on a CPU
    would take a tenth longer.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        x: torch.Tensor,
        alpha: torch.Tensor,
        strength: torch.Tensor,
    ) -> torch.Tensor:
        """Map x (B, C, T) with alpha and strength (C, 1) to the same shape."""
        ctx.save_for_backward(x, alpha, strength)
        return torch.addcmul(x, (x * alpha).sin_().square_(), strength)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the gradients of the three; the derivative of sin^2 is sin of the double."""
        x, alpha, strength = ctx.saved_tensors  # type: ignore[attr-defined]
        angle = x * alpha
        of_strength = (angle.sin().square_() * grad).sum((0, 2)).unsqueeze(1)
        slope = angle.mul_(2).sin_().mul_(grad).mul_(strength)
        of_alpha = (slope * x).sum((0, 2)).unsqueeze(1)
        return slope.mul_(alpha).add_(grad), of_alpha, of_strength


@functools.cache
def kaiser_sinc() -> torch.Tensor:
    """Return the (1, 1, 12) low-pass of unit sum that both resamplings use, on the CPU.

    Source: Kaiser's formulas: attenuation from length and transition, beta from attenuation.
    """
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * HALF_WIDTH + 7.95  # 51 dB
    beta = 0.1102 * (attenuation - 8.7)  # holds above 50 dB
    with torch.device("cpu"):
        window = torch.kaiser_window(TAPS, periodic=False, beta=beta)
        time = torch.arange(-TAPS // 2, TAPS // 2) + 0.5
    taps = window * torch.sinc(2 * CUTOFF * time)
    return (taps / taps.sum()).view(1, 1, TAPS)


def fold_weight_norm(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the plain weights of a weight-normed network, in either of torch's spellings.

    Gain g and direction v become ``weight`` = g v / ||v||; plain ones pass through.
    """
    folded = dict(state_dict)
    for gain, direction in GAIN_AND_DIRECTION:
        for name in [name for name in folded if name.endswith(direction)]:
            stem = name.removesuffix(direction)
            v, g = folded[name], folded.get(stem + gain)
            # Other shapes keep their names, which no network has.
            if g is not None and v.ndim and g.shape == v.shape[:1] + (1,) * (v.ndim - 1):
                del folded[name], folded[stem + gain]
                folded[f"{stem}.weight"] = v * (g / v.flatten(1).norm(dim=1).view_as(g))
    return folded


def check(config: VocoderConfig, spec: MelSpec) -> None:
    """Check that a config can be built for a mel; a ValueError says what does not fit."""
    rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
    if math.prod(rates) != spec.hop_length:
        raise ValueError(
            f"upsample_rates {rates} multiply to {math.prod(rates)}, "
            f"the mel's hop_length is {spec.hop_length}"
        )
    if len(rates) != len(kernels) or any((k - r) % 2 or k < r for r, k in zip(rates, kernels)):  # noqa: B905
        raise ValueError(f"upsample_kernel_sizes {kernels} do not fit upsample_rates {rates}")
    if len(config.resblock_kernel_sizes) != len(config.resblock_dilation_sizes):
        raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
    if config.channels % 2 ** len(rates):
        raise ValueError(
            f"channels {config.channels} cannot be halved {len(rates)} times, once for each rate"
        )

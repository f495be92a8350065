"""WavLM Base: 16 kHz waveforms to the outputs of all its layers.

Source: Chen et al. 2022, "WavLM", section III, and the authors' code.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_RATE = 16_000
CONVOLUTIONS = ((10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2)
"""Kernel and stride of the convolutions of the waveform."""
HOP = math.prod(stride for _, stride in CONVOLUTIONS)
"""Samples from one frame to the next."""
POSITIONS, GROUPS = 128, 16
"""Kernel and groups of the convolution that tells frames their places."""
BUCKETS, FARTHEST = 320, 800
"""Buckets of relative positions, half of them for each direction, and the distance in frames from
which on all are in the last."""


class Attention(nn.Module):
    """Self-attention with a bias of relative positions, which each query scales."""

    def __init__(self, dim: int, heads: int, *, has_biases: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.grep_linear = nn.Linear(dim // heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))
        if has_biases:  # which all layers share
            self.relative_attention_bias = nn.Embedding(BUCKETS, heads)

    def forward(self, h: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
        """Map (B, T, D) to the same; biases are (H, T, T), counts (B, 1, 1, T) true for frames."""
        split = self._split(h)
        gates = self.grep_linear(split).unflatten(3, (2, 4)).sum(4).sigmoid()
        update, reset = gates.split(1, 3)  # (B, H, T, 1)
        scale = update * (reset * self.grep_a - 1) + 2
        mask = (scale * biases).masked_fill(~counts, -torch.inf)
        q, k, v = (self._split(project(h)) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, h: Tensor) -> Tensor:
        """Split (B, T, D) into heads (B, H, T, D / H)."""
        return h.view(*h.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """Attention and two linear layers, each added to its input and then normalized."""

    def __init__(self, dim: int, heads: int, *, has_biases: bool) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, has_biases=has_biases)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, h: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
        """Map (B, T, D) to the same; see :class:`Attention`."""
        h = self.self_attn_layer_norm(h + self.self_attn(h, biases, counts))
        out: Tensor = self.final_layer_norm(h + self.fc2(F.gelu(self.fc1(h))))
        return out


class Encoder(nn.Module):
    """The transformer."""

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        position = nn.Conv1d(dim, dim, POSITIONS, padding=POSITIONS // 2, groups=GROUPS)
        self.pos_conv = nn.Sequential(position)
        self.layer_norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            Layer(dim, heads, has_biases=index == 0) for index in range(depth)
        )

    def forward(self, h: Tensor, counts: Tensor) -> list[Tensor]:
        """Return the input and output of each layer, (B, T, D); counts (B, T) is true for frames.

        Other frames are silence that a batch was filled up with.
        """
        h = h * counts[:, :, None]
        positions = F.gelu(self.pos_conv(h.transpose(1, 2))[:, :, :-1])
        outputs = [self.layer_norm(h + positions.transpose(1, 2))]
        embedding = self.get_submodule("layers.0.self_attn.relative_attention_bias")
        biases = embedding(buckets(h.shape[1]).to(h.device)).permute(2, 0, 1)  # (H, T, T)
        for layer in self.layers:
            outputs.append(layer(outputs[-1], biases, counts[:, None, None]))
        return outputs


class WavLM(nn.Module):
    """The network in evaluation: without dropout and the masks of its training."""

    def __init__(
        self, channels: int = 512, dim: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for kernel, stride in CONVOLUTIONS:
            convolution = nn.Conv1d(channels if blocks else 1, channels, kernel, stride, bias=False)
            # note: an Identity where the training has dropout, for the published names.
            norm = [] if blocks else [nn.Identity(), nn.GroupNorm(channels, channels)]
            blocks.append(nn.Sequential(convolution, *norm, nn.GELU()))
        self.feature_extractor = nn.ModuleDict({"conv_layers": nn.Sequential(*blocks)})
        self.layer_norm = nn.LayerNorm(channels)
        self.post_extract_proj = nn.Linear(channels, dim)
        self.encoder = Encoder(dim, depth, heads)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the outputs of all layers.

        Args:
            samples: (B, N) at 16 kHz, 400 of them or more; not normalized.
            lengths: (B,) int64, how many samples of each are its sound, and not filled up.

        Returns:
            For the input of the transformer and each of its layers (B, T, D), T = (N - 80) // 320;
            and (B, T), true for frames of the sound.
        """
        features = self.feature_extractor["conv_layers"](samples[:, None]).transpose(1, 2)
        at = torch.arange(features.shape[1], device=samples.device) * HOP
        counts = at < lengths[:, None]
        h = self.post_extract_proj(self.layer_norm(features))
        return self.encoder(h, counts), counts


def buckets(frames: int) -> Tensor:
    """Return (T, T) int64: the bucket of each key's position relative to each query's.

    Near positions have buckets of their own; farther ones share more and more of them.

    Source:
        Raffel et al. 2020 (T5); Chen et al. 2022, equation 9.
    """
    half = BUCKETS // 2
    exact = half // 2
    at = torch.arange(frames)
    distance = at[None] - at[:, None]
    far = (distance.abs().clamp(min=1).float() / exact).log() / math.log(FARTHEST / exact)
    logarithmic = (exact + (far * (half - exact)).long()).clamp(max=half - 1)
    near = distance.abs()
    return torch.where(near < exact, near, logarithmic) + half * (distance > 0)

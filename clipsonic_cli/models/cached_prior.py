"""The diffusion prior's network for sampling: what does not depend on the step is computed once.

It has the weights of :class:`~clipsonic_cli.models.prior.Prior`, by the same names, and gives what
that gives, without importing dalle2-pytorch. As attention is causal, only the last three positions
(time, noisy image embedding, query) change from step to step: the keys and values of the positions
before them, which are the text's, are kept.

Source: CLIPSonic appendix A; Ramesh et al. 2022, section 2.2; Shazeer 2019 (one key and value for
all heads).
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import PriorConfig

ROTATED = 32
"""Most channels of a query and a key that are rotated by their position."""
BUCKETS, FARTHEST = 32, 128
"""Relative positions share a bias from half as many on, and all from a distance on."""
COSINE_SCALE = 16.0
BIAS_FACTOR = 128.0
"""Multiplies the bias of attention "softmax_bias128"; see ``models/prior.py``."""


@dataclass(frozen=True, slots=True)
class TextCache:
    """What is computed of texts once: keys and values of every layer, each (B, 1 + L, d)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def repeat(self, count: int) -> "TextCache":
        """Return each row so many times in a row, for as many candidates."""
        return TextCache(
            tuple(rows.repeat_interleave(count, 0) for rows in self.keys),
            tuple(rows.repeat_interleave(count, 0) for rows in self.values),
        )


class LayerNorm(nn.Module):
    """Layer norm with a gain and no bias.

    Args:
        dim: Channels.
        stable: Divide by the largest channel first.
    """

    def __init__(self, dim: int, *, stable: bool = False) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))
        self.stable = stable

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., dim) normalised."""
        if self.stable:
            x = x / x.amax(dim=-1, keepdim=True)
        return F.layer_norm(x, self.g.shape, self.g, eps=1e-5)


class SwiGLU(nn.Module):
    """Half of the channels, gated by the SiLU of the others."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., C) of (..., 2 C)."""
        x, gate = x.chunk(2, dim=-1)
        return x * F.silu(gate)


class Attention(nn.Module):
    """Causal attention of several query heads over one key and value, and a learned null key.

    Args:
        config: Sizes; ``attention`` is the cosine of query and key times 16 plus the bias, or their
            product over sqrt(d) plus 128 times the bias.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        width = config.heads * config.dim_head
        self.heads = config.heads
        self.is_cosine = config.attention == "cosine"
        self.norm = LayerNorm(config.dim)
        self.null_kv = nn.Parameter(torch.zeros(2, config.dim_head))
        self.to_q = nn.Linear(config.dim, width, bias=False)
        self.to_kv = nn.Linear(config.dim, 2 * config.dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, config.dim, bias=False), LayerNorm(config.dim))

    def forward(
        self, x: Tensor, mask: Tensor, rotation: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs (B, N, D), and all keys and values (B, 1 + P + N, d).

        Args:
            x: (B, N, D), the tokens at positions P to P + N - 1.
            mask: (heads, N, 1 + P + N) bias; -inf where a key comes after its query.
            rotation: (2, N, r / 2) cosine and sine of the positions' angles.
            past: Keys and values (B, 1 + P, d) of the null key and the positions before; None for
                P = 0.
        """
        x = self.norm(x)
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
        k, v = self.to_kv(x).chunk(2, dim=-1)  # (B, N, d)
        q, k = rotate(q, rotation), rotate(k, rotation)
        past_k, past_v = past or self.null_kv[:, None, None].expand(-1, len(x), 1, -1)
        if self.is_cosine:
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
            past_k = F.normalize(past_k, dim=-1)  # the null key; others have norm 1 already
        k, v = torch.cat([past_k, k], dim=1), torch.cat([past_v, v], dim=1)
        scale = COSINE_SCALE if self.is_cosine else None
        h = F.scaled_dot_product_attention(q, k[:, None], v[:, None], attn_mask=mask, scale=scale)
        out: Tensor = self.to_out(h.transpose(1, 2).flatten(2))
        return out, (k, v)


class RelativeBias(nn.Module):
    """A bias for every bucket of distances and head; see :func:`buckets`."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.relative_attention_bias = nn.Embedding(BUCKETS, heads)


class Transformer(nn.Module):
    """Layers of attention and feed-forward, with relative positions.

    Args:
        config: Sizes.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        inner = config.ff_mult * config.dim
        self.rel_pos_bias = RelativeBias(config.heads)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Attention(config),
                    nn.Sequential(
                        LayerNorm(config.dim),
                        nn.Linear(config.dim, 2 * inner, bias=False),
                        SwiGLU(),
                        LayerNorm(inner),
                        nn.Identity(),  # dropout, in training
                        nn.Linear(inner, config.dim, bias=False),
                    ),
                ]
            )
            for _ in range(config.depth)
        )
        self.norm = LayerNorm(config.dim, stable=True)
        self.project_out = nn.Linear(config.dim, config.dim, bias=False)
        self.rotated = min(ROTATED, config.dim_head)
        self.bias_factor = 1.0 if config.attention == "cosine" else BIAS_FACTOR

    def forward(self, x: Tensor, past: TextCache | None) -> tuple[Tensor, TextCache]:
        """Return the states (B, N, D) of tokens x of that shape, after those of the cache."""
        start = 0 if past is None else past.keys[0].shape[1] - 1
        end = start + x.shape[1]
        mask, rotation = self.mask(start, end), self.rotation(start, end)
        keys, values = [], []
        for number, layer in enumerate(self.layers):
            attention, feed_forward = cast(nn.ModuleList, layer)
            before = None if past is None else (past.keys[number], past.values[number])
            h, (k, v) = attention(x, mask, rotation, before)
            x = h + x
            x = feed_forward(x) + x
            keys.append(k)
            values.append(v)
        return x, TextCache(tuple(keys), tuple(values))

    def mask(self, start: int, end: int) -> Tensor:
        """Return the biases (heads, N, 1 + end) of queries from a position to before an end.

        Distances count columns, of which the first is the null key: the key of position p is at
        distance i - p - 1 of query i, and the query's own at 0 as the one before it.
        """
        weight = self.rel_pos_bias.relative_attention_bias.weight
        query = torch.arange(start, end, device=weight.device)[:, None]
        column = torch.arange(1 + end, device=weight.device)
        bias = self.bias_factor * weight[buckets(query - column)]  # (N, 1 + end, heads)
        return bias.permute(2, 0, 1).masked_fill(column > query + 1, -torch.inf)

    def rotation(self, start: int, end: int) -> Tensor:
        """Return cosine and sine (2, N, r / 2) of the positions' angles; Su et al. 2021."""
        device = self.project_out.weight.device
        rates = 10_000.0 ** -(torch.arange(0, self.rotated, 2, device=device) / self.rotated)
        angle = torch.arange(start, end, device=device)[:, None] * rates
        return torch.stack([angle.cos(), angle.sin()])


class Network(nn.Module):
    """The parameters of the whole network, by their names in files.

    Args:
        config: Sizes and the kind of attention.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.to_time_embeds = nn.Sequential(nn.Embedding(config.num_timesteps, config.dim))
        self.causal_transformer = Transformer(config)
        self.learned_query = nn.Parameter(torch.zeros(config.dim))
        self.null_text_encodings = nn.Parameter(torch.zeros(1, config.max_text_len, config.dim))
        # Placeholders of a withheld text and image, which sampling without guidance never reads.
        self.null_text_embeds = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.null_image_embed = nn.Parameter(torch.zeros(1, config.dim))


class CachedPrior(nn.Module):
    """Predicts the clean image embedding from a noisy one and a text, in two parts.

    Args:
        config: Sizes and the kind of attention.

    Source: CLIPSonic appendix A.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.text_proj = text_projection(config)
        self.net = Network(config)

    def read(self, text_embed: Tensor, text_encodings: Tensor) -> TextCache:
        """Return what the steps need of texts.

        Args:
            text_embed: (B, D) of unit norm.
            text_encodings: (B, L, text_dim), L at most max_text_len. Rows after the end-of-text
                token must be zero: zero rows, and those missing up to max_text_len, become
                learned placeholders.

        Raises:
            ValueError: There are more tokens than max_text_len.
        """
        length, longest = text_encodings.shape[1], self.config.max_text_len
        if length > longest:
            raise ValueError(f"text_encodings must have at most {longest} tokens, not {length}")
        encodings = F.pad(self.text_proj(text_encodings), (0, 0, 0, longest - length))
        has_token = (encodings != 0).any(-1, keepdim=True)
        encodings = torch.where(has_token, encodings, self.net.null_text_encodings)
        tokens = torch.cat([encodings, text_embed[:, None]], dim=1)
        _, cache = self.net.causal_transformer(tokens, None)
        return cast(TextCache, cache)

    def forward(self, x_t: Tensor, t: Tensor, text: TextCache) -> Tensor:
        """Predict x_0 (B, D) at x_t of that shape, of which a clean one has the norm sqrt(D).

        Args:
            x_t: (B, D) noisy image embedding.
            t: (B,) int64 step in [0, num_timesteps).
            text: What :meth:`read` returned for B texts.
        """
        query = self.net.learned_query.expand_as(x_t)
        tokens = torch.stack([self.net.to_time_embeds(t), x_t, query], dim=1)  # (B, 3, D)
        transformer = self.net.causal_transformer
        states, _ = transformer(tokens, text)
        x_0: Tensor = transformer.project_out(transformer.norm(states[:, -1]))
        return x_0


def text_projection(config: PriorConfig) -> nn.Module:
    """Return the layer that brings token encodings (B, L, text_dim) to (B, L, D).

    It has no bias, so that zero rows, which stand for "no token", stay zero.
    """
    if config.text_dim == config.dim:
        return nn.Identity()
    return nn.Linear(config.text_dim, config.dim, bias=False)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate pairs of neighbouring channels of x (..., N, d) by (2, N, r / 2); r channels of d."""
    cos, sin = rotation
    r = 2 * cos.shape[-1]
    even, odd = x[..., 0:r:2], x[..., 1:r:2]
    turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)
    return torch.cat([turned, x[..., r:]], dim=-1)


def buckets(distance: Tensor) -> Tensor:
    """Return the bucket of distances: each its own up to 15, then wider ones by the logarithm.

    Source: Raffel et al. 2020 (T5), relative position biases.
    """
    near = BUCKETS // 2
    distance = distance.clamp_min(0)
    share = torch.log(distance.clamp_min(1).float() / near) / math.log(FARTHEST / near)
    far = (near + (share * (BUCKETS - near)).long()).clamp_max(BUCKETS - 1)
    return torch.where(distance < near, distance, far)

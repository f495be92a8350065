"""The diffusion prior's network: from text, and a noisy image embedding, to the image embedding.

Of dalle2-pytorch it uses the transformer and nothing else.

Source: CLIPSonic appendix A; Ramesh et al. 2022, section 2.2.
"""

from typing import Any, cast

import torch
from dalle2_pytorch.dalle2_pytorch import DiffusionPriorNetwork
from torch import Tensor, nn
from torch.nn import functional as F

from clipsonic_cli.config import PriorConfig
from clipsonic_cli.models.cached_prior import text_projection


class SoftmaxAttention(nn.Module):
    """dalle2-pytorch's causal attention as it was before version 1.4.3.

    Weights trained with it (LAION's published prior) have today's shapes and give garbage in
    today's attention. The row of logits of query i is ``q_i k / sqrt(d) + 128 bias`` over a learned
    null key and the keys 0 to i; the factor on the bias is a stabilisation trick of that time,
    which multiplied more than it had divided.

    Args:
        attention: The package's attention module, whose parameters it takes over by name.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.heads: int = attention.heads
        self.norm: nn.Module = attention.norm
        self.null_kv: nn.Parameter = attention.null_kv  # (2, d)
        self.to_q: nn.Module = attention.to_q
        self.to_kv: nn.Module = attention.to_kv
        self.to_out: nn.Module = attention.to_out
        self.dropout: float = attention.dropout.p
        self.rotary_emb: Any = attention.rotary_emb

    def forward(self, x: Tensor, attn_bias: Tensor) -> Tensor:
        """Return (B, L, D) for tokens x of that shape.

        Args:
            x: (B, L, D).
            attn_bias: (heads, L, L + 1) relative position bias; column 0 is the null key.
        """
        batch, length, _ = x.shape
        x = self.norm(x)
        q = self.to_q(x).view(batch, length, self.heads, -1).transpose(1, 2)  # (B, heads, L, d)
        k, v = self.to_kv(x).chunk(2, dim=-1)  # (B, L, d) each: all heads share one key and value
        # The null key has no position, and is not rotated.
        q = self.rotary_emb.rotate_queries_or_keys(q)
        k = self.rotary_emb.rotate_queries_or_keys(k)
        null_k, null_v = self.null_kv.to(k.dtype).expand(batch, 2, -1).chunk(2, dim=1)
        k = torch.cat([null_k, k], dim=1)[:, None].expand(-1, self.heads, -1, -1)
        v = torch.cat([null_v, v], dim=1)[:, None].expand(-1, self.heads, -1, -1)
        future = torch.ones(length, length + 1, dtype=torch.bool, device=x.device).triu(2)
        logits_bias = (128 * attn_bias).masked_fill(future, -torch.inf).to(q.dtype)
        dropout = self.dropout if self.training else 0.0
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=logits_bias, dropout_p=dropout)
        return cast(Tensor, self.to_out(h.transpose(1, 2).flatten(2)))


class Prior(nn.Module):
    """Predicts the clean image embedding from a noisy one and a text.

    A causal transformer over [token encodings, text embedding, time, noisy image embedding, query];
    the answer is read at the query. Text can be withheld row by row, for which learned placeholders
    stand in.

    Args:
        config: Sizes and the kind of attention.
        dropout: Dropout of attention weights and within feed-forward layers, in training.

    Source: CLIPSonic appendix A.
    """

    def __init__(self, config: PriorConfig, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.text_proj = text_projection(config)
        self.net = DiffusionPriorNetwork(
            dim=config.dim,
            num_timesteps=config.num_timesteps,
            max_text_len=config.max_text_len,
            depth=config.depth,
            dim_head=config.dim_head,
            heads=config.heads,
            ff_mult=config.ff_mult,
            attn_dropout=dropout,
            ff_dropout=dropout,
            normformer=True,
        )
        layers = self.net.causal_transformer.layers
        # The rotation frequencies are constants, but the package lists them as parameters, once for
        # every layer; as a buffer they are neither averaged, nor rounded, nor stored. As no file
        # has them, they are real even where the rest is an outline.
        with torch.device("cpu"):
            rotary = type(layers[0][0].rotary_emb)(dim=min(32, config.dim_head))
        freqs = rotary.freqs.detach()
        del rotary.freqs
        rotary.register_buffer("freqs", freqs, persistent=False)
        for layer in layers:
            layer[0].rotary_emb = rotary
            if config.attention == "softmax_bias128":
                layer[0] = SoftmaxAttention(layer[0])

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        text_embed: Tensor,
        text_encodings: Tensor,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Predict x_0 at x_t.

        Args:
            x_t: (B, D) noisy image embedding. A clean one has the norm sqrt(D), so that its
                elements are of about unit variance, as the noise is.
            t: (B,) int64 step in [0, num_timesteps).
            text_embed: (B, D) text embedding of unit norm.
            text_encodings: (B, L, text_dim), L at most max_text_len. Rows after the end-of-text
                token must be zero: zero rows, and those missing up to max_text_len, become
                learned placeholders.
            keep: (B,) bool; where it is False the row's text embedding and encodings are replaced
                by learned placeholders. None keeps all.

        Returns:
            (B, D) predicted clean image embedding, of norm about sqrt(D).
        """
        self._check(x_t, t, text_embed, text_encodings, keep)
        text_encodings = self.text_proj(text_encodings)  # (B, L, D)
        if keep is not None:
            keep = keep[:, None]
            text_embed = torch.where(keep, text_embed, self.net.null_text_embeds[0])
            # Zero rows are what the network puts its placeholders for tokens into.
            text_encodings = torch.where(keep[..., None], text_encodings, 0.0)
        return cast(Tensor, self.net(x_t, t, text_embed=text_embed, text_encodings=text_encodings))

    def _check(
        self,
        x_t: Tensor,
        t: Tensor,
        text_embed: Tensor,
        text_encodings: Tensor,
        keep: Tensor | None,
    ) -> None:
        config, batch = self.config, x_t.shape[0]
        for name, tensor, expected in (
            ("x_t", x_t, (batch, config.dim)),
            ("t", t, (batch,)),
            ("text_embed", text_embed, (batch, config.dim)),
            ("keep", t if keep is None else keep, (batch,)),
        ):
            if tensor.shape != expected:
                raise ValueError(f"{name} must be {expected}, not {tuple(tensor.shape)}")
        shape = tuple(text_encodings.shape)
        if len(shape) != 3 or shape[::2] != (batch, config.text_dim):
            raise ValueError(f"text_encodings must be ({batch}, L, {config.text_dim}), not {shape}")
        # The network would cut longer texts without a word.
        if shape[1] > config.max_text_len:
            raise ValueError(
                f"text_encodings must have at most {config.max_text_len} tokens, not {shape[1]}"
            )

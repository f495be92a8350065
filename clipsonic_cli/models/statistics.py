"""Statistics of frame and text embeddings, and the ways over CLIP's gap that need nothing else.

CLIP's image and text vectors lie in two separate regions of the sphere (Liang et al. 2022). From
means, variances and some of the frames that a U-Net was trained on, a text vector is turned into
one that looks like a frame's: without pairs of any kind.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import StatisticsConfig

SHARPNESS = 100.0
"""Factor of cosines before the softmax of retrieval (DeCap, Li et al. 2023: temperature 1/100)."""


class Statistics(nn.Module):
    """Means, variances and frames, as buffers; all of unit vectors.

    ``frame_mean``, ``text_mean`` (D,); ``frame_variance``, ``text_variance`` (D,), by axis;
    ``drifted_mean`` (D,), the mean of the text bank after the second step of :meth:`realign`;
    ``frames`` (K, D), and ``sizes`` (K,), how many frames each stands for; ``known`` (M, D), the
    vectors of the names of the sounds in the frames, or None: parts of 0.1.0 have none.

    Args:
        config: Sizes.
        known: M, or 0 for None.
    """

    frame_mean: Tensor
    frame_variance: Tensor
    text_mean: Tensor
    text_variance: Tensor
    drifted_mean: Tensor
    frames: Tensor
    sizes: Tensor
    known: Tensor | None

    def __init__(self, config: StatisticsConfig, known: int = 0) -> None:
        super().__init__()
        self.config = config
        shapes = dict.fromkeys(("frame_mean", "text_mean", "drifted_mean"), (config.dim,))
        shapes |= dict.fromkeys(("frame_variance", "text_variance"), (config.dim,))
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("frames", torch.zeros(config.kept, config.dim))
        self.register_buffer("sizes", torch.ones(config.kept))
        self.register_buffer("known", torch.zeros(known, config.dim) if known else None)

    def nearest_text(self, frames: Tensor, texts: Tensor) -> Tensor:
        """Return the row of texts (M, D) most like each frame (N, D), gap removed; (N,)."""
        centred = F.normalize(texts - self.text_mean, dim=1)
        return ((frames - self.frame_mean) @ centred.T).argmax(1)

    def mean_shift(self, texts: Tensor) -> Tensor:
        """Move text vectors (B, D) by the difference of the means; return (B, D) of unit norm.

        Source: Zhang et al. 2024 (C3), who find that the gap is a constant vector.
        """
        return F.normalize(texts - self.text_mean + self.frame_mean, dim=-1)

    def realign(self, texts: Tensor) -> Tensor:
        """Match mean, spread and mean direction of the frames; return (B, D) of unit norm.

        Source: ReAlign (Yu et al. 2026, arXiv:2602.07026): anchor, trace and centroid alignment.
        """
        shifted = self.scaled(texts) - self.drifted_mean + self.frame_mean
        return F.normalize(shifted, dim=-1)

    def scaled(self, texts: Tensor) -> Tensor:
        """Compute the first two steps of :meth:`realign`, (B, D) of unit norm."""
        scale = (self.frame_variance.sum() / self.text_variance.sum().clamp_min(1e-10)).sqrt()
        return F.normalize(self.frame_mean + scale * (texts - self.text_mean), dim=-1)

    def retrieve(self, texts: Tensor) -> Tensor:
        """Average the frames by likeness to text vectors, gap removed; (B, D) of unit norm.

        Source: the projection of DeCap (Li et al. 2023, section 3.2), from texts to frames.
        """
        # note: the mean frame would add a constant, which softmax ignores.
        likeness = (texts - self.text_mean) @ self.frames.T  # (B, K)
        weights = (SHARPNESS * likeness + self.sizes.log()).softmax(dim=-1)
        return F.normalize(weights @ self.frames, dim=-1)

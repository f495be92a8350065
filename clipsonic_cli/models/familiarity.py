"""Tell whether a text or an image is far from all that a model was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.modes import Kind

LOW = 0.05
"""Quantile of known cosines, and of those with another sound, between which the limit is."""
NEAREST = 3
"""Sounds that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """The sounds of a model that a query is nearest to."""

    nearest: Mapping[str, float]
    """Cosine by name, the nearest first; empty where a text names one of them."""
    limit: float | None = None
    """Cosine below which a query is far; None where it was not measured."""

    @property
    def far(self) -> bool | None:
        """Whether the query is far from all sounds; None where it was not measured."""
        if not self.nearest:
            return False
        return None if self.limit is None else max(self.nearest.values()) < self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiarity:
    """The sounds that a model knows, and how near to one of them a query must be.

    A sound is a name, and the mean of the training frames whose nearest text is this name. A query
    is as near to it as the cosine of its own CLIP vector (of a text: less the mean text vector,
    which removes CLIP's gap) with that mean.
    """

    names: Sequence[str]
    means: Tensor
    """(M, D) of unit norm."""
    text_mean: Tensor
    """(D,), or a number."""
    limits: Mapping[Kind, float]
    """Of cosines, by the kind of query; empty where they were not measured."""

    @classmethod
    def measure(cls, names: Sequence[str], texts: Tensor, statistics: Statistics) -> Self:
        """Measure by the texts' vectors (M, D), one for each name, and the frames of statistics.

        The limit is halfway between two 5 % quantiles: of the cosines of known queries with their
        own sound, and with the nearest other sound (0 if there is none). Known queries are the
        names themselves as texts, and the training frames as images. Names that are the nearest
        text of no frame are left out.
        """
        texts = texts.to(statistics.frames.device)
        frames = F.normalize(statistics.frames, dim=1)
        own = statistics.nearest_text(frames, texts)
        sums = torch.zeros_like(texts).index_add_(0, own, frames * statistics.sizes[:, None])
        used = own.bincount(minlength=len(names)) > 0
        means = F.normalize(sums[used], dim=1)
        own = (used.cumsum(0) - 1)[own]
        shifted = F.normalize(texts[used] - statistics.text_mean, dim=1)
        each = torch.arange(len(means), device=own.device)
        return cls(
            names=[name for name, is_used in zip(names, used.tolist(), strict=True) if is_used],
            means=means,
            text_mean=statistics.text_mean,
            limits={
                "text": limit(shifted @ means.T, each),
                "image": limit(frames @ means.T, own),
            },
        )

    @classmethod
    def by_texts(cls, names: Sequence[str], texts: Tensor) -> Self:
        """Name sounds by the vectors of their names (M, D) alone; no limit can be measured."""
        return cls(names=names, means=texts, text_mean=torch.zeros(()), limits={})

    def __call__(self, vector: Tensor, kind: Kind) -> Nearness:
        """Return the sounds nearest to a query's CLIP vector (D,)."""
        vector = vector.to(self.means.device)
        if kind == "text":
            vector = vector - self.text_mean
        cosines = self.means @ F.normalize(vector, dim=0)
        best = cosines.topk(min(NEAREST, len(self.names)))
        nearest = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Nearness(
            nearest={self.names[place]: cosine for place, cosine in nearest},
            limit=self.limits.get(kind),
        )


def limit(cosines: Tensor, own: Tensor) -> float:
    """Compute the limit of :meth:`Familiarity.measure`.

    Args:
        cosines: Of known queries with the sounds (N, M).
        own: Number of each query's own sound (N,).
    """
    mine = cosines.gather(1, own[:, None])[:, 0]
    others = torch.zeros_like(mine)
    if cosines.shape[1] > 1:
        others = cosines.scatter(1, own[:, None], -torch.inf).amax(1)
    return float(mine.quantile(LOW) + others.quantile(LOW)) / 2

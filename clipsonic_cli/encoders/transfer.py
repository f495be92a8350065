"""Texts to CLIP-*image* space without pairs of any kind: by statistics of frames and texts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from clipsonic_cli.config import StatisticsConfig
from clipsonic_cli.encoders.clip import ClipModel, texts_of
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.types import Condition, Noise, Query, Report, silent


class TransferEncoder(ABC):
    """Encodes texts by CLIP, and moves the vectors to where frames are.

    Args:
        clip: Encodes the texts.
        what: Moves them, for a message: "the statistics are".
        dim: Size of the vectors that it moves.

    Raises:
        ValueError: CLIP's are of another size.
    """

    def __init__(self, clip: ClipModel, what: str, dim: int) -> None:
        if clip.dim != dim:
            raise ValueError(f"{what} of {dim} numbers, CLIP gives {clip.dim}")
        self.clip = clip

    def __call__(
        self,
        queries: Sequence[Query],
        *,
        noise: Noise,  # noqa: ARG002 -- the protocol's; this is deterministic
        report: Report = silent,
    ) -> Condition:
        """Return (B, D) of unit norm for B text queries; an image is a ValueError."""
        embed, _ = self.clip.embed_text(texts_of(queries))
        moved = self.move(embed)
        report("text", len(queries), len(queries))
        return Condition(embed=moved, space="clip-image", encoder=self.clip.identity)

    @abstractmethod
    def move(self, embed: Tensor) -> Tensor:
        """Move text vectors (B, D) to where frames are; both on the CPU."""


class StatisticsEncoder(TransferEncoder):
    """Moves by a method of the statistics: modes ms, ra and rt.

    Deterministic; under a millisecond a text, rt some of them (``benchmarks/text_ways.py``).
    """

    method: ClassVar[str]

    def __init__(self, clip: ClipModel, statistics: Statistics) -> None:
        super().__init__(clip, "the statistics are", statistics.config.dim)
        self.statistics = statistics

    @torch.no_grad()
    def move(self, embed: Tensor) -> Tensor:
        """Move text vectors (B, D) to where frames are; both on the CPU."""
        move = getattr(self.statistics, self.method)
        moved: Tensor = move(embed.to(self.statistics.frames.device)).cpu()
        return moved


class MeanShiftEncoder(StatisticsEncoder):
    """Mode ``ms``."""

    method = "mean_shift"


class ReAlignEncoder(StatisticsEncoder):
    """Mode ``ra``."""

    method = "realign"


class RetrievalEncoder(StatisticsEncoder):
    """Mode ``rt``."""

    method = "retrieve"


def load_statistics(bundle: Bundle, name: str) -> Statistics:
    """Build the statistics of a bundle, in float32; a BadBundle where they are damaged or none."""
    config = bundle.header.config
    if not isinstance(config, StatisticsConfig):
        raise BadBundle(f"Statistics are needed, this bundle holds a {bundle.header.kind}.")
    known = bundle.weights.get("known")
    count = 0 if known is None or known.ndim == 0 else len(known)
    return build(lambda: Statistics(config, count), bundle.weights, name)

"""Texts to CLIP-*image* space by statistics of frames and texts, without pairs of any kind."""

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


class TransferEncoder:
    """Encodes texts by CLIP, and moves the vectors to where frames are: modes ms, ra and rt.

    A subclass says how, by a method of the statistics. Deterministic; under a millisecond a text.

    Raises:
        ValueError: The statistics are of vectors of another size.
    """

    method: ClassVar[str]

    def __init__(self, clip: ClipModel, statistics: Statistics) -> None:
        if clip.dim != (dim := statistics.config.dim):
            raise ValueError(f"the statistics are of {dim} numbers, CLIP gives {clip.dim}")
        self.clip = clip
        self.statistics = statistics

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

    @torch.no_grad()
    def move(self, embed: Tensor) -> Tensor:
        """Move text vectors (B, D) to where frames are; both on the CPU."""
        move = getattr(self.statistics, self.method)
        moved: Tensor = move(embed.to(self.statistics.frames.device)).cpu()
        return moved


class MeanShiftEncoder(TransferEncoder):
    """Mode ``ms``."""

    method = "mean_shift"


class ReAlignEncoder(TransferEncoder):
    """Mode ``ra``."""

    method = "realign"


class RetrievalEncoder(TransferEncoder):
    """Mode ``rt``."""

    method = "retrieve"


def load_statistics(bundle: Bundle, name: str) -> Statistics:
    """Build the statistics of a bundle, in float32; a BadBundle where they are damaged or none."""
    config = bundle.header.config
    if not isinstance(config, StatisticsConfig):
        raise BadBundle(f"Statistics are needed, this bundle holds a {bundle.header.kind}.")
    return build(lambda: Statistics(config), bundle.weights, name)

"""Audio aesthetics: how good sounds are as people would say, with nothing to compare with."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric, mean

NAMES = ("aes-pq", "aes-pc", "aes-ce", "aes-cu")
"""Production quality and complexity, content enjoyment and usefulness."""


def compare(made: Features, _own: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield the mean over sounds of each axis, which people score from 1 to 10.

    More complexity ("aes-pc") is more sounds at once, which need not be better.

    Source:
        Tjandra et al. 2025 (Audiobox Aesthetics).
    """
    for name, values in zip(NAMES, made.means().T[: len(NAMES)], strict=True):
        yield mean(name, values, generator)


METRIC = Metric(
    name="aes",
    title="audio aesthetics",
    better="higher",
    backbone="audiobox",
    against="nothing",
    compare=compare,
)

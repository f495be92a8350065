"""The divergence between a tagger's class probabilities for a sound and for its original."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric, mean
from clipsonic_cli.metrics.tagger import probabilities

FLOOR = 1e-6
"""Added to every probability, so that a class of probability 0 has a finite cost."""


def compare(made: Features, originals: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "kl": the mean Kullback-Leibler divergence, in nats, of made from original sounds.

    Values by different taggers are not comparable. (AudioLDM's evaluation does not normalize again
    after :data:`FLOOR` is added, which changes next to nothing.)

    Source:
        Iashin & Rahtu 2021 (of paired sounds).
    """
    floored = (probabilities(features) + FLOOR for features in (originals, made))
    p, q = (x / x.sum(1, keepdim=True) for x in floored)
    yield mean("kl", (p * (p / q).log()).sum(1), generator)


METRIC = Metric(
    name="kl",
    title="Kullback-Leibler divergence of tags",
    better="lower",
    backbone="clap",
    against="originals",
    compare=compare,
)

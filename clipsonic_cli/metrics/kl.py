"""How far a tagger's opinion of a sound is from its opinion of the true one."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric, mean
from clipsonic_cli.metrics.tagger import probabilities

FLOOR = 1e-6
"""Added to every probability, so that a class ruled out costs much but not everything."""


def compare(made: Features, originals: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Gives "kl": the mean Kullback-Leibler divergence, in nats, of made from original sounds.

    It is what it costs to take the classes of the made sound for those of the original. Values
    depend on the tagger, and compare with no other's. (AudioLDM's evaluation does not divide again
    by the sum after :data:`FLOOR` is added, which changes next to nothing.)

    Raises:
        ValueError: The rows are no class probabilities.

    Source:
        Iashin & Rahtu 2021 (of paired sounds).
    """
    p, q = ((x + FLOOR) / (x + FLOOR).sum(1, keepdim=True) for x in _of_each(originals, made))
    yield mean("kl", (p * (p / q).log()).sum(1), generator)


def _of_each(*sets: Features) -> Iterator[torch.Tensor]:
    """Gives the class probabilities (C, K) of each set."""
    yield from map(probabilities, sets)


METRIC = Metric(
    name="kl",
    title="Kullback-Leibler divergence of tags",
    better="lower",
    backbone="clap",
    against="originals",
    compare=compare,
)

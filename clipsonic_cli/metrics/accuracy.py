"""Tagging accuracy: how often a sound's most probable class is the one it was made for."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric
from clipsonic_cli.metrics.tagger import probabilities


def compare(made: Features, labels: Features, _generator: torch.Generator) -> Iterator[Measured]:
    """Yield "accuracy": the share of sounds whose most probable class is their own, in [0, 1]."""
    right = (probabilities(made).argmax(1) == probabilities(labels).argmax(1)).double()
    yield Measured(name="accuracy", value=float(right.mean()), interval=intervals.of_share(right))


METRIC = Metric(
    name="accuracy",
    title="share of sounds that are tagged as their class",
    better="higher",
    backbone="clap",
    against="labels",
    compare=compare,
)

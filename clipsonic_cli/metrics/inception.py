"""The inception score: how sure a tagger is of each sound, and how different the sounds are."""

from collections.abc import Iterator

import torch
from torch import Tensor

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric
from clipsonic_cli.metrics.tagger import probabilities
from clipsonic_cli.types import Note

GROUPS = 10
"""Random groups of sounds that are scored one by one; fewer for fewer than two sounds each."""


def compare(made: Features, _own: Features, generator: torch.Generator) -> Iterator[Measured]:
    r"""Yield "is": the mean over random groups of :math:`\exp E_x KL(p(y | x) \| p(y))`.

    It is from 1 (all sounds are tagged alike) to the number of classes or of a group's sounds, so
    that fewer sounds have lower scores. It says nothing of what the sounds were to be. The interval
    is for this number of sounds.

    Source:
        Salimans et al. 2016; ten groups: its authors, AudioLDM's and MMAudio's evaluations.
    """
    p = probabilities(made)  # (C, K)
    count = max(min(GROUPS, len(p) // 2), 1)
    group = intervals.groups_of(made.names, count, generator=generator)
    scores = torch.stack([_score(p[group == index]) for index in range(count)])
    size, notes = len(p) // count, []
    if size < p.shape[1]:
        text = (
            f"Of {count} groups of {size} sounds, fewer than the {p.shape[1]} classes: compare "
            "with no score of another number of sounds."
        )
        notes.append(Note(text, "too few sounds; compare with no score of another number", 1))
    yield Measured(
        name="is",
        value=float(scores.mean()),
        interval=intervals.of_mean(scores, generator=generator),
        notes=tuple(notes),
    )


def _score(p: Tensor) -> Tensor:
    """Compute the score of class probabilities (n, K)."""
    divergences = torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))
    score: Tensor = divergences.sum(1).mean().exp()
    return score


METRIC = Metric(
    name="is",
    title="inception score",
    better="higher",
    backbone="passt",
    against="set",
    compare=compare,
    min_rows=2,
)

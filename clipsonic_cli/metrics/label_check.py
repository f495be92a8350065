"""Whether a network knows labels: true sounds must fit their own better than each other's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F

from clipsonic_cli.metrics.features import Features, per_sound_mean

PAIRINGS = 1000
"""Most pairings of labels that are tried; all are where there are no more."""
LEVEL = 0.05
"""Largest share of pairings that may fit as well as the true one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCheck:
    """How well true sounds fit their own labels, and each other's."""

    own: float
    """Mean cosine with the own label, each label weighted alike."""
    swapped: float
    """Mean cosine with another label."""
    interval: tuple[float, float]
    """Central 95 % of the cosines of random pairings of sounds and labels."""
    share: float
    """Share of pairings that fit as well as the true one, itself included."""
    labels: int
    sounds: int

    @property
    def known(self) -> bool | None:
        """Whether the network knows the labels; None where too few labels leave it to chance."""
        if self.share <= LEVEL:
            return True
        best = self.share <= 1 / math.factorial(self.labels)
        return None if best else False


def check_labels(
    sounds: Features, labels: Mapping[str, str], texts: Features, *, generator: torch.Generator
) -> LabelCheck:
    """Compare true sounds with their own labels and with those of each other.

    A permutation test of labels, not of sounds: sounds of one label are alike, and a network that
    places a strange label at random still does so for all of them. As each label counts alike, one
    that is near to all sounds, or sounds near to all labels, change nothing.

    Args:
        sounds: Embedded true sounds.
        labels: The label of each, by its name.
        texts: The embedded labels, by themselves.
        generator: Draws the pairings.

    Source:
        Fisher 1935 (permutation test).
    """
    names = sorted(set(labels.values()))
    place = {name: index for index, name in enumerate(names)}
    units = per_sound_mean(F.normalize(sounds.rows.double(), dim=1), sounds.counts)  # (C, D)
    owner = torch.tensor([place[labels[name]] for name in sounds.names])
    sizes = torch.bincount(owner, minlength=len(names))
    sums = torch.zeros(len(names), sounds.dim, dtype=torch.float64).index_add(0, owner, units)
    means = sums / sizes[:, None]  # (K, D)
    vectors = F.normalize(texts.only(names).rows.double(), dim=1)  # (K, D)
    own = float((means * vectors).sum(1).mean())
    count = len(names)
    every = float(means.mean(0) @ vectors.mean(0))  # over all pairs of a sound and a label
    if math.factorial(min(count, 9)) <= PAIRINGS:
        orders = torch.tensor(list(permutations(range(count))))
    else:
        drawn = [torch.randperm(count, generator=generator) for _ in range(PAIRINGS - 1)]
        orders = torch.stack([torch.arange(count), *drawn])
    fits = torch.stack([(means * vectors[order]).sum(1).mean() for order in orders])
    low, high = fits.quantile(torch.tensor([0.025, 0.975], dtype=fits.dtype)).tolist()
    return LabelCheck(
        own=own,
        swapped=(every * count - own) / (count - 1) if count > 1 else math.nan,
        interval=(low, high),
        share=float((fits >= own - 1e-9).double().mean()),
        labels=count,
        sounds=len(sounds.names),
    )

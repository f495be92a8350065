"""How much a score would change with another draw of as many sounds.

Sounds are drawn, not their windows: windows of one sound are alike, and to count each as news would
make every interval too narrow.
"""

import torch
from torch import Tensor

LEAST = 8
"""Sounds below which no interval is given."""
Z = 1.959964
"""Between -Z and Z lie 95 % of a normal distribution."""
RESAMPLES = 2000
AT_ONCE = 2_000_000
"""Draws held in memory."""

Interval = tuple[float, float]


def of_mean(values: Tensor, *, generator: torch.Generator) -> Interval | None:
    """Gives the 95 % percentile bootstrap interval of a mean over sounds.

    Args:
        values: (C,) float64, one a sound, in an order that does not depend on the files'.
        generator: Draws the resamples.

    Returns:
        Its ends, or None for under :data:`LEAST` sounds.

    Source:
        Efron & Tibshirani 1993, chapter 13.
    """
    count = len(values)
    if count < LEAST:
        return None
    means = []
    for some in torch.split(torch.ones(RESAMPLES), max(AT_ONCE // count, 1)):
        picked = torch.randint(count, (len(some), count), generator=generator)
        means.append(values[picked].mean(1))
    low, high = torch.cat(means).quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return low, high


def half_width(left_out: Tensor) -> float | None:
    """Gives half the 95 % interval of a statistic of a whole set, by the jackknife over groups.

    Distances between sets are not bootstrapped: a resample holds sounds twice, which looks like a
    narrower distribution and moves the distance by more than the sounds' chance does.

    Args:
        left_out: (G,) float64, the statistic without each of the groups of sounds in turn.

    Returns:
        Half its width, or None for under :data:`LEAST` groups.

    Source:
        Efron & Tibshirani 1993, chapter 11 (the jackknife), a group at a time.
    """
    groups = len(left_out)
    if groups < LEAST:
        return None
    spread = (left_out - left_out.mean()).square().sum() * (groups - 1) / groups
    return Z * float(spread.sqrt())


def groups_of(names: tuple[str, ...], groups: int, *, generator: torch.Generator) -> Tensor:
    """Deals sounds into groups of as equal a size as can be, whatever their order.

    Args:
        names: Of the sounds, each once.
        groups: How many groups at most; fewer sounds are a group each.
        generator: Deals.

    Returns:
        (C,) int64, the group of each sound: 0 to the number of groups less one, each in use.
    """
    by_name = torch.tensor(sorted(range(len(names)), key=names.__getitem__))
    dealt = torch.empty(len(names), dtype=torch.int64)
    shuffled = by_name[torch.randperm(len(names), generator=generator)]
    dealt[shuffled] = torch.arange(len(names)) % groups
    return dealt

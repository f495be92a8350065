"""95 % confidence intervals of scores.

In 95 of 100 evaluations of as many sounds, such an interval contains what the score estimates: the
mean over all possible sounds, or the mean of a distance at this number of sounds. It contains the
score of another evaluation less often, which has an error of its own. The unit of resampling is the
sound: windows of one sound correlate, and independent windows would make intervals too narrow.
"""

import torch
from torch import Tensor

LEAST = 8
"""Sounds below which there is no interval."""
MANY = 30
"""Sounds below which a bootstrap would be too narrow."""
Z = 1.959964
"""97.5 % quantile of the normal distribution."""
RESAMPLES = 2000
AT_ONCE = 2_000_000
"""Draws in memory."""

Interval = tuple[float, float]


def of_mean(values: Tensor, *, generator: torch.Generator) -> Interval | None:
    """Compute the interval of the mean of values (C,), one per sound and sorted by its name.

    It is Student's t for under :data:`MANY` sounds, else a percentile bootstrap, which need not be
    symmetric. None for under :data:`LEAST` sounds.

    Source:
        Student 1908; Efron & Tibshirani 1993, chapter 13.
    """
    count, mean = len(values), float(values.mean())
    if count < LEAST:
        return None
    if count < MANY:
        half = student(count - 1) * float(values.std()) / count**0.5
        return mean - half, mean + half
    means = []
    for some in torch.split(torch.ones(RESAMPLES), max(AT_ONCE // count, 1)):
        picked = torch.randint(count, (len(some), count), generator=generator)
        means.append(values[picked].mean(1))
    low, high = torch.cat(means).quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return low, high


def of_share(values: Tensor) -> Interval | None:
    """Compute the interval of the share of ones in values (C,) of 0 and 1, within [0, 1].

    It does not collapse at 0 and 1. None for under :data:`LEAST` sounds.

    Source:
        Wilson 1927.
    """
    count, share = len(values), float(values.double().mean())
    if count < LEAST:
        return None
    z = Z**2 / count
    centre = (share + z / 2) / (1 + z)
    half = (z * share * (1 - share) + z**2 / 4) ** 0.5 / (1 + z)
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)  # rounding


def student(degrees: int) -> float:
    """Compute the 97.5 % quantile of Student's t, within 0.1 % from 7 degrees of freedom on.

    Source:
        Fisher & Cornish 1960 (expansion in one over the degrees of freedom).
    """
    z = Z
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )


def half_width(whole: float, left_out: Tensor, sizes: Tensor) -> float | None:
    """Compute half the interval of a statistic of a set, by the jackknife over groups of sounds.

    The interval is for the statistic's mean over sets of this size, bias included. Distances
    between sets are not bootstrapped: a resample has sounds twice, which looks like a narrower
    distribution and moves the distance by more than chance does.

    Args:
        whole: The statistic.
        left_out: (G,) float64, the statistic without each group in turn.
        sizes: (G,) size of each group, as a biased statistic changes with the size of the set; one
            of size 0 is ignored.

    Returns:
        Half the width, or None for under :data:`LEAST` groups.

    Source:
        Busing, Meijer & van der Leeden 1999 (jackknife over groups of unequal sizes); Student 1908.
    """
    left_out, sizes = left_out[sizes > 0], sizes[sizes > 0]
    groups = len(sizes)
    if groups < LEAST:
        return None
    ratios = sizes.sum() / sizes  # of the whole to each group
    pseudo = ratios * whole - (ratios - 1) * left_out
    centre = groups * whole - ((1 - 1 / ratios) * left_out).sum()
    variance = ((pseudo - centre).square() / (ratios - 1)).mean()
    return student(groups - 1) * float(variance.sqrt())


def groups_of(names: tuple[str, ...], groups: int, *, generator: torch.Generator) -> Tensor:
    """Draw (C,) int64, the group of each sound, whatever the order of their different names.

    The groups, numbered from 0, are of equal size within one; fewer sounds than ``groups`` are one
    each.
    """
    by_name = torch.tensor(sorted(range(len(names)), key=names.__getitem__))
    group = torch.empty(len(names), dtype=torch.int64)
    shuffled = by_name[torch.randperm(len(names), generator=generator)]
    group[shuffled] = torch.arange(len(names)) % groups
    return group

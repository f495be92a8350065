"""95 % confidence intervals of scores.

In 95 of 100 evaluations of as many sounds, such an interval holds what the score is the estimate
of: the mean over all sounds there could be, or the mean of a distance at this number of sounds.
The score of another evaluation lies outside more often, as it is off by chance as well.

Sounds are drawn, not their windows: windows of one sound are alike, and to count each as news would
make every interval too narrow.
"""

import torch
from torch import Tensor

LEAST = 8
"""Sounds below which no interval is given."""
MANY = 30
"""Sounds below which a bootstrap would be too narrow."""
Z = 1.959964
"""Between -Z and Z lie 95 % of a normal distribution."""
RESAMPLES = 2000
AT_ONCE = 2_000_000
"""Draws held in memory."""

Interval = tuple[float, float]


def of_mean(values: Tensor, *, generator: torch.Generator) -> Interval | None:
    """Gives the 95 % confidence interval of a mean over sounds.

    It is that of Student's t for under :data:`MANY` sounds, and a percentile bootstrap's for more,
    which need not reach as far up as down.

    Args:
        values: (C,) float64, one a sound, in an order that does not depend on the files'.
        generator: Draws the resamples.

    Returns:
        Its ends, or None for under :data:`LEAST` sounds.

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
    """Gives the 95 % confidence interval of a share, which is wide of 0 and 1 for few sounds.

    Args:
        values: (C,), 1 for each sound that counts, else 0.

    Returns:
        Its ends within [0, 1], or None for under :data:`LEAST` sounds.

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
    """Gives what a Student's t lies below in 97.5 % of draws, within 0.1 % from 7 degrees on.

    Source:
        Fisher & Cornish 1960 (the expansion in one over the degrees of freedom).
    """
    z = Z
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )


def half_width(whole: float, left_out: Tensor, sizes: Tensor) -> float | None:
    """Gives half the 95 % confidence interval of a statistic of a whole set, by the jackknife.

    The statistic's mean over sets of as many sounds is what the interval is of; where it is biased,
    as a Frechet distance is, so is that.

    Distances between sets are not bootstrapped: a resample holds sounds twice, which looks like a
    narrower distribution and moves the distance by more than the sounds' chance does.

    Args:
        whole: The statistic.
        left_out: (G,) float64, the statistic without each of the groups of sounds in turn.
        sizes: (G,) how much of the whole each is. A biased statistic changes with the size of the
            set, which is not chance: to leave out twice as much may not look like it. A group of
            0 tells nothing.

    Returns:
        Half its width, or None for under :data:`LEAST` groups.

    Source:
        Busing, Meijer & van der Leeden 1999 (the jackknife by groups of unequal sizes); Student
        1908.
    """
    left_out, sizes = left_out[sizes > 0], sizes[sizes > 0]
    groups = len(sizes)
    if groups < LEAST:
        return None
    times = sizes.sum() / sizes  # that a group goes into the whole
    pseudo = times * whole - (times - 1) * left_out
    centre = groups * whole - ((1 - 1 / times) * left_out).sum()
    variance = ((pseudo - centre).square() / (times - 1)).mean()
    return student(groups - 1) * float(variance.sqrt())


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

"""The kernel audio distance: a squared maximum mean discrepancy that the set's size does not bias.

Knows: kernels. Does not know: what the vectors are of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric

SCALE = 100
"""Distances are shown a hundredfold, as kadtk shows them."""
ROWS = 8192
"""Rows of either side that are compared; of more, as many are drawn."""
MEDIAN_ROWS = 4096
"""Rows of the reference between which the median distance is taken."""
FEW = 50
"""Sounds of either side below which chance can outweigh what is measured."""
GROUPS = 32
BLOCK = 1024


def compare(made: Features, reference: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Gives "kad", which may be negative: of two sets of one distribution, its mean is 0.

    All windows are pooled, but no two of one sound are compared, nor of two sounds of one name, as
    a sound and the clip it was made of: that these are alike says nothing of the sets. The kernel's
    bandwidth is the median distance within the reference.

    Of less than :data:`FEW` sounds on either side a note warns. Between two draws of n sounds of
    one distribution, the estimate's standard deviation falls as 1 / n. As the embedded network
    hears real sounds, it is about 3 at 10, 0.9 at 30 and 0.5 at 50, where it is as large as the
    distance of a good model's sounds: 0.4 to 0.5, of 300.

    Raises:
        UsageError: A set has a single sound; or most of the reference's rows are the same, so that
            there is no such width.

    Source:
        Chung et al. 2025 (KAD); Gretton et al. 2012, lemma 6. The factor and the
        bandwidth: kadtk's repository, whose release 1.1.0 takes the scored set's width instead.
    """
    place = {name: index for index, name in enumerate(sorted({*made.names, *reference.names}))}
    group = torch.zeros(len(place), dtype=torch.int64)
    dealt = intervals.groups_of(made.names, GROUPS, generator=generator)
    group[[place[name] for name in made.names]] = dealt
    mine, theirs = (_drawn(some, place, generator) for some in (made, reference))
    sounds, others = (len(set(z.sound.tolist())) for z in (mine, theirs))
    if (fewest := min(sounds, others)) < 2:
        raise UsageError(f"'kad' needs 2 sounds or more on either side, got {fewest}; give more.")
    scale = theirs.rows[_some(len(theirs.rows), MEDIAN_ROWS, generator)]
    bandwidth = median_distance(scale)
    if not bandwidth:
        raise UsageError(
            "'kad' has no scale to compare by: most of the reference sounds alike, such as silence."
        )
    group = group[mine.sound]
    whole, parts = _discrepancies(mine, theirs, bandwidth, group)
    value = SCALE * whole
    half = intervals.half_width(value, SCALE * parts, torch.bincount(group))
    notes = [f"Kernel bandwidth {bandwidth:.4g}, the reference's median distance."]
    notes += [
        f"{ROWS} of the {rows} windows of {whose} were compared."
        for rows, whose in ((len(made.rows), "the sounds"), (len(reference.rows), "the reference"))
        if rows > ROWS
    ]
    notes += [
        f"{count} sounds{whose} are few: chance alone can be more than what sets them apart; give "
        f"{FEW} or more."
        for count, whose in ((sounds, ""), (others, " of the reference"))
        if count < FEW
    ]
    if value < 0:
        notes.append("Below 0, as an unbiased estimate may be: no difference was found.")
    interval = None if half is None else (value - half, value + half)
    yield Measured(name="kad", value=value, interval=interval, notes=tuple(notes))


def squared_discrepancy(x: Tensor, y: Tensor, bandwidth: float) -> float:
    r"""Gives the unbiased estimate of the squared maximum mean discrepancy.

    The kernel is :math:`\exp(-|a - b|^2 / 2 h^2)`; every row is taken for a sound of its own.

    Args:
        x: (n, D), two rows or more.
        y: (m, D), two rows or more.
        bandwidth: h, above 0.

    Returns:
        At most 2, and 0 on average for sets of one distribution.

    Raises:
        ValueError: A set has less than two rows, or the bandwidth is not above 0.

    Source:
        Gretton et al. 2012, lemma 6.
    """
    if min(len(x), len(y)) < 2 or not bandwidth > 0:
        raise ValueError(
            f"need 2 rows or more and a bandwidth above 0, got {len(x)}, {len(y)} and {bandwidth}"
        )
    mine, theirs = torch.split(torch.arange(len(x) + len(y)), [len(x), len(y)])
    return _discrepancies(
        _Rows(rows=x.double(), sound=mine),
        _Rows(rows=y.double(), sound=theirs),
        bandwidth,
        torch.zeros_like(mine),
    )[0]


def median_distance(rows: Tensor) -> float:
    """Gives the median distance between two rows of (n, D); of two middle ones the lower."""
    return float(torch.pdist(rows).median())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Rows that are compared, and whose they are.

    Args:
        rows: (n, D) float64.
        sound: (n,) int64, a number for every sound; the same on either side where they are of one.
    """

    rows: Tensor
    sound: Tensor


def _discrepancies(x: _Rows, y: _Rows, bandwidth: float, group: Tensor) -> tuple[float, Tensor]:
    """Gives the discrepancy, and (G,) what it is without each group of sounds of x in turn.

    Args:
        x: n rows, of two sounds or more.
        y: m rows, of two sounds or more.
        bandwidth: Of the kernel.
        group: (n,) of each row of x, the same for all rows of a sound.
    """
    groups = int(group.max()) + 1
    sounds = int(torch.cat([x.sound, y.sound]).max()) + 1
    own, same = (torch.bincount(z.sound, minlength=sounds).double()[x.sound] for z in (x, y))
    sizes, of_own, of_same = (
        torch.zeros(groups, dtype=torch.float64).index_add_(0, group, values)
        for values in (torch.ones_like(own), own, same)
    )
    pairs = torch.outer(sizes, sizes) - of_own.diag()  # (G, G) of two sounds
    crosses = sizes * len(y.rows) - of_same  # (G,)
    within = torch.zeros(groups, groups, dtype=torch.float64)
    across = torch.zeros(groups, dtype=torch.float64)
    centre = y.rows.mean(0)  # products of vectors far from 0 would lose their distances to rounding
    x, y = (_Rows(rows=z.rows - centre, sound=z.sound) for z in (x, y))
    for some, of in zip(_blocks(x), torch.split(group, BLOCK), strict=True):
        sums = torch.zeros(len(of), groups, dtype=torch.float64)
        within.index_add_(0, of, sums.index_add_(1, group, _kernel(some, x, bandwidth)))
        across.index_add_(0, of, _kernel(some, y, bandwidth).sum(1))
    theirs = sum(float(_kernel(some, y, bandwidth).sum()) for some in _blocks(y))
    of_theirs = torch.bincount(y.sound).double().square().sum()
    constant = theirs / (len(y.rows) ** 2 - float(of_theirs))
    whole = within.sum() / pairs.sum() + constant - 2 * across.sum() / crosses.sum()
    without = _without(within) / _without(pairs) + constant
    without -= 2 * (across.sum() - across) / (crosses.sum() - crosses)
    return float(whole), without


def _without(sums: Tensor) -> Tensor:
    """Gives the sum (G,) of all numbers (G, G) but those of each group in turn."""
    less: Tensor = sums.sum() - sums.sum(0) - sums.sum(1) + sums.diag()
    return less


def _blocks(z: _Rows) -> Iterator[_Rows]:
    """Gives all rows, as many at once as memory is for."""
    for rows, sound in zip(torch.split(z.rows, BLOCK), torch.split(z.sound, BLOCK), strict=True):
        yield _Rows(rows=rows, sound=sound)


def _kernel(a: _Rows, b: _Rows, bandwidth: float) -> Tensor:
    """Gives the kernel (n, m) of rows (n, D) and (m, D); of two rows of one sound, 0."""
    squares = a.rows.square().sum(1)[:, None] + b.rows.square().sum(1) - 2 * a.rows @ b.rows.T
    kernel: Tensor = (-squares.clamp(min=0) / (2 * bandwidth**2)).exp()
    return kernel.masked_fill_(a.sound[:, None] == b.sound, 0)


def _drawn(some: Features, place: Mapping[str, int], generator: torch.Generator) -> _Rows:
    """Gives the rows that are compared, which do not depend on the order of the sounds.

    Args:
        some: The sounds.
        place: The number of each name, in the order of names.
        generator: Draws rows where there are too many.
    """
    numbers = torch.tensor([place[name] for name in some.names])
    sound = numbers.repeat_interleave(torch.tensor(some.counts))
    by_name = sound.argsort(stable=True)
    picked = by_name[_some(len(by_name), ROWS, generator)]
    return _Rows(rows=some.rows[picked].double(), sound=sound[picked])


def _some(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Gives the places of all rows, or of as many as can be afforded."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=generator)[:most]


METRIC = Metric(
    name="kad",
    title="kernel audio distance",
    better="lower",
    backbone="vggish",
    against="reference",
    compare=compare,
    min_rows=2,
)

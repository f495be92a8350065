"""The kernel audio distance: a squared maximum mean discrepancy that the set's size does not bias.

Knows: kernels. Does not know: what the vectors are of.
"""

from collections.abc import Iterator

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
GROUPS = 32
BLOCK = 1024


def compare(made: Features, reference: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Gives "kad", which may be negative: of two sets of one distribution, its mean is 0.

    All windows are pooled. The kernel's bandwidth is the median distance within the reference.

    Raises:
        UsageError: Most of the reference's rows are the same, so that there is no such width.

    Source:
        Chung et al. 2025 (KAD); Gretton et al. 2012, lemma 6. The factor and the
        bandwidth: kadtk's repository, whose release 1.1.0 takes the scored set's width instead.
    """
    group = intervals.groups_of(made.names, GROUPS, generator=generator)
    group = group.repeat_interleave(torch.tensor(made.counts))
    mine, theirs = (_some(len(rows), ROWS, generator) for rows in (made.rows, reference.rows))
    x, y, group = made.rows[mine].double(), reference.rows[theirs].double(), group[mine]
    bandwidth = median_distance(y[_some(len(y), MEDIAN_ROWS, generator)])
    if not bandwidth:
        raise UsageError(
            "'kad' has no scale to compare by: most of the reference sounds alike, such as silence."
        )
    whole, parts = _discrepancies(x, y, bandwidth, group)
    value = SCALE * whole
    half = intervals.half_width(SCALE * parts)
    notes = tuple(
        f"{ROWS} of the {rows} windows of {whose} were compared."
        for rows, whose in ((len(made.rows), "the sounds"), (len(reference.rows), "the reference"))
        if rows > ROWS
    )
    interval = None if half is None else (value - half, value + half)
    yield Measured(name="kad", value=value, interval=interval, notes=notes)


def squared_discrepancy(x: Tensor, y: Tensor, bandwidth: float) -> float:
    r"""Gives the unbiased estimate of the squared maximum mean discrepancy.

    The kernel is :math:`\exp(-|a - b|^2 / 2 h^2)`; no row is compared with itself.

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
    one = torch.zeros(len(x), dtype=torch.int64)
    return _discrepancies(x.double(), y.double(), bandwidth, one)[0]


def median_distance(rows: Tensor) -> float:
    """Gives the median distance between two rows of (n, D); of two middle ones the lower."""
    return float(torch.pdist(rows).median())


def _discrepancies(x: Tensor, y: Tensor, bandwidth: float, group: Tensor) -> tuple[float, Tensor]:
    """Gives the discrepancy, and (G,) what it is without each group of x in turn.

    Args:
        x: (n, D) float64.
        y: (m, D) float64.
        bandwidth: Of the kernel.
        group: (n,) of each row of x.
    """
    number = int(group.max()) + 1
    sizes = torch.bincount(group, minlength=number).double()
    within = torch.zeros(number, number, dtype=torch.float64)
    across = torch.zeros(number, dtype=torch.float64)
    centre = y.mean(0)  # products of vectors far from 0 would lose their distances to rounding
    x, y = x - centre, y - centre
    for rows, of in zip(torch.split(x, BLOCK), torch.split(group, BLOCK), strict=True):
        sums = torch.zeros(len(rows), number, dtype=torch.float64)
        sums.index_add_(1, group, _kernel(rows, x, bandwidth))
        within.index_add_(0, of, sums)
        across.index_add_(0, of, _kernel(rows, y, bandwidth).mean(1))
    theirs = sum([float(_kernel(rows, y, bandwidth).sum()) for rows in torch.split(y, BLOCK)])
    constant = (theirs - len(y)) / (len(y) * (len(y) - 1))
    within -= sizes.diag()  # each row with itself

    def discrepancy(n: Tensor, pairs: Tensor, cross: Tensor) -> Tensor:
        return pairs / (n * (n - 1)) + constant - 2 * cross / n

    whole = discrepancy(sizes.sum(), within.sum(), across.sum())
    pairs_without = within.sum() - within.sum(0) - within.sum(1) + within.diag()
    without = discrepancy(sizes.sum() - sizes, pairs_without, across.sum() - across)
    return float(whole), without


def _kernel(a: Tensor, b: Tensor, bandwidth: float) -> Tensor:
    """Gives the kernel (n, m) of rows (n, D) and (m, D); of a row and itself, 1."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    kernel: Tensor = (-squares.clamp(min=0) / (2 * bandwidth**2)).exp()
    return kernel


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
    least=2,
)

"""The Frechet audio distance as the paper has it, and what it would be of endlessly many sounds.

Knows: what the finite number of sounds does to the distance. Does not know: the distance itself
(``frechet.py``).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import Gaussian, Statistics, factor, frechet_distance
from clipsonic_cli.metrics.metric import Measured, Metric

GROUPS = 32
SIZES = 12
"""Sizes of part sets that the extrapolation is fitted to, from a quarter to the whole."""
SMALLEST = 4
"""Times that the smallest of them go into the whole."""
DRAWS = 4
"""Part sets of each size."""
AT_ONCE = 1 << 21
"""Numbers of covariances held in memory while part sets are scored."""
ENOUGH = 10
"""Windows a dimension below which the distance says more about their number than about them."""


def compare(
    made: Features, reference: Features | Statistics, generator: torch.Generator
) -> Iterator[Measured]:
    """Gives "fad", and where there are sounds and windows enough, "fad-infinity".

    All windows of all sounds are pooled on either side, as the paper's evaluation package does.
    FAD-infinity is the intercept of a least-squares line through the distances of part sets against
    one over their size; part sets are made of whole sounds drawn without replacement. (Drawn with
    replacement, they are samples of the set itself, and lead back to its own plain distance.) The
    reference is kept as it is, and so is its share of the bias. A line through part sets that have
    no more windows than dimensions would lead nowhere, and is left out.

    The interval of "fad" is one of the distance at this number of sounds, whose bias is in it; of
    "fad-infinity", one of what it extrapolates to.

    Source:
        Kilgour et al. 2019; CLIPSonic section 3, "Evaluation metrics". FAD-infinity: Chong &
        Forsyth 2020; Gui et al. 2024.
    """
    ours = made.statistics()
    theirs = reference if isinstance(reference, Statistics) else reference.statistics()
    value = frechet_distance(ours, theirs)
    parts = _Parts(made, theirs, generator)
    groups = len(parts.counts)
    half = None
    if groups >= intervals.LEAST:
        without = parts.distances(1 - torch.eye(groups, dtype=torch.float64))
        half = intervals.half_width(value, without, parts.counts)
    bias, spanned = expected_bias(ours, theirs), min(ours.n, theirs.n) > made.dim
    warnings, omitted = tuple(_warnings(ours, theirs, bias)), _why_none(parts)
    yield Measured(
        name="fad",
        value=value,
        interval=around(value, half),
        bias=bias if spanned else None,
        notes=(*warnings, omitted) if omitted else warnings,
    )
    if omitted is None:
        infinity = _extrapolated(parts, generator)
        fallen = ("The extrapolation falls below 0.",) if infinity < 0 else ()
        infinity = max(infinity, 0.0)
        # To first order, an extrapolated statistic changes with the sounds as the plain one does.
        yield Measured(
            name="fad-infinity",
            value=infinity,
            interval=around(infinity, half),
            notes=(*warnings, *fallen),
        )


def around(value: float, half: float | None) -> tuple[float, float] | None:
    """Gives an interval around a distance, which is never negative."""
    return None if half is None else (max(value - half, 0.0), value + half)


def expected_bias(made: Statistics, reference: Statistics) -> float | None:
    r"""Gives the mean distance of two such sets of sounds that are of one Gaussian distribution.

    .. math:: (1/n_1 + 1/m_1) \mathrm{tr} C + \frac{1}{2} \left(\frac{1}{n_2 - 1} +
        \frac{1}{m_2 - 1}\right) \left(\sum_{ij} \frac{l_i l_j}{l_i + l_j} + \frac{1}{2}
        \mathrm{tr} C\right)

    with the eigenvalues l of the reference's covariance C, and as n and m the numbers of
    independent vectors that would tell the mean (1) and the covariance (2) of either set as well
    (``Statistics.independent``): the error of the means, and the second-order term of the distance
    in the errors of the covariances, whose variances are Wishart's. What is far apart differs from
    it. With few vectors to a dimension it is too low: by a twentieth at ten of them, by a third at
    one, and by half or more where they do not span the space.

    Returns:
        None where a set has no 2 independent vectors, as of a single sound nobody can tell.

    Source:
        Derived here: around equal covariances the distance is half the sum over i, j of the squared
        errors divided by l_i + l_j, and their mean is as Wishart 1928 has it.
    """
    sets = (made, reference)
    if min(one.independent(1) for one in sets) < 2:
        return None
    values = torch.linalg.eigvalsh(reference.cov).clamp(min=0)
    trace = float(values.sum())
    sums = values[:, None] + values  # (D, D)
    products = torch.where(sums > 0, torch.outer(values, values) / sums, 0)
    shapes = (float(products.sum()) + trace / 2) / 2
    of_means = sum(1 / one.independent(1) for one in sets)
    of_shapes = sum(1 / (one.independent(2) - 1) for one in sets)
    return of_means * trace + of_shapes * shapes


def outliers(made: Features, reference: Features | Gaussian) -> dict[str, float]:
    """Gives the distance of each sound by itself, the farthest first.

    A sound's few windows span little of the space, so that the numbers are large and good for their
    order alone. Of a single window the covariance is taken for 0.

    Source:
        Gui et al. 2024 (per-song FAD).
    """
    theirs = reference if isinstance(reference, Gaussian) else reference.moments().gaussian()
    columns = factor(theirs.cov)
    trace = float(theirs.cov.trace())
    distances = {}
    for name, rows in zip(made.names, made.sounds(), strict=True):
        about = rows.double() - theirs.mean  # (W, D)
        mean = about.mean(0)
        spread = (about - mean) / max(len(rows) - 1, 1) ** 0.5
        # The trace of the root of F^T S^T S F is the sum of the singular values of S F.
        overlap = torch.linalg.svdvals(spread @ columns).sum()
        distances[name] = float(mean.square().sum() + spread.square().sum() + trace - 2 * overlap)
    return dict(sorted(distances.items(), key=lambda pair: (-pair[1], pair[0])))


class _Parts:
    """Distances of part sets, made of groups of whole sounds; one pass over the rows.

    Args:
        made: The whole set.
        reference: What its parts are compared with.
        generator: Deals the sounds into groups.
    """

    def __init__(self, made: Features, reference: Gaussian, generator: torch.Generator) -> None:
        group = intervals.groups_of(made.names, GROUPS, generator=generator)
        columns = factor(reference.cov)  # (D, R)
        if len(made.rows) < columns.shape[1]:  # less than R dimensions hold them
            within = (made.rows.double() - reference.mean) @ columns  # (W, R)
            columns = columns @ torch.linalg.qr(within.T).Q  # (D, W)
        self.trace = reference.cov.trace()
        number, rank = int(group.max()) + 1, columns.shape[1]
        self.counts = torch.zeros(number, dtype=torch.float64)
        self.lengths = torch.zeros(number, dtype=torch.float64)
        self.sums = torch.zeros(number, made.dim, dtype=torch.float64)
        """About the reference's mean, so that nothing is lost where that is far from 0."""
        self.squares = torch.zeros(number, rank, rank, dtype=torch.float64)
        """Between the columns: the reference's space is all that covariances are compared in."""
        for index, rows in zip(group.tolist(), made.sounds(), strict=True):
            about = rows.double() - reference.mean  # (W, D)
            within = about @ columns  # (W, R)
            self.counts[index] += len(about)
            self.lengths[index] += about.square().sum()
            self.sums[index] += about.sum(0)
            self.squares[index].addmm_(within.T, within)
        self.places = self.sums @ columns  # (G, R)

    def distances(self, weights: Tensor) -> Tensor:
        """Gives the distances (B,) of B part sets.

        Args:
            weights: (B, G) float64, 1 for each group that is in, else 0; two rows or more each.
        """
        together = max(AT_ONCE // max(self.squares[0].numel(), 1), 1)
        return torch.cat([self._distances(some) for some in torch.split(weights, together)])

    def _distances(self, weights: Tensor) -> Tensor:
        """Gives what :meth:`distances` does, all at once."""
        n = weights @ self.counts  # (B,)
        means = weights @ self.sums / n[:, None]  # (B, D)
        traces = (weights @ self.lengths - n * means.square().sum(1)) / (n - 1)
        places = weights @ self.places / n[:, None]  # (B, R)
        squares = torch.tensordot(weights, self.squares, dims=1)  # (B, R, R)
        outer = places[:, :, None] * places[:, None, :] * n[:, None, None]
        overlaps = torch.linalg.eigvalsh((squares - outer) / (n - 1)[:, None, None])
        roots = overlaps.clamp(min=0).sqrt().sum(1)
        distances: Tensor = means.square().sum(1) + traces + self.trace - 2 * roots
        return distances


def _extrapolated(parts: _Parts, generator: torch.Generator) -> float:
    """Gives the distance at one over the size of a part set being 0."""
    groups = len(parts.counts)
    inverse = torch.linspace(1, SMALLEST, SIZES)[1:]  # of the share of the whole
    sizes = [groups, *(round(groups / float(x)) for x in inverse for _ in range(DRAWS))]
    weights = torch.zeros(len(sizes), groups, dtype=torch.float64)
    for row, size in zip(weights, sizes, strict=True):
        row[torch.randperm(groups, generator=generator)[:size]] = 1
    line = torch.stack([torch.ones(len(sizes)), 1 / (weights @ parts.counts)], 1).double()
    fit = torch.linalg.lstsq(line, parts.distances(weights)[:, None]).solution
    return float(fit[0, 0])


def _warnings(ours: Statistics, theirs: Statistics, bias: float | None) -> Iterator[str]:
    """Says where there are too few windows."""
    for one, whose in ((ours, "the sounds"), (theirs, "the reference")):
        dim = len(one.mean)
        if one.n <= dim:
            yield (
                f"{one.n} windows of {whose} cannot span {dim} dimensions: their covariance is of "
                f"a lower rank, and the distance much too large."
            )
        elif one.n < ENOUGH * dim:
            yield (
                f"{one.n} windows of {whose} are few for {dim} dimensions: compare the distance "
                f"with those of as many windows only."
            )
    if bias is not None and min(ours.n, theirs.n) <= len(ours.mean):
        yield f"Two draws of as many sounds of one distribution would be {bias:.3g} or more apart."


def _why_none(parts: _Parts) -> str | None:
    """Says why nothing can be extrapolated; None where it can."""
    groups, dim = parts.sums.shape
    if groups < intervals.LEAST:
        return (
            f"{groups} sounds are too few for an interval or fad-infinity, which need "
            f"{intervals.LEAST}."
        )
    least = int(parts.counts.sort().values[: round(groups / SMALLEST)].sum())
    if least <= dim:
        return (
            f"fad-infinity is left out: a {SMALLEST}th of the sounds may have no more than {least} "
            f"windows, which cannot span {dim} dimensions."
        )
    return None


METRIC = Metric(
    name="fad",
    title="Frechet audio distance",
    better="lower",
    backbone="vggish",
    against="reference",
    compare=compare,
    takes_statistics=True,
    min_rows=2,
)

"""The Frechet audio distance as in the paper, and extrapolated to an infinite number of sounds."""

from collections.abc import Iterator

import torch
from torch import Tensor

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import Gaussian, Statistics, factor, frechet_distance
from clipsonic_cli.metrics.metric import Measured, Metric
from clipsonic_cli.types import Note

GROUPS = 32
"""Most groups of sounds that subsets are made of."""
SIZES = 12
"""Sizes of subsets that the extrapolation is fitted to, from a quarter to the whole."""
SMALLEST = 4
"""Divisor of the whole that gives the smallest subset."""
DRAWS = 4
"""Subsets of each size."""
AT_ONCE = 1 << 21
"""Most entries of covariances in memory while subsets are scored."""
ENOUGH = 10
"""Windows per dimension below which the distance depends more on their number than on them."""


def compare(
    made: Features, reference: Features | Statistics, generator: torch.Generator
) -> Iterator[Measured]:
    """Yield "fad", and "fad-infinity" where there are enough sounds and windows.

    All windows of all sounds are pooled on either side, as the paper's evaluation package does.
    FAD-infinity is the intercept of a least-squares line through the distances of subsets against
    one over their size. Subsets are whole sounds drawn without replacement: with replacement, they
    would extrapolate to the set's own plain distance. The reference is kept whole, and so is its
    share of the bias. The interval of "fad" is for this number of sounds, bias included.

    Source:
        Kilgour et al. 2019; CLIPSonic section 3, "Evaluation metrics". FAD-infinity: Chong &
        Forsyth 2020; Gui et al. 2024.
    """
    ours = made.statistics()
    theirs = reference if isinstance(reference, Statistics) else reference.statistics()
    # Plain distance.
    value = frechet_distance(ours.gaussian, theirs.gaussian)
    subsets = _Subsets(made, theirs.gaussian, generator)
    groups = len(subsets.counts)
    half = None
    if groups >= intervals.LEAST:
        left_out = subsets.distances(1 - torch.eye(groups, dtype=torch.float64))
        half = intervals.half_width(value, left_out, subsets.counts)
    bias, spanned = expected_bias(ours, theirs), min(ours.n, theirs.n) > made.dim
    warnings, omitted = tuple(_warnings(ours, theirs, bias)), _why_none(subsets)
    yield Measured(
        name="fad",
        value=value,
        interval=around(value, half),
        bias=bias if spanned else None,
        notes=(*warnings, omitted) if omitted else warnings,
    )
    # Extrapolation.
    if omitted is None:
        infinity = _extrapolate(subsets, generator)
        below_0 = ("The extrapolation falls below 0.",) if infinity < 0 else ()
        infinity = max(infinity, 0.0)
        # To first order, an extrapolated statistic changes with the sounds as the plain one does.
        interval, notes = around(infinity, half), (*warnings, *below_0)
        yield Measured(name="fad-infinity", value=infinity, interval=interval, notes=notes)


def around(value: float, half: float | None) -> tuple[float, float] | None:
    """Return an interval around a distance, which is never negative."""
    return None if half is None else (max(value - half, 0.0), value + half)


def expected_bias(made: Statistics, reference: Statistics) -> float | None:
    r"""Compute the mean distance of two sets of these sizes from one Gaussian distribution.

    .. math:: (1/n_1 + 1/m_1) \mathrm{tr} C + \frac{1}{2} \left(\frac{1}{n_2 - 1} +
        \frac{1}{m_2 - 1}\right) \left(\sum_{ij} \frac{l_i l_j}{l_i + l_j} + \frac{1}{2}
        \mathrm{tr} C\right)

    with the eigenvalues l of the reference's covariance C, and n and m the effective sample sizes
    of either set for the mean (1) and the covariance (2): the error of the means, and the
    second-order term of the distance in the errors of the covariances, whose variances are
    Wishart's. With few vectors per dimension it is too low: by a twentieth at ten of them, by a
    third at one, and by half or more where they do not span the space. None where an effective
    sample size is below 2, as for a single sound.

    Source:
        Derived here: around equal covariances the distance is half the sum over i, j of the squared
        errors divided by l_i + l_j, and their mean is as Wishart 1928 has it.
    """
    sets = (made, reference)
    if min(some.effective_sample_size(1) for some in sets) < 2:
        return None
    values = torch.linalg.eigvalsh(reference.gaussian.cov).clamp(min=0)
    trace = float(values.sum())
    sums = values[:, None] + values  # (D, D)
    products = torch.where(sums > 0, torch.outer(values, values) / sums, 0)
    of_covs = (float(products.sum()) + trace / 2) / 2
    mean_weight = sum(1 / some.effective_sample_size(1) for some in sets)
    cov_weight = sum(1 / (some.effective_sample_size(2) - 1) for some in sets)
    return mean_weight * trace + cov_weight * of_covs


def outliers(made: Features, reference: Features | Statistics) -> dict[str, float]:
    """Compute the distance of each sound by itself, the farthest first.

    A sound's few windows span little of the space: only the order of the distances means anything.
    The covariance of a single window is taken as 0.

    Source:
        Gui et al. 2024 (per-song FAD).
    """
    theirs = reference.gaussian if isinstance(reference, Statistics) else reference.gaussian()
    columns = factor(theirs.cov)
    trace = float(theirs.cov.trace())
    distances = {}
    for name, rows in zip(made.names, made.sounds(), strict=True):
        centred = rows.double() - theirs.mean  # (W, D)
        mean = centred.mean(0)
        spread = (centred - mean) / max(len(rows) - 1, 1) ** 0.5
        # The trace of the root of F^T S^T S F is the sum of the singular values of S F.
        overlap = torch.linalg.svdvals(spread @ columns).sum()
        distances[name] = float(mean.square().sum() + spread.square().sum() + trace - 2 * overlap)
    return dict(sorted(distances.items(), key=lambda pair: (-pair[1], pair[0])))


class _Subsets:
    """Distances of subsets, made of random groups of whole sounds; one pass over the rows."""

    def __init__(self, made: Features, reference: Gaussian, generator: torch.Generator) -> None:
        group = intervals.groups_of(made.names, GROUPS, generator=generator)
        columns = factor(reference.cov)  # (D, R)
        if len(made.rows) < columns.shape[1]:  # their span has less than R dimensions
            within = (made.rows.double() - reference.mean) @ columns  # (W, R)
            columns = columns @ torch.linalg.qr(within.T).Q  # (D, W)
        self.trace = reference.cov.trace()
        groups, rank = int(group.max()) + 1, columns.shape[1]
        self.counts = torch.zeros(groups, dtype=torch.float64)
        """Rows of each group."""
        self.norms = torch.zeros(groups, dtype=torch.float64)
        """Sums of squared norms, about the reference's mean, as the sums are."""
        self.sums = torch.zeros(groups, made.dim, dtype=torch.float64)
        self.squares = torch.zeros(groups, rank, rank, dtype=torch.float64)
        """Sums of outer products in the reference's space, where covariances are compared."""
        for index, rows in zip(group.tolist(), made.sounds(), strict=True):
            centred = rows.double() - reference.mean  # (W, D)
            within = centred @ columns  # (W, R)
            self.counts[index] += len(centred)
            self.norms[index] += centred.square().sum()
            self.sums[index] += centred.sum(0)
            self.squares[index].addmm_(within.T, within)
        self.sums_within = self.sums @ columns  # (G, R)

    def distances(self, weights: Tensor) -> Tensor:
        """Compute the distances (B,) of B subsets of two rows or more.

        Args:
            weights: (B, G) float64, 1 for each group that is in, else 0.
        """
        at_once = max(AT_ONCE // max(self.squares[0].numel(), 1), 1)
        return torch.cat([self._distances(some) for some in torch.split(weights, at_once)])

    def _distances(self, weights: Tensor) -> Tensor:
        n = weights @ self.counts  # (B,)
        means = weights @ self.sums / n[:, None]  # (B, D)
        traces = (weights @ self.norms - n * means.square().sum(1)) / (n - 1)
        means_within = weights @ self.sums_within / n[:, None]  # (B, R)
        squares = torch.tensordot(weights, self.squares, dims=1)  # (B, R, R)
        outer = means_within[:, :, None] * means_within[:, None, :] * n[:, None, None]
        overlaps = torch.linalg.eigvalsh((squares - outer) / (n - 1)[:, None, None])
        roots = overlaps.clamp(min=0).sqrt().sum(1)
        distances: Tensor = means.square().sum(1) + traces + self.trace - 2 * roots
        return distances


def _extrapolate(subsets: _Subsets, generator: torch.Generator) -> float:
    """Compute the distance at which one over the size of a subset would be 0."""
    groups = len(subsets.counts)
    inverse = torch.linspace(1, SMALLEST, SIZES)[1:]  # of the share of the whole
    sizes = [groups, *(round(groups / float(x)) for x in inverse for _ in range(DRAWS))]
    weights = torch.zeros(len(sizes), groups, dtype=torch.float64)
    for row, size in zip(weights, sizes, strict=True):
        row[torch.randperm(groups, generator=generator)[:size]] = 1
    line = torch.stack([torch.ones(len(sizes)), 1 / (weights @ subsets.counts)], 1).double()
    fit = torch.linalg.lstsq(line, subsets.distances(weights)[:, None]).solution
    return float(fit[0, 0])


def _warnings(ours: Statistics, theirs: Statistics, bias: float | None) -> Iterator[Note]:
    """Yield a note on a number of windows that is too small, on either side or both."""
    dim = ours.dim
    sides = {"the sounds": ours, "the reference": theirs}

    def below(least: int) -> dict[str, Statistics]:
        return {role: some for role, some in sides.items() if some.n < least}

    def counted(few: dict[str, Statistics]) -> str:
        return " and ".join(f"{some.n} windows of {role}" for role, some in few.items())

    if few := below(dim + 1):
        text = (
            f"{counted(few)} cannot span {dim} dimensions: their covariance is of a lower rank, "
            "and the distance much too large."
        )
        if bias is not None:
            text += (
                " Two draws of as many sounds of one distribution would be "
                f"{bias:.3g} or more apart."
            )
        of = "" if ours in few.values() else " of the reference"
        least = max(dim * some.sounds // some.n + 1 for some in few.values())
        yield Note(text, f"too few sounds{of}; give {least} or more", 1)
    elif few := below(ENOUGH * dim):
        yield Note(
            f"{counted(few)} are few for {dim} dimensions: compare the distance with those of as "
            "many windows only.",
            "few sounds; compare with scores of as many only",
        )


def _why_none(subsets: _Subsets) -> Note | None:
    """Return why there is nothing to extrapolate, or None where there is."""
    groups, dim = subsets.sums.shape
    if groups < intervals.LEAST:
        need = f"an interval or fad-infinity, which need {intervals.LEAST}"
        return Note(f"{groups} sounds are too few for {need}.", rank=3)
    least = int(subsets.counts.sort().values[: round(groups / SMALLEST)].sum())
    if least <= dim:
        return Note(
            f"fad-infinity is left out: a {SMALLEST}th of the sounds may have no more than {least} "
            f"windows, which cannot span {dim} dimensions.",
            rank=3,
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

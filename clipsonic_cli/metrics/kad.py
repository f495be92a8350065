"""The kernel audio distance: an unbiased estimate of the squared maximum mean discrepancy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric
from clipsonic_cli.types import Note

SCALE = 100
"""Factor of the distance, as in kadtk."""
ROWS = 8192
"""Most rows of either side that are compared; of more, as many are drawn."""
MEDIAN_ROWS = 4096
"""Most rows of the reference for the median distance."""
FEW = 50
"""Sounds on either side below which chance can outweigh the distance."""
GROUPS = 32
BLOCK = 1024


def compare(made: Features, reference: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "kad", which may be negative: its mean is 0 for two sets of one distribution.

    All windows are pooled, but no pair has both from one sound, or from two sounds of one name,
    such as a sound and the clip it was made from: their similarity says nothing about the sets. The
    kernel's bandwidth is the median distance within the reference.

    A note warns of fewer than :data:`FEW` sounds on either side. Between two draws of n sounds of
    one distribution, the estimate's standard deviation falls as 1 / n: by the embedded network and
    real sounds, it is about 3 at 10, 0.9 at 30 and 0.5 at 50, where it is as large as the distance
    of a good model's sounds (0.4 to 0.5, of 300).

    Raises:
        UsageError: A set has a single sound, or most rows of the reference are equal, so that
            there is no bandwidth.

    Source:
        Chung et al. 2025 (KAD); Gretton et al. 2012, lemma 6. The factor and the
        bandwidth: kadtk's repository, whose release 1.1.0 takes that of the scored set instead.
    """
    # Draw rows.
    place = {name: index for index, name in enumerate(sorted({*made.names, *reference.names}))}
    group_of_sound = torch.zeros(len(place), dtype=torch.int64)
    groups = intervals.groups_of(made.names, GROUPS, generator=generator)
    group_of_sound[[place[name] for name in made.names]] = groups
    x, y = (_draw_rows(features, place, generator) for features in (made, reference))
    sounds, others = (len(set(z.sound.tolist())) for z in (x, y))
    if (fewest := min(sounds, others)) < 2:
        raise UsageError(f"'kad' needs 2 sounds or more on either side, got {fewest}; give more.")
    # Compare them.
    bandwidth = median_distance(y.rows[_draw(len(y.rows), MEDIAN_ROWS, generator)])
    if not bandwidth:
        raise UsageError(
            "'kad' has no scale to compare by: most of the reference sounds alike, such as silence."
        )
    group = group_of_sound[x.sound]
    whole, left_out = _discrepancies(x, y, bandwidth, group)
    value = SCALE * whole
    half = intervals.half_width(value, SCALE * left_out, torch.bincount(group))
    # Note what to know of it.
    notes: list[str] = [
        Note(f"Kernel bandwidth {bandwidth:.4g}, the reference's median distance.", rank=3)
    ]
    for rows, role in ((made.n, "the sounds"), (reference.n, "the reference")):
        if rows > ROWS:
            notes.append(Note(f"{ROWS} of the {rows} windows of {role} were compared.", rank=3))
    if fewest < FEW:
        sides = ((sounds, "sounds"), (others, "sounds of the reference"))
        few = " and ".join(f"{count} {role}" for count, role in sides if count < FEW)
        why = "chance alone can be more than what sets them apart"
        text = f"{few} are few: {why}; give {FEW} or more."
        notes.append(Note(text, f"too few sounds; give {FEW} or more", 1))
    if value < 0:
        notes.append(
            Note("Below 0, as an unbiased estimate may be: no difference was found.", rank=3)
        )
    interval = None if half is None else (value - half, value + half)
    yield Measured(name="kad", value=value, interval=interval, notes=tuple(notes))


def median_distance(rows: Tensor) -> float:
    """Return the median distance of two rows of (n, D); the lower of two middle ones."""
    return float(torch.pdist(rows).median())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Rows to compare, and the sound of each."""

    rows: Tensor
    """(n, D) float64."""
    sound: Tensor
    """(n,) int64, a number for each name of a sound, the same on either side."""


def _discrepancies(x: _Rows, y: _Rows, bandwidth: float, group: Tensor) -> tuple[float, Tensor]:
    r"""Compute the squared discrepancy, and (G,) its values without each group of sounds of x.

    The kernel is :math:`\exp(-|a - b|^2 / 2 h^2)` with h the bandwidth. Both sides have rows of two
    sounds or more; ``group`` (n,) is the same for all rows of a sound.
    """
    # Count the pairs.
    groups = int(group.max()) + 1
    sounds = int(torch.cat([x.sound, y.sound]).max()) + 1
    own, same = (torch.bincount(z.sound, minlength=sounds).double()[x.sound] for z in (x, y))
    sizes, of_own, of_same = (
        torch.zeros(groups, dtype=torch.float64).index_add_(0, group, values)
        for values in (torch.ones_like(own), own, same)
    )
    pairs = torch.outer(sizes, sizes) - of_own.diag()  # (G, G) of two sounds
    crosses = sizes * len(y.rows) - of_same  # (G,)
    # Sum their kernels.
    within = torch.zeros(groups, groups, dtype=torch.float64)
    across = torch.zeros(groups, dtype=torch.float64)
    centre = y.rows.mean(0)  # far from 0, products of rows would lose their distances to rounding
    x, y = (_Rows(rows=z.rows - centre, sound=z.sound) for z in (x, y))
    for block, of in zip(_blocks(x), torch.split(group, BLOCK), strict=True):
        sums = torch.zeros(len(of), groups, dtype=torch.float64)
        within.index_add_(0, of, sums.index_add_(1, group, _kernel(block, x, bandwidth)))
        across.index_add_(0, of, _kernel(block, y, bandwidth).sum(1))
    theirs = sum(float(_kernel(block, y, bandwidth).sum()) for block in _blocks(y))
    of_theirs = torch.bincount(y.sound).double().square().sum()
    # Average, with all groups and without each.
    constant = theirs / (len(y.rows) ** 2 - float(of_theirs))
    whole = within.sum() / pairs.sum() + constant - 2 * across.sum() / crosses.sum()
    left_out = _without_each(within) / _without_each(pairs) + constant
    left_out -= 2 * (across.sum() - across) / (crosses.sum() - crosses)
    return float(whole), left_out


def _without_each(sums: Tensor) -> Tensor:
    """Return the totals (G,) of sums (G, G) without each group's row and column."""
    totals: Tensor = sums.sum() - sums.sum(0) - sums.sum(1) + sums.diag()
    return totals


def _blocks(z: _Rows) -> Iterator[_Rows]:
    for rows, sound in zip(torch.split(z.rows, BLOCK), torch.split(z.sound, BLOCK), strict=True):
        yield _Rows(rows=rows, sound=sound)


def _kernel(a: _Rows, b: _Rows, bandwidth: float) -> Tensor:
    """Compute the kernel (n, m) of rows (n, D) and (m, D); 0 for two rows of one sound."""
    squares = a.rows.square().sum(1)[:, None] + b.rows.square().sum(1) - 2 * a.rows @ b.rows.T
    kernel: Tensor = (-squares.clamp(min=0) / (2 * bandwidth**2)).exp()
    return kernel.masked_fill_(a.sound[:, None] == b.sound, 0)


def _draw_rows(features: Features, place: Mapping[str, int], generator: torch.Generator) -> _Rows:
    """Draw :data:`ROWS` rows, or take all, whatever the order of the sounds.

    ``place`` numbers all names in their order.
    """
    numbers = torch.tensor([place[name] for name in features.names])
    sound = numbers.repeat_interleave(torch.tensor(features.counts))
    by_name = sound.argsort(stable=True)
    picked = by_name[_draw(len(by_name), ROWS, generator)]
    return _Rows(rows=features.rows[picked].double(), sound=sound[picked])


def _draw(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Return all indices below ``count``, or ``most`` of them at random."""
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

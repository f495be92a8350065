"""Table 2, further: the rank of a query's own label among all labels, by their images."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.metric import Measured, Metric
from clipsonic_cli.types import Note


def compare(made: Features, labels: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "label-rank": the mean rank of the true label of each query, of which 1 is the best.

    Args:
        made: Cosines of each query with each label (:func:`label_cosines`).
        labels: 1 for the true label of each, 0 for the others.
        generator: Source of the resampling of the interval.
    """
    values = ranks(made.means(), labels.means().argmax(1))
    interval = intervals.of_mean(values, generator=generator)
    if interval is not None:
        interval = max(interval[0], 1.0), interval[1]
    note = Note(
        f"Of {made.dim} labels, by the mean cosine of the query with the images of each; equal "
        "ones share their mean rank.",
        f"of {made.dim} labels",
    )
    yield Measured(name=METRIC.name, value=float(values.mean()), interval=interval, notes=(note,))


def label_cosines(rows: Tensor, images: Tensor, label_of: Tensor) -> Tensor:
    """Compute mean cosines (R, L) float64 of rows (R, D) with the images (N, D) of each label.

    ``label_of`` (N,) int64 has the label of each image; each label from 0 on has one or more.
    The mean favours no label for its number of images, as that of the nearest would.
    """
    images = F.normalize(images.double(), dim=1)
    counts = label_of.bincount()
    sums = torch.zeros(len(counts), images.shape[1], dtype=torch.float64)
    means = sums.index_add_(0, label_of, images) / counts[:, None]
    return F.normalize(rows.double(), dim=1) @ means.T


def ranks(scores: Tensor, own: Tensor) -> Tensor:
    """Compute the rank (R,) float64 of column ``own`` (R,) in each row of scores (R, L).

    1 is the highest score; equal scores share the mean of their ranks.
    """
    mine = scores.gather(1, own[:, None])
    ahead, equal = (scores > mine).sum(1), (scores == mine).sum(1)
    return 1 + ahead + (equal - 1).double() / 2


METRIC = Metric(
    name="label-rank",
    title="rank of the query's own label among all, by their images",
    better="lower",
    backbone="clip",
    against="image labels",
    compare=compare,
)

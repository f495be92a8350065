"""Table 2, further: how near query vectors are to the frames that a U-Net was trained on."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.metrics.features import Features, per_sound_mean
from clipsonic_cli.metrics.metric import Measured, Metric, mean

AT_ONCE = 1024
"""Rows that are compared with all frames at once, which bounds memory."""


def compare(made: Features, frames: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "nearest-frame": the mean cosine of each vector with the frame nearest to it.

    High for a vector like those the U-Net knows, whether or not it fits the query: next to it
    belongs how near true images are.
    """
    made = made.only(sorted(made.names))
    yield mean(METRIC.name, per_sound_mean(nearest(made.rows, frames.rows), made.counts), generator)


def nearest(rows: Tensor, frames: Tensor) -> Tensor:
    """Compute the cosine (R,) float64 of each row (R, D) with the nearest of frames (K, D)."""
    frames = F.normalize(frames.double(), dim=1)
    parts = torch.split(rows, AT_ONCE)
    return torch.cat([(F.normalize(part.double(), dim=1) @ frames.T).amax(1) for part in parts])


METRIC = Metric(
    name="nearest-frame",
    title="cosine similarity of the query with the nearest training frame",
    better="higher",
    backbone="clip",
    against="frames",
    compare=compare,
)

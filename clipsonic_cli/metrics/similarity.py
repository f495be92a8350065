"""Table 2: how similar each kind of query is to the image's own embedding."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.metrics.features import BLOCK, Features, per_sound_mean
from clipsonic_cli.metrics.metric import Measured, Metric, mean


def compare(made: Features, images: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "similarity": the mean cosine of query vectors and true image embeddings.

    Source:
        CLIPSonic section 4.1 and Table 2.
    """
    values = per_sound_mean(cosines(made, images), made.counts)
    yield mean("similarity", values, generator)


def cosines(made: Features, against: Features) -> Tensor:
    """Compute the cosines (R,) float64 of rows of sounds and the means of the same sounds' rows."""
    partners = against.means()  # (C, D)
    owners = torch.arange(len(made.counts)).repeat_interleave(torch.tensor(made.counts))  # (R,)
    blocks = zip(torch.split(made.rows, BLOCK), torch.split(owners, BLOCK), strict=True)
    return torch.cat([F.cosine_similarity(r.double(), partners[o], dim=1) for r, o in blocks])


METRIC = Metric(
    name="similarity",
    title="cosine similarity of the query with the true image embedding",
    better="higher",
    backbone="clip",
    against="images",
    compare=compare,
)

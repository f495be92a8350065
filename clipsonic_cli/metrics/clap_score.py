"""The CLAP score: how well sounds fit their prompts."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features, per_sound_mean
from clipsonic_cli.metrics.metric import Measured, Metric, mean
from clipsonic_cli.metrics.similarity import cosines


def compare(made: Features, prompts: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "clap": the mean cosine of a sound and its prompt.

    Negative cosines count as such, as in the paper and frechet-audio-distance, while CLIPScore
    clips them at 0. For a sound of several windows, their mean cosine counts.

    Source:
        CLIPSonic section 3, "Evaluation metrics"; Wu et al. 2023.
    """
    values = per_sound_mean(cosines(made, prompts), made.counts)
    yield mean("clap", values, generator)


METRIC = Metric(
    name="clap",
    title="CLAP score",
    better="higher",
    backbone="clap",
    against="prompts",
    compare=compare,
)

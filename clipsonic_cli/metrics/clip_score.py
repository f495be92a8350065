"""The CLIP score: how well sounds fit the images they were made from."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features, per_sound_mean
from clipsonic_cli.metrics.metric import Measured, Metric, mean
from clipsonic_cli.metrics.similarity import cosines

SCALE = 100
"""Factor of the cosine: the scale of V2A-Mapper's tables."""


def compare(made: Features, images: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "cs": 100 times the mean cosine of a sound and the image it was made from.

    It is the one metric in which another paper prints CLIPSonic: V2A-Mapper has 7.25 on VGGSound
    and 11.39 on ImageHear.

    Source:
        Sheffer & Adi 2023 (Im2Wav); Wang et al. 2024 (V2A-Mapper).
    """
    values = SCALE * per_sound_mean(cosines(made, images), made.counts)
    yield mean("cs", values, generator)


METRIC = Metric(
    name="cs",
    title="CLIP score",
    better="higher",
    backbone="wav2clip",
    against="query images",
    compare=compare,
)

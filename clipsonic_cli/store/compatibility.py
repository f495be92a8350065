"""Check by their headers that the parts of a model fit each other."""

import dataclasses
from collections.abc import Iterable

from clipsonic_cli.config import BridgeConfig, MelSpec, PriorConfig, StatisticsConfig, UNetConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.types import Space

GIVING = PriorConfig | BridgeConfig | StatisticsConfig
"""Configurations of what gives vectors for a U-Net."""


def check_fits(
    *,
    unet: Header,
    vocoder: Header | None = None,
    clip: Header | None = None,
    clap: Header | None = None,
    sources: Iterable[Header] = (),
    trained_on: Space | None = None,
) -> None:
    """Check parts that would produce noise if they did not fit.

    The vocoder must read the mel that the U-Net generates; CLIP or CLAP must be the encoder, and
    ``trained_on`` the space, that it was trained on; the ``sources``, which are of :data:`GIVING`,
    must give vectors that it reads.

    Raises:
        BadBundle: Two parts disagree; both values are named.
    """
    if vocoder is not None and unet.mel is not None and vocoder.mel is not None:
        for name in (spec.name for spec in dataclasses.fields(MelSpec)):
            mel, read = getattr(unet.mel, name), getattr(vocoder.mel, name)
            if name != "log_max":  # it only scales the U-Net's side of the mel
                _check_equal(
                    mel, read, f"makes mels with {name} {mel}, the vocoder reads {name} {read}"
                )
    giving = [(f"{s.kind}{' part' * (s.kind == 'statistics')}", s) for s in sources]
    for part, encoder in (("CLIP", clip), ("CLAP", clap), *giving):
        if encoder is not None:
            _check_equal(
                unet.encoder,
                encoder.encoder,
                f"was trained on vectors of encoder '{unet.encoder}', the {part} gives those of "
                f"'{encoder.encoder}'",
            )
    for part, source in giving:
        config, reads = source.config, unet.config
        if isinstance(reads, UNetConfig) and isinstance(config, GIVING):
            size, dim = reads.cond_dim, config.dim
            _check_equal(size, dim, f"reads vectors of size {size}, the {part} gives {dim}")
        _check_equal(
            unet.space,
            source.space,
            f"reads vectors of {unet.space}, the {part} gives {source.space}",
        )
    if trained_on is not None and trained_on != unet.space:
        raise BadBundle(
            f"This mode needs a U-Net trained on {trained_on}, this one was on {unet.space}."
        )


def _check_equal(value: object, other: object, difference: str) -> None:
    if value != other:
        raise BadBundle(f"The U-Net {difference}. Use parts of one model.")

"""Check by their headers that the parts of a model fit each other."""

import dataclasses

from clipsonic_cli.config import MelSpec, PriorConfig, UNetConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.types import Space


def check_fits(
    *,
    unet: Header,
    vocoder: Header | None = None,
    clip: Header | None = None,
    clap: Header | None = None,
    prior: Header | None = None,
    trained_on: Space | None = None,
) -> None:
    """Check parts that would produce noise if they did not fit.

    Args:
        unet: The U-Net's header.
        vocoder: Must read the mel that the U-Net generates.
        clip: Must be the encoder the U-Net was trained on.
        clap: Must be the encoder the U-Net was trained on.
        prior: Must give vectors the U-Net reads.
        trained_on: The space the U-Net must be trained on.

    Raises:
        BadBundle: Two parts disagree; both values are named.
    """
    if vocoder is not None and unet.mel is not None and vocoder.mel is not None:
        for name in (spec.name for spec in dataclasses.fields(MelSpec)):
            generated, read = getattr(unet.mel, name), getattr(vocoder.mel, name)
            # log_max only scales the U-Net's side; the vocoder reads natural logarithms.
            if generated != read and name != "log_max":
                raise BadBundle(
                    f"The U-Net makes mels with {name} {generated}, the vocoder reads {name} "
                    f"{read}. Use parts of one model."
                )
    for part, other in (("CLIP", clip), ("CLAP", clap), ("prior", prior)):
        if other is not None and other.encoder != unet.encoder:
            raise BadBundle(
                f"The U-Net was trained on vectors of encoder '{unet.encoder}', the {part} gives "
                f"those of '{other.encoder}'. Use parts of one model."
            )
    if prior is not None:
        reader, source = unet.config, prior.config
        if (
            isinstance(reader, UNetConfig)
            and isinstance(source, PriorConfig)
            and reader.cond_dim != source.dim
        ):
            raise BadBundle(
                f"The U-Net reads vectors of size {reader.cond_dim}, the prior gives "
                f"{source.dim}. Use parts of one model."
            )
        if prior.space != unet.space:
            raise BadBundle(
                f"The U-Net reads vectors of {unet.space}, the prior gives {prior.space}. "
                f"Use parts of one model."
            )
    if trained_on is not None and trained_on != unet.space:
        raise BadBundle(
            f"This mode needs a U-Net trained on {trained_on}, this one was on {unet.space}."
        )

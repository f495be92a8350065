"""Which parts of a model go together: parts that do not would make noise instead of sound.

Knows: headers. Does not know: files and networks.
"""

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
    """Refuses parts that would give noise instead of sound when put together.

    Args:
        unet: The U-Net's header.
        vocoder: The vocoder's, which must read the mel that the U-Net makes.
        clip: The encoder's, which must be the one the U-Net was trained on.
        clap: The same of a CLAP.
        prior: The prior's, which must give vectors the U-Net reads.
        trained_on: The space the mode says the U-Net was trained on.

    Raises:
        BadBundle: They disagree; both values are named.
    """
    if vocoder is not None and unet.mel is not None and vocoder.mel is not None:
        for name in (spec.name for spec in dataclasses.fields(MelSpec)):
            made, read = getattr(unet.mel, name), getattr(vocoder.mel, name)
            # log_max only scales the U-Net's side; the vocoder reads natural logarithms.
            if made != read and name != "log_max":
                raise BadBundle(
                    f"The U-Net makes mels with {name} {made}, the vocoder reads {name} {read}. "
                    f"Use parts of one model."
                )
    for who, other in (("CLIP", clip), ("CLAP", clap), ("prior", prior)):
        if other is not None and other.encoder != unet.encoder:
            raise BadBundle(
                f"The U-Net was trained on vectors of encoder '{unet.encoder}', the {who} gives "
                f"those of '{other.encoder}'. Use parts of one model."
            )
    match unet.config, prior.config if prior is not None else None:
        case UNetConfig(cond_dim=read), PriorConfig(dim=given) if read != given:
            raise BadBundle(
                f"The U-Net reads vectors of size {read}, the prior gives {given}. "
                f"Use parts of one model."
            )
    if prior is not None and prior.space != unet.space:
        raise BadBundle(
            f"The U-Net reads vectors of {unet.space}, the prior gives {prior.space}. "
            f"Use parts of one model."
        )
    if trained_on is not None and trained_on != unet.space:
        raise BadBundle(
            f"This mode needs a U-Net trained on {trained_on}, this one was on {unet.space}."
        )

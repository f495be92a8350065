"""Queries to conditions: CLIP, CLAP and the prior."""

from clipsonic_cli.registry import Registry

ENCODERS = Registry(
    "encoder",
    {
        "clap-text": "clipsonic_cli.encoders.clap:ClapTextEncoder",
        "clip-image": "clipsonic_cli.encoders.clip:ClipImageEncoder",
        "clip-text": "clipsonic_cli.encoders.clip:ClipTextEncoder",
        "prior": "clipsonic_cli.encoders.prior:PriorEncoder",
        "prior-sd": "clipsonic_cli.encoders.prior:PriorEncoder",
    },
)

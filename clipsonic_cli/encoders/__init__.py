"""Queries to conditions: CLIP, CLAP, the prior, the bridge, and statistics of frames and texts."""

from clipsonic_cli.registry import Registry

ENCODERS = Registry(
    "encoder",
    {
        "bridge": "clipsonic_cli.encoders.bridge:BridgeEncoder",
        "clap-text": "clipsonic_cli.encoders.clap:ClapTextEncoder",
        "clip-image": "clipsonic_cli.encoders.clip:ClipImageEncoder",
        "clip-text": "clipsonic_cli.encoders.clip:ClipTextEncoder",
        "mean-shift": "clipsonic_cli.encoders.transfer:MeanShiftEncoder",
        "prior": "clipsonic_cli.encoders.prior:PriorEncoder",
        "prior-sd": "clipsonic_cli.encoders.prior:PriorEncoder",
        "realign": "clipsonic_cli.encoders.transfer:ReAlignEncoder",
        "retrieval": "clipsonic_cli.encoders.transfer:RetrievalEncoder",
    },
)

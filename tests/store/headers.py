"""A header of every kind whose parts fit each other, but for the CLAP."""

from clipsonic_cli.config import (
    BridgeConfig,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    StatisticsConfig,
    StudentConfig,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)
from clipsonic_cli.store.bundle import Header

UNET = Header(
    kind="unet",
    config=UNetConfig(channels=32),
    mel=MelSpec(),
    diffusion=DiffusionConfig(prediction="v"),
    space="clip-image",
    encoder="mini-1",
    meta={"steps": 7, "licence": "CC0-1.0"},
)
STUDENT = Header(
    kind="student",
    config=StudentConfig(channels=32, calls=2),
    mel=MelSpec(),
    diffusion=DiffusionConfig(prediction="v", variance="fixed"),
    space="clip-image",
    encoder="mini-1",
)
PRIOR = Header(
    kind="prior",
    config=PriorConfig(),
    diffusion=DiffusionConfig(train_steps=1000, variance="fixed", prediction="x0"),
    space="clip-image",
    encoder="mini-1",
)
BRIDGE = Header(
    kind="bridge",
    config=BridgeConfig(),
    diffusion=PRIOR.diffusion,
    space="clip-image",
    encoder="mini-1",
)
VOCODER = Header(kind="vocoder", config=VocoderConfig(), mel=MelSpec())
VOCOS = Header(kind="vocoder", config=VocosConfig(width=64), mel=MelSpec())
STATISTICS = Header(
    kind="statistics",
    config=StatisticsConfig(count=9, texts=3),
    space="clip-image",
    encoder="mini-1",
)
CLIP = Header(kind="clip", config={"dim": 8, "mean": [0.5]}, encoder="mini-1")
CLAP = Header(kind="clap", config={"dim": 8, "audio_depths": [2, 2]}, encoder="clap-1")

"""Which parts go together, and what is said of those that do not."""

import dataclasses

import pytest

from clipsonic_cli.config import DiffusionConfig, MelSpec, PriorConfig, UNetConfig, VocoderConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.fits import check_fits

UNET = Header(
    kind="unet",
    config=UNetConfig(channels=32),
    mel=MelSpec(),
    diffusion=DiffusionConfig(prediction="v"),
    space="clip-image",
    encoder="mini-1",
    meta={"steps": 7, "licence": "CC0-1.0"},
)
PRIOR = Header(
    kind="prior",
    config=PriorConfig(),
    diffusion=DiffusionConfig(train_steps=1000, variance="fixed", prediction="x0"),
    space="clip-image",
    encoder="mini-1",
)
VOCODER = Header(kind="vocoder", config=VocoderConfig(), mel=MelSpec())
CLIP = Header(kind="clip", config={"dim": 8, "mean": [0.5]}, encoder="mini-1")
CLAP = Header(kind="clap", config={"dim": 8, "audio_depths": [2, 2]}, encoder="clap-1")


def test_parts_of_one_model_fit():
    prior = dataclasses.replace(PRIOR, config=PriorConfig(dim=8))
    check_fits(unet=UNET, vocoder=VOCODER, clip=CLIP, trained_on="clip-image")
    check_fits(unet=dataclasses.replace(UNET, config=UNetConfig(cond_dim=8)), prior=prior)


@pytest.mark.parametrize(
    ("others", "complaint"),
    [
        ({"vocoder": dataclasses.replace(VOCODER, mel=MelSpec(hop_length=256))}, "512.*256"),
        ({"clip": dataclasses.replace(CLIP, encoder="mini-2")}, "'mini-1'.*CLIP.*'mini-2'"),
        ({"clap": CLAP}, "'mini-1'.*CLAP.*'clap-1'"),
        ({"prior": dataclasses.replace(PRIOR, encoder="mini-2")}, "'mini-1'.*prior.*'mini-2'"),
        ({"prior": dataclasses.replace(PRIOR, space="clip-text")}, "clip-image.*clip-text"),
        ({"prior": dataclasses.replace(PRIOR, config=PriorConfig(dim=8))}, "768.*8"),
        ({"trained_on": "clip-text"}, "clip-text.*clip-image"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_both_values(others, complaint):
    with pytest.raises(BadBundle, match=complaint):
        check_fits(unet=UNET, **others)


def test_only_the_range_above_may_differ_between_unet_and_vocoder():
    check_fits(unet=UNET, vocoder=dataclasses.replace(VOCODER, mel=MelSpec(log_max=9.0)))

"""Parts of a model that fit each other, and errors for those that do not."""

import dataclasses

import pytest
from headers import BRIDGE, CLAP, CLIP, PRIOR, STATISTICS, UNET, VOCODER

from clipsonic_cli.config import BridgeConfig, MelSpec, PriorConfig, StatisticsConfig, UNetConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.compatibility import check_fits


def test_parts_of_one_model_fit():
    prior = dataclasses.replace(PRIOR, config=PriorConfig(dim=8))
    check_fits(unet=UNET, vocoder=VOCODER, clip=CLIP, sources=[STATISTICS], trained_on="clip-image")
    check_fits(unet=UNET, sources=[BRIDGE])
    check_fits(unet=dataclasses.replace(UNET, config=UNetConfig(cond_dim=8)), sources=[prior])


@pytest.mark.parametrize(
    ("others", "complaint"),
    [
        ({"vocoder": dataclasses.replace(VOCODER, mel=MelSpec(hop_length=256))}, "512.*256"),
        ({"clip": dataclasses.replace(CLIP, encoder="mini-2")}, "'mini-1'.*CLIP.*'mini-2'"),
        ({"clap": CLAP}, "'mini-1'.*CLAP.*'clap-1'"),
        ({"sources": [dataclasses.replace(PRIOR, encoder="mini-2")]}, "'mini-1'.*prior.*'mini-2'"),
        ({"sources": [dataclasses.replace(PRIOR, space="clip-text")]}, "clip-image.*clip-text"),
        ({"sources": [dataclasses.replace(PRIOR, config=PriorConfig(dim=8))]}, "768.*8"),
        ({"sources": [dataclasses.replace(STATISTICS, encoder="b")]}, "'mini-1'.*stat.*'b'"),
        ({"sources": [dataclasses.replace(STATISTICS, config=StatisticsConfig(dim=8))]}, "768.*8"),
        ({"sources": [dataclasses.replace(BRIDGE, encoder="b")]}, "'mini-1'.*bridge.*'b'"),
        ({"sources": [dataclasses.replace(BRIDGE, config=BridgeConfig(dim=8))]}, "768.*bridge.*8"),
        ({"trained_on": "clip-text"}, "clip-text.*clip-image"),
    ],
)
def test_parts_that_do_not_fit_are_rejected_with_both_values(others, complaint):
    with pytest.raises(BadBundle, match=complaint):
        check_fits(unet=UNET, **others)


def test_only_the_range_above_may_differ_between_unet_and_vocoder():
    check_fits(unet=UNET, vocoder=dataclasses.replace(VOCODER, mel=MelSpec(log_max=9.0)))

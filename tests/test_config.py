import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.config import (
    DEFAULT_STEPS,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    Recipe,
    VocoderConfig,
)
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Query


def test_the_papers_four_seconds_are_128_frames():
    spec = MelSpec()
    assert (spec.samples(4.096), spec.frames(4.096), spec.seconds(128)) == (65_536, 128, 4.096)


@given(st.floats(0.001, 600))
def test_frames_hold_the_duration_and_no_frame_is_spare(seconds):
    spec = MelSpec()
    assert 0 <= spec.frames(seconds) * spec.hop_length - spec.samples(seconds) < spec.hop_length


def test_silence_is_bigvgans_floor():
    assert math.exp(MelSpec().log_min) == pytest.approx(1e-5)


def test_a_vocoders_upsampling_makes_one_hop_of_every_frame():
    assert math.prod(VocoderConfig().upsample_rates) == MelSpec().hop_length


@pytest.mark.parametrize("config", [MelSpec(), DiffusionConfig(), PriorConfig(), Recipe(text="a")])
def test_a_config_survives_json(config):
    assert type(config)(**json.loads(json.dumps(asdict(config)))) == config


def test_pure_noise_at_the_last_step_goes_with_every_prediction_but_eps():
    for prediction in ("v", "x0"):
        config = DiffusionConfig(schedule="cosine-zero-snr", prediction=prediction)
        assert DiffusionConfig(**json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(ValueError, match=r"cannot have prediction 'eps'.*allowed: v, x0"):
        DiffusionConfig(schedule="cosine-zero-snr")


def test_one_step_cannot_be_both_the_least_noise_and_all_of_it():
    DiffusionConfig(train_steps=1, prediction="v")
    with pytest.raises(ValueError, match="1 train_steps, allowed: 2 or more"):
        DiffusionConfig(schedule="cosine-zero-snr", prediction="v", train_steps=1)


def test_a_config_takes_no_unknown_field():
    with pytest.raises(TypeError, match="train_step"):
        DiffusionConfig(train_step=1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance": -0.1},
        {"guidance": math.nan},
        {"steps": 0},
        {"steps": 4001},
        {"seconds": 0.0},
        {"seconds": math.inf},
        {"seed": -1},
        {"seed": 2**63},
        {"candidates": 0},
    ],
)
def test_a_recipe_rejects_a_number_out_of_range_and_shows_it(wrong):
    ((name, value),) = wrong.items()
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    with pytest.raises(UsageError, match=shown) as raised:
        replace(Recipe(text="dog"), **wrong)
    assert name.split("_")[0] in str(raised.value).lower()
    assert "\n" not in str(raised.value)


def test_a_recipe_gives_its_queries():
    recipe = Recipe(image="pets/cat.jpg", negative="rain")
    assert recipe.query == Query(image=Path("pets/cat.jpg"))
    assert recipe.negative_query == Query(text="rain")
    assert Recipe(text="dog").negative_query is None


@pytest.mark.parametrize("query", [{}, {"text": "dog", "image": "dog.jpg"}])
def test_a_recipe_asks_for_exactly_one_thing(query):
    with pytest.raises(ValueError, match="either a text or an image"):
        _ = Recipe(**query).query


def test_every_sampler_has_its_steps_and_the_first_ones_are_a_recipes():
    assert set(DEFAULT_STEPS) == set(SAMPLERS)
    assert DEFAULT_STEPS[Recipe(text="dog").sampler] == Recipe(text="dog").steps
    assert DEFAULT_STEPS["ddpm"] == 1000  # CLIPSonic section 3

import json
import math
from dataclasses import asdict, fields
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli import ranges
from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.ranges import Range
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training.run_config import Extensions

KINDS = {
    Recipe: ranges.RECIPE,
    TrainConfig: ranges.TRAIN,
    PreparationConfig: ranges.PREPARATION,
    Extensions: ranges.EXTENSIONS,
}
EVERY = [(kind, name, one) for kind, rows in KINDS.items() for name, one in rows.items()]
HUGE = 10**400


@pytest.mark.parametrize(("kind", "name", "one"), EVERY)
def test_every_number_has_two_ends_which_its_message_names(kind, name, one):
    below = one.low if one.above else one.low - 1
    for value in (below, one.high * 2 + 1, math.nan, math.inf, -math.inf, HUGE, -HUGE, True, "1"):
        with pytest.raises(UsageError, match=name) as caught:
            kind(**{name: value})
        assert one.allowed in str(caught.value)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize(("kind", "name", "one"), EVERY)
def test_both_ends_are_within(kind, name, one):
    low = one.low + 1e-12 if one.above else one.low
    for value in (low, one.high):
        assert getattr(kind(**{name: value}), name) == value


@pytest.mark.parametrize(("kind", "name"), [(k, f.name) for k in KINDS for f in fields(k)])
def test_no_number_is_without_a_range(kind, name):
    default = getattr(kind(), name)
    if isinstance(default, int | float) and not isinstance(default, bool):
        assert name in KINDS[kind]


@given(st.sampled_from([np.int64, np.int32, np.uint8]), st.integers(1, 100))
def test_whole_numbers_of_numpy_become_pythons_own(kind, value):
    recipe = Recipe(text="a", steps=kind(value), seed=kind(value))
    assert (type(recipe.steps), recipe.steps, type(recipe.seed)) == (int, value, int)
    assert json.loads(json.dumps(asdict(recipe)))["seed"] == value


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, Fraction])
def test_numbers_of_numpy_become_floats(kind):
    value = kind(1.5)
    recipe = Recipe(text="a", guidance=value, seconds=value)
    assert (type(recipe.guidance), recipe.guidance) == (float, 1.5)
    json.dumps(asdict(recipe))


@pytest.mark.parametrize(
    "value", [1.5, 2.0, np.float32(2), np.bool_(True), None, "2", b"2", [2], torch.tensor(2), 2j]
)
def test_what_is_no_whole_number_is_rejected_with_what_was_seen(value):
    allowed = r"^steps is .*; it must be a whole number from 1 to 4000\.$"
    with pytest.raises(UsageError, match=allowed):
        Recipe(text="a", steps=value)


def test_minus_nothing_is_nothing():
    assert math.copysign(1, Recipe(text="a", guidance=-0.0).guidance) == 1


@pytest.mark.parametrize("name", ["text", "image", "mode", "model", "sampler", "negative"])
@pytest.mark.parametrize("value", [5, b"dog", ["dog"], True])
def test_a_text_of_a_recipe_is_text(name, value):
    with pytest.raises(UsageError, match=rf"^{name} is .*; it must be text\.$"):
        Recipe(**{name: value})


@given(st.integers())
def test_any_number_can_be_shown_in_few_signs(value):
    assert len(ranges.shown(value * 10**5000)) < 60
    assert len(ranges.shown(value)) < 60


def test_an_open_end_is_reported_as_such():
    assert Range(low=0, high=1, above=True).allowed == "above 0 and at most 1"
    with pytest.raises(UsageError, match=r"^lr is 1e\+09; it must be above 0 and at most 1\.$"):
        ranges.TRAIN["lr"].check("lr", 1e9)

import pytest

from clipsonic_cli.encoders import ENCODERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import DEFAULT_MODE, MODES, mode_for, query_of

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))


def test_the_rows_are_table_1_and_the_ways_that_need_no_pairs():
    assert list(MODES) == ["iq", "zs", "ms", "ra", "rt", "db", "pd", "sd", "clip-tta", "clap-tta"]


@every_mode
def test_every_mode_names_an_encoder_there_is(mode):
    assert mode.encoder in ENCODERS


@every_mode
def test_every_mode_needs_the_weights_of_its_own_unet(mode):
    assert mode.unet in mode.weights


@every_mode
def test_only_zero_shot_transfer_hands_a_unet_another_space(mode):
    assert (mode.space == mode.trained_on) is (mode.name != "zs")


@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_kind_of_query_has_a_default_mode(kind):
    assert mode_for(None, kind) is MODES[DEFAULT_MODE[kind]]


def test_a_mode_of_the_other_kind_is_rejected_with_those_of_this_one():
    with pytest.raises(
        UsageError, match=r"'pd' takes a text query, not an? image. For an? image: iq"
    ):
        mode_for("pd", "image")


@pytest.mark.parametrize("name", ["phone.HEIC", "a b.avif", "clip.mov", "rain.wav"])
def test_the_name_of_a_file_that_is_no_query_is_no_text(name):
    with pytest.raises(UsageError, match=f"'{name}' is "):
        query_of(name)


def test_an_unknown_mode_is_reported_its_neighbour():
    with pytest.raises(UsageError, match=r"Unknown mode 'clip-ta'\. Did you mean 'clip-tta'"):
        mode_for("clip-ta", "text")

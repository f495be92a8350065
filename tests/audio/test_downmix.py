"""Mono has the standard proportions, never exceeds its channels, and detects those that cancel."""

import numpy as np
import pytest

from clipsonic_cli.audio.downmix import LAYOUTS, Downmix, decibels, mono_weights


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8])
def test_equal_channels_mix_to_themselves(count):
    samples = np.linspace(-1, 1, 50)
    names = list(LAYOUTS.get(count, ("?",) * count))
    weights = mono_weights(names)
    assert weights.sum() == pytest.approx(1)
    silent = [index for index, name in enumerate(names) if name == "LFE"]
    values = np.stack([samples * (index not in silent) for index in range(count)])
    np.testing.assert_allclose(Downmix()(values, names), samples, atol=1e-6)


def test_surround_has_the_proportions_of_the_standard():
    # ITU-R BS.775: L + R + 2 x 0.7071 C + 0.7071 Ls + 0.7071 Rs; the low effects are left out.
    left, right, centre, low, back_left, back_right = mono_weights(LAYOUTS[6])
    assert left == right
    assert centre / left == pytest.approx(2**0.5)
    assert (back_left / left, back_right / left) == pytest.approx((0.5**0.5, 0.5**0.5))
    assert low == 0


def test_ambisonics_use_the_omnidirectional_channel():
    assert mono_weights(["AMBI0", "AMBI1", "AMBI2", "AMBI3"]).tolist() == [1, 0, 0, 0]


def test_low_effects_alone_are_used():
    assert mono_weights(["LFE"]).tolist() == [1]


@pytest.mark.parametrize(("gain", "cancelled_by"), [(-1.0, 0), (-0.9, 0), (-1.1, 1), (1.0, None)])
def test_channels_that_cancel_are_noticed(gain, cancelled_by):
    noise = np.random.default_rng(0).standard_normal(8000) / 8
    mix = Downmix()
    for piece in np.split(np.stack([noise, gain * noise]), 4, axis=1):
        mix(piece)
    assert mix.cancelled_by == cancelled_by


@pytest.mark.parametrize("count", [2, 4, 6, 8])
def test_independent_or_lone_channels_do_not_cancel(count):
    noise = np.random.default_rng(0).standard_normal((count, 8000)) / 8
    mix = Downmix()
    mix(noise)
    assert mix.cancelled_by is None
    alone = Downmix()
    alone(noise * (np.arange(count) == count - 1)[:, None])
    assert alone.cancelled_by is None


def test_one_channel_can_be_chosen():
    values = np.array([[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(Downmix(1)(values), [0.3, 0.4])


def test_a_full_scale_square_wave_has_no_decibels():
    assert decibels(np.array([1.0, -1.0])) == pytest.approx(0)
    assert decibels(np.zeros(3)) == decibels(np.zeros(0)) == -200

"""Known answers of ITU-R BS.1770-4, EBU Tech 3341 and EBU Tech 3342, on one channel.

EBU's signals have two equal channels, each of which alone is 3.01 LU softer.
"""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from clipsonic_cli.audio.loudness import FILTER_RATE, HIGH_PASS, SHELF, loudness

ONE_OF_TWO = 10 * math.log10(2)


def tone(*parts, hz=1000, rate=48_000):
    """Return a sine (N,) of levels in dB below full scale, each for some seconds."""
    levels = np.concatenate([np.full(round(s * rate), 10 ** (db / 20)) for db, s in parts])
    return torch.from_numpy(levels * np.sin(2 * np.pi * hz * np.arange(len(levels)) / rate)).float()


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_a_sine_of_997_hz_at_full_scale_has_minus_3_01_lufs_at_any_rate(rate):
    assert loudness(tone((0, 5), hz=997, rate=rate), rate) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 20)], -23),  # Tech 3341, cases 1 to 5
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_gates_leave_out_what_the_cases_of_ebu_leave_out(parts, lufs):
    found = loudness(tone(*parts, rate=16_000), 16_000)
    assert found == pytest.approx(lufs - ONE_OF_TWO, abs=0.1)


def power_in_time(samples):
    """Return the LUFS of all of a sound at 48 kHz, by the difference equations."""
    for *b, a1, a2 in (SHELF, HIGH_PASS):
        samples = scipy.signal.lfilter(b, [1, a1, a2], samples)
    return -0.691 + 10 * math.log10(np.square(samples).mean())


@pytest.mark.parametrize("hz", [25, 60, 500, 2000, 7000])
def test_the_weighting_is_that_of_the_standards_filters(hz):
    level = power_in_time(tone((-20, 10), hz=hz).double().numpy())
    for rate in (16_000, FILTER_RATE):
        found = loudness(tone((-20, 10), hz=hz, rate=rate), rate)
        assert found == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.4])
def test_a_sound_shorter_than_a_block_is_one_block(seconds):
    short = tone((-10, seconds), hz=3000)
    expected = power_in_time(short.double().numpy())
    assert loudness(short, FILTER_RATE) == pytest.approx(expected, abs=1e-6)


def test_a_sound_in_pieces_is_filtered_as_a_whole(monkeypatch):
    noise = torch.randn(5 * 8000, generator=torch.Generator().manual_seed(0)) / 10
    whole = loudness(noise, 8000)
    monkeypatch.setattr("clipsonic_cli.audio.loudness.SEGMENT", 0.7)
    assert loudness(noise, 8000) == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_has_no_loudness(level):
    assert loudness(torch.full((16_000,), level), 16_000) == -math.inf


def test_twice_the_amplitude_is_6_02_lu_more():
    sound = tone((-30, 2), hz=440, rate=44_100)
    gained = loudness(2 * sound, 44_100) - loudness(sound, 44_100)
    assert gained == pytest.approx(20 * math.log10(2), abs=1e-4)

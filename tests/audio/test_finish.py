import numpy as np
import pytest
import torch

from clipsonic_cli.audio.finish import (
    FADE_IN,
    FADE_OUT,
    fade_lengths,
    faded,
    finished,
    trimmed,
)
from clipsonic_cli.audio.loudness import loudness
from clipsonic_cli.config import Finish
from clipsonic_cli.errors import UsageError

RATE = 16_000


@pytest.mark.parametrize(
    ("count", "rate", "lengths"),
    [
        (RATE, RATE, (32, 80)),
        (48_000, 48_000, (96, 240)),
        (320, RATE, (32, 40)),
        (16, RATE, (2, 2)),
        (8, RATE, (1, 1)),
        (7, RATE, (0, 0)),
        (0, RATE, (0, 0)),
    ],
)
def test_fades_are_2_and_5_ms_long_or_an_eighth_of_the_sound(count, rate, lengths):
    assert fade_lengths(count, rate) == lengths


@pytest.mark.parametrize("count", [0, 1, 7, 8, 16, 320, RATE])
def test_ends_fall_to_zero_and_the_interior_stays_bit_for_bit(count):
    sound = torch.randn(2, count, generator=torch.Generator().manual_seed(0))
    before, (first, last) = sound.clone(), fade_lengths(count, RATE)
    done = faded(sound, RATE)
    assert torch.equal(sound, before)
    inside = slice(first, count - last)
    assert torch.equal(done[:, inside], sound[:, inside])
    if count >= 8:
        assert not done[:, [0, -1]].any()


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_the_energy_of_a_fade_is_that_of_a_raised_cosine(start, end):
    energy = faded(torch.ones(RATE), RATE, start=start, end=end).double().square().sum()
    # n samples of ((1 + cos(pi k / n)) / 2)^2, k from 1 to n, have 3 n / 8 - 1 / 2 in all.
    lost = sum(n - (3 * n / 8 - 1 / 2) for n, is_on in ((32, start), (80, end)) if is_on)
    assert energy.item() == pytest.approx(RATE - lost, abs=1e-3)


def test_a_fade_is_half_way_in_its_middle_and_never_rises():
    done = faded(torch.ones(RATE), RATE)
    assert done[-41] == pytest.approx(0.5)  # 40 of 80 samples
    assert done[16] == pytest.approx(0.5)
    assert (done[:32].diff() > 0).all()
    assert (done[-80:].diff() < 0).all()


def padded(loud, before, after, floor=0.0):
    """Return a loud tone between seconds of noise of an amplitude."""
    tone = torch.cos(torch.arange(round(loud * RATE)) * 0.3)
    tone[-1] = 1
    noise = torch.rand(RATE * 10, generator=torch.Generator().manual_seed(0)) * 2 - 1
    parts = [floor * noise[: round(s * RATE)] for s in (before, after)]
    return torch.cat([parts[0], tone, parts[1]])


@pytest.mark.parametrize("floor", [0.0, 0.003])
@pytest.mark.parametrize(("before", "after"), [(0.5, 1.0), (0.5, 0.0), (0.0, 1.0), (0.001, 0.001)])
def test_trimming_leaves_what_is_loud_bit_for_bit_between_faded_ends(before, after, floor):
    sound = padded(1.0, before, after, floor)
    done, (first, last) = trimmed(sound, RATE), fade_lengths(len(sound), RATE)
    where = round(before * RATE)
    start, end = min(where, first), min(round(after * RATE), last)
    assert len(done) == start + RATE + end
    assert torch.equal(done[start : start + RATE], sound[where : where + RATE])
    assert done[0] == 0 or before < FADE_IN
    assert done[-1] == 0 or after < FADE_OUT


@pytest.mark.parametrize("sound", [torch.zeros(RATE), torch.ones(5), torch.zeros(1)])
def test_what_has_no_silence_or_nothing_else_is_not_trimmed(sound):
    assert torch.equal(trimmed(sound, RATE), sound)


def test_what_is_50_db_below_the_peak_is_silence_and_what_is_louder_is_not():
    for decibels, kept in ((-49, 3 * RATE), (-51, RATE + 32 + 80)):
        sound = torch.full((3 * RATE,), 10 ** (decibels / 20))
        sound[RATE : 2 * RATE] = 1
        assert len(trimmed(sound, RATE)) == kept


def sine(rate):
    """Return a second of 1 kHz at full scale."""
    phase = torch.arange(rate, dtype=torch.float64) * 2 * torch.pi * 1000 / rate
    return torch.sin(phase).float()


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 192_000])
def test_a_tone_keeps_pitch_length_and_level_at_another_rate_and_gains_no_overtones(rate):
    sound = faded(sine(RATE), RATE)
    done, sample_rate, gain = finished(sound, RATE, Finish(rate=rate))
    assert (len(done), sample_rate, gain) == (rate, rate, 1.0)
    inner = slice(rate // 10, -rate // 10)
    torch.testing.assert_close(done[inner], sine(rate)[inner], atol=1e-4, rtol=0)
    if rate == RATE:
        assert done is sound


def test_another_rate_adds_nothing_above_8_khz():
    noise = faded(torch.randn(RATE, generator=torch.Generator().manual_seed(0)), RATE)
    done, _, _ = finished(noise, RATE, Finish(rate=48_000))
    power = torch.fft.rfft(done.double()).abs().square()  # a bin a Hz
    assert power[8500:].sum() < 1e-7 * power.sum()
    # Each bin has 3^2 times the power, which is on average the energy of the noise.
    mean = 9 * noise.double().square().sum().item()
    assert power[:7000].mean().item() == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("level", [0.05, 0.5, 3.0])
def test_a_normalized_peak_is_1_db_below_full_scale_and_a_loudness_as_requested(level):
    sound = level * padded(2.0, 0.5, 0.5)
    peak, _, gain = finished(sound, RATE, Finish(normalize="peak"))
    assert peak.abs().max().item() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    torch.testing.assert_close(peak / gain, sound)
    lufs, rate, gain = finished(sound, RATE, Finish(normalize=-23, rate=44_100))
    assert loudness(lufs, rate) == pytest.approx(-23, abs=1e-4)


def test_a_loudness_that_would_clip_is_limited_by_the_peak():
    sound = 0.01 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    done, rate, _ = finished(sound, RATE, Finish(normalize=0))
    assert done.abs().max().item() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    assert loudness(done, rate) < -5


@pytest.mark.parametrize("normalize", ["peak", -23])
@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_silence_stays_silence(level, normalize):
    done, _, gain = finished(torch.full((RATE,), level), RATE, Finish(normalize=normalize))
    assert (done.abs().max().item(), gain) == (pytest.approx(level), 1.0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rate": 7999}, "`rate` is 7999; it must be a whole number from 8000 to 192,000"),
        ({"rate": 192_001}, "192001"),
        ({"rate": 96_001}, "`rate` is 96001; FLAC takes multiples of 10 above 65,535 Hz"),
        ({"rate": 44_100.0}, "`rate` is 44100.0"),
        ({"normalize": 1}, "`normalize` is 1; it must be from -60 to 0"),
        ({"normalize": -61}, "-61"),
        ({"normalize": float("nan")}, "nan"),
        ({"normalize": "loud"}, "'loud'; it must be from -60 to 0. That is LUFS; 'peak'"),
        ({"trim": 1}, "`trim` is 1; it must be True or False"),
    ],
)
def test_what_cannot_be_done_is_rejected_in_one_line(fields, words):
    with pytest.raises(UsageError) as caught:
        Finish(**fields)
    assert words in str(caught.value)


def test_numbers_of_numpy_become_plain():
    finish = Finish(rate=np.int64(48_000), normalize=np.float32(-23))
    assert (type(finish.rate), type(finish.normalize)) == (int, float)

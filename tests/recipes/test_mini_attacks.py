import math

import pytest
import torch
from attacks import attacks, envelope, rise_ms

RATE = 16_000


def tone(rise_ms_long, start=0.5, seconds=1.0):
    """A sine that begins with a linear ramp of so many ms."""
    time = torch.arange(int(RATE * seconds)) / RATE
    ramp = ((time - start) / max(rise_ms_long / 1000, 1e-6)).clamp(0, 1)
    return ramp * torch.sin(2 * math.pi * 2000 * time)


def test_an_envelope_is_the_root_mean_square_once_a_ms():
    levels = envelope(tone(0, start=0.0), RATE)
    assert 1000 <= len(levels) <= 1002
    assert levels[100:900].sub(math.sqrt(0.5)).abs().max() < 0.01


@pytest.mark.parametrize("ramp", [10, 20, 40])
def test_a_linear_ramp_rises_in_eight_tenths_of_its_length(ramp):
    levels = envelope(tone(ramp), RATE)
    (middle,) = attacks(levels)
    assert abs(middle - 500) <= ramp
    assert rise_ms(levels, middle) == pytest.approx(0.8 * ramp, abs=2)


def test_a_step_rises_within_a_window():
    levels = envelope(tone(0), RATE)
    assert rise_ms(levels, attacks(levels)[0]) <= 4


def test_each_of_several_beats_is_an_attack_and_a_steady_sound_has_none():
    beats = sum(tone(5, start=at, seconds=2.0) * (torch.arange(32_000) < at * RATE + 2400)
                for at in (0.2, 0.8, 1.4))  # fmt: skip
    assert [round(place, -2) for place in attacks(envelope(beats, RATE))] == [200, 800, 1400]
    assert attacks(envelope(tone(0, start=-1.0), RATE)) == []
    assert attacks(envelope(torch.zeros(RATE), RATE)) == []

import pytest
import torch
from intonation import PITCHES, in_tune, tone

RATE = 16_000


@pytest.mark.parametrize("hertz", PITCHES)
def test_a_tone_is_in_tune_with_itself_and_not_with_one_half_a_semitone_above(hertz):
    wave = tone(hertz, RATE)
    assert wave.shape == (65_536,)
    assert wave.abs().max() <= 1
    assert in_tune(wave, hertz, RATE) > 0.99
    assert in_tune(wave, hertz * 2 ** (1 / 24), RATE) < 0.1


def test_noise_is_hardly_in_tune():
    noise = torch.randn(65_536, generator=torch.Generator().manual_seed(0))
    assert in_tune(noise, 440.0, RATE) < 0.3

import pytest
import torch

from clipsonic_cli.audio.finish import fade_lengths, faded

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

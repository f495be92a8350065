import math

import pytest
import torch

from clipsonic_cli.audio.spectral_distance import spectral_distance


def noise(seed, samples=8192):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("factor", "distance"), [(1, 0), (2, 1 + math.log(2)), (0.5, 0.5 + math.log(2))]
)
def test_another_level_is_as_far_as_its_share_and_its_logarithm(factor, distance):
    assert spectral_distance(factor * noise(0), noise(0)) == pytest.approx(distance, abs=0.01)


def test_silence_is_further_than_noise_of_another_seed():
    assert (
        spectral_distance(torch.zeros(8192), noise(0)) > spectral_distance(noise(1), noise(0)) > 1
    )


def test_what_a_recording_has_after_the_end_of_the_other_does_not_count():
    longer = torch.cat([noise(0), noise(1)])
    assert spectral_distance(noise(0), longer) == pytest.approx(0, abs=1e-6)

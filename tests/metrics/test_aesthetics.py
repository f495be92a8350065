import pytest
import torch
from noisy_sets import generator

from clipsonic_cli.metrics import METRICS
from clipsonic_cli.metrics.features import from_vectors

AES = METRICS.load("aes")


def test_each_axis_is_the_mean_over_sounds_with_an_interval_of_its_own():
    rows = torch.randn(40, 4, generator=generator()) + torch.tensor([7.0, 3.0, 5.0, 6.0])
    rated = from_vectors([f"{i:02d}" for i in range(40)], rows, backbone="audiobox")
    scores = AES(rated, rated, generator=generator())
    assert [score.label for score in scores] == ["aes-pq", "aes-pc", "aes-ce", "aes-cu"]
    for score, values in zip(scores, rows.T.double(), strict=True):
        assert score.value == pytest.approx(float(values.mean()))
        low, high = score.interval
        half = 1.96 * float(values.std()) / 40**0.5
        assert (low, high) == pytest.approx((score.value - half, score.value + half), abs=0.1)

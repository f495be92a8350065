import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.metrics.windows import at_rate, spread


@given(st.integers(1, 50), st.integers(0, 200), st.integers(1, 12))
def test_windows_go_from_the_beginning_to_the_end(length, spare, count):
    sound = torch.arange(length + spare)
    windows = spread(sound, length, count)
    starts = [int(window[0]) for window in windows]
    assert [len(window) for window in windows] == [length] * count
    assert starts[0] == 0
    assert count == 1 or int(windows[-1][-1]) == length + spare - 1
    gaps = [b - a for a, b in pairwise(starts)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_sound_of_the_wanted_rate_is_left_as_it_is():
    sound = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(at_rate(sound, 16_000, 16_000), sound)


@pytest.mark.parametrize("sample_rate", [8000, 22_050, 48_000])
def test_a_tone_of_another_rate_is_the_same_tone(sample_rate):
    def tone(rate):
        at = torch.arange(rate, dtype=torch.float64) / rate
        return (2 * math.pi * 440 * at).sin().float()

    seen = at_rate(tone(sample_rate), sample_rate, 16_000)
    assert len(seen) == 16_000
    torch.testing.assert_close(seen[500:-500], tone(16_000)[500:-500], atol=1e-3, rtol=0)


def test_no_samples_stay_none():
    assert at_rate(torch.empty(0), 8000, 16_000).shape == (0,)


@pytest.mark.parametrize(
    ("samples", "sample_rate", "fault"),
    [
        (torch.zeros(2, 9), 16_000, r"need finite samples \(N,\), got \(2, 9\)"),
        (torch.tensor([0.0, math.nan]), 16_000, "finite"),
        (torch.zeros(9), 0, "sample rate in Hz, got 0"),
    ],
)
def test_invalid_samples_are_rejected(samples, sample_rate, fault):
    with pytest.raises(ValueError, match=fault):
        at_rate(samples, sample_rate, 16_000)

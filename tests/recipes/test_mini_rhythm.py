import math

import pytest
import torch
from rhythm import likeness, onsets


def struck(times, frequency):
    """Make four seconds of decaying tones that begin at these times, in seconds."""
    time = torch.arange(64000) / 16000
    since = [(time - begin).clamp(min=0) for begin in times]
    tones = [torch.sin(2 * math.pi * frequency * t) * torch.exp(-6 * t) * (t > 0) for t in since]
    return torch.stack(tones).sum(dim=0)


def test_an_onset_is_where_a_sound_begins():
    pattern = onsets(struck([1.0, 3.0], 440.0))
    middle = len(pattern) // 2
    strongest = [int(pattern[:middle].argmax()), middle + int(pattern[middle:].argmax())]
    assert strongest == pytest.approx([16000 / 512, 48000 / 512], abs=4)


def test_one_rhythm_in_two_timbres_is_alike_and_two_rhythms_are_not():
    one, two = [0.4, 1.1, 2.3, 3.0], [0.7, 1.6, 2.0, 3.5]
    high, low, other = (
        onsets(struck(times, hz))[None] for times, hz in ((one, 880.0), (one, 220.0), (two, 220.0))
    )
    same = likeness(torch.cat([high, low]), torch.cat([high, low]))
    different = likeness(torch.cat([high, other]), torch.cat([high, other]))
    assert same > 0.8
    assert different < 0.3

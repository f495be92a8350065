"""Single sounds, by how well they fit their words."""

import numpy as np
import pytest
import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.ranking import Ranking
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.types import Waveform

CPU = torch.device("cpu")
TEXTS = ("a photo of whistle", "a photo of drum kit")


@pytest.fixture(scope="module")
def ranking():
    return Ranking([*TEXTS, *TEXTS], CPU)


@pytest.fixture(scope="module")
def tone():
    """Four seconds of a whistle's tone."""
    time = np.arange(64_000) / 16_000
    samples = 0.3 * np.sin(2 * np.pi * 2000 * time)
    return Waveform(samples=torch.from_numpy(samples).float(), sample_rate=16_000)


def test_a_score_is_the_mean_cosine_of_the_windows_and_the_words(ranking, tone):
    backbone = MiniBackbone.load(CPU)
    rows = backbone.embed(tone.samples, tone.sample_rate)
    for text in TEXTS:
        expected = (rows @ backbone.embed_text([text])[0]).mean()
        assert ranking(tone, text).value == pytest.approx(float(expected), abs=1e-6)


def test_who_hears_is_said(ranking, tone):
    assert ranking(tone, TEXTS[0]).label == "clap[mini]"
    (note,) = ranking.notes
    assert "clipsonic download clap" in note


def test_a_tone_is_a_whistle_rather_than_a_drum_kit(ranking, tone):
    whistle, drums = (ranking(tone, text).value for text in TEXTS)
    assert whistle > drums


def test_a_sound_of_nothing_is_refused(ranking):
    with pytest.raises(UsageError, match="no samples"):
        ranking(Waveform(samples=torch.zeros(0), sample_rate=16_000), TEXTS[0])

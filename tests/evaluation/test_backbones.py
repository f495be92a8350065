"""The backbone of each metric, and ranking by one."""

import numpy as np
import pytest
import torch

from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.backbones import Ranking, choose, notes_of
from clipsonic_cli.metrics import BACKBONES
from clipsonic_cli.metrics.mini import MiniBackbone, names_known_label
from clipsonic_cli.types import Waveform

CPU = torch.device("cpu")
TEXTS = ("a photo of whistle", "a photo of drum kit")


def test_the_embedded_network_stands_in_for_what_is_not_here_and_says_so():
    chosen = choose(["fad", "clap", "fad"])
    assert [run.backbone for run in chosen] == ["mini", "mini"]
    [note] = notes_of(chosen)
    assert "fad[mini], clap[mini]" in note
    assert note.endswith("clipsonic download vggish clap")


def test_the_papers_backbones_are_used_where_they_are_here(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    chosen = choose(["fad", "kad", "clap"])
    assert [run.backbone for run in chosen] == ["vggish", "vggish", "clap"]
    assert notes_of(chosen) == []


def test_a_backbone_given_by_name_needs_no_note():
    [chosen] = choose(["fad:mini"])
    assert (chosen.backbone, notes_of([chosen])) == ("mini", [])


def test_a_metric_runs_once_with_each_backbone(monkeypatch):
    names = ["fad", "fad:mini", "fad"]
    [chosen] = choose(names)
    assert (chosen.backbone, chosen.instead_of) == ("mini", "vggish")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    assert [run.backbone for run in choose(names)] == ["vggish", "mini"]


def test_a_backbone_given_by_name_has_to_be_here():
    with pytest.raises(MissingWeights, match="clipsonic download clap"):
        choose(["fad:clap"])


def test_a_backbone_that_nothing_can_stand_in_for_has_to_be_here():
    with pytest.raises(MissingWeights, match="clipsonic download wav2clip"):
        choose(["fad", "cs"])
    with pytest.raises(MissingWeights, match="clipsonic download audiobox"):
        choose(["aes"])


def test_prompts_are_needed_where_the_backbone_has_no_classes(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    names = ["kl", "kl:panns", "clap", "accuracy", "fad", "fad:panns"]
    assert [run.needs_prompts for run in choose(names)] == [True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("kl:vggish", "text encoder, which 'vggish' lacks. Known: clap, panns, passt, mini"),
        ("accuracy:panns", "text encoder, which 'panns' lacks. Known: clap, mini"),
        ("clap:vggish", "text encoder, which 'vggish' lacks. Known: clap, mini"),
        ("cs:panns", "an image encoder, which 'panns' lacks. Known: wav2clip"),
        ("aes:panns", "needs a backbone with ratings, which 'panns' lacks. Known: audiobox."),
        ("fad:audiobox", "with embeddings, which 'audiobox' lacks. Known: vggish, clap"),
        ("is:audiobox", "with embeddings, which 'audiobox' lacks"),
        ("similarity:mini", "uses no backbone"),
        ("fda", "Did you mean 'fad'"),
        ("fad:clpa", "Did you mean 'clap'"),
    ],
)
def test_what_does_not_go_together_is_rejected(name, reason):
    with pytest.raises(UsageError, match=reason):
        choose([name])


def test_similarity_needs_no_backbone():
    [chosen] = choose(["similarity"])
    assert (chosen.backbone, chosen.instead_of) == ("clip", None)


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


def test_the_network_that_ranks_is_named(ranking, tone):
    assert ranking(tone, TEXTS[0]).label == "clap[mini]"
    (note,) = ranking.notes
    assert "clipsonic download clap" in note


def test_a_tone_is_a_whistle_rather_than_a_drum_kit(ranking, tone):
    whistle, drums = (ranking(tone, text).value for text in TEXTS)
    assert whistle > drums


def test_a_sound_of_nothing_is_rejected(ranking):
    with pytest.raises(UsageError, match="no samples"):
        ranking(Waveform(samples=torch.zeros(0), sample_rate=16_000), TEXTS[0])


def test_the_small_network_ranks_no_sounds_of_words_it_does_not_know():
    with pytest.raises(UsageError, match="cannot rank sounds of 'spaceship engine humming'"):
        Ranking([TEXTS[0], "spaceship engine humming"], CPU)


def test_any_sound_is_ranked_by_its_quality(fakes, tone, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "audiobox", "fake_backbones:FakeRatings")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    by_quality = Ranking(["spaceship engine humming"], CPU, by="aes")
    score = by_quality(tone, "spaceship engine humming")
    expected = fakes.FakeRatings().embed(tone.samples, tone.sample_rate)[0, 0]
    assert (score.label, by_quality.notes) == ("aes-pq", [])
    assert score.value == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("a photo of violin", True),
        ("Dogs barking", True),
        ("the sound of drum_kit", True),
        ("a training session", False),
        ("blue triangle", False),
    ],
)
def test_a_text_is_known_by_the_words_of_a_label(text, known):
    assert names_known_label(text) == known

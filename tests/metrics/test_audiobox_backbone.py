import published
import pytest
import torch
from published_audiobox import DESCRIBED, SMALL, audiobox, small

from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.metrics.aesthetics import NAMES
from clipsonic_cli.metrics.audiobox import AudioboxBackbone
from clipsonic_cli.models.audiobox import Audiobox, from_audiobox
from clipsonic_cli.models.state_dict import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    return AudioboxBackbone(build(lambda: Audiobox(**SMALL), small(), "Audiobox Aesthetics"))


def crescendo(count):
    return published.wave("sound", count) * torch.linspace(0, 1, count)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (160_000, [5.201780, 0.275000, 5.799095, 4.752290]),
        (64_000, [5.073012, 0.425331, 5.764882, 4.983652]),
        (250_000, [5.145617, 0.318440, 5.757652, 4.819236]),
        (100, [5.006047, 0.760175, 6.927450, 5.788420]),
    ],
)
def test_it_gives_what_the_authors_code_gives(backbone, samples, expected):
    """AesPredictor with these weights, in the order PQ, PC, CE, CU."""
    seen = backbone.embed(crescendo(samples), 16_000)
    assert seen.shape == (1, 4)
    torch.testing.assert_close(seen[0], torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_it_gives_what_the_authors_code_gives_at_its_real_size():
    weights = from_audiobox(audiobox(), DESCRIBED)
    whole = AudioboxBackbone(build(Audiobox, weights, "Audiobox Aesthetics"))
    expected = torch.tensor([2.912963, 3.413604, 5.861001, 12.026819])
    seen = whole.embed(crescendo(64_000), 16_000)
    torch.testing.assert_close(seen[0], expected, atol=1e-4, rtol=1e-4)


def test_no_samples_have_no_scores(backbone):
    assert backbone.embed(torch.empty(0), 16_000).shape == (0, 4)


def test_other_sample_rates_are_resampled(backbone):
    at = torch.arange(96_000) / 48_000
    tone = 0.3 * (2 * torch.pi * 440 * at).sin()
    there, here = backbone.embed(tone, 48_000), backbone.embed(tone[::3], 16_000)
    torch.testing.assert_close(there, here, atol=0.05, rtol=0)


def test_its_ratings_are_those_of_the_metric(backbone):
    assert tuple(f"aes-{axis.lower()}" for axis in backbone.ratings) == NAMES


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"Audiobox Aesthetics.*clipsonic download audiobox"):
        AudioboxBackbone.load(CPU)


def test_weights_of_another_network_are_rejected(put):
    put("audiobox", {"mean": torch.zeros(4)})
    with pytest.raises(BadBundle, match="'Audiobox' do not fit"):
        AudioboxBackbone.load(CPU)

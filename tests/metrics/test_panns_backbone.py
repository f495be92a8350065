import math

import published
import pytest
import torch

from clipsonic_cli.audio.mel import mel_filters
from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.metrics.panns import PannsBackbone
from clipsonic_cli.models import panns
from clipsonic_cli.models.panns import SPEC, Cnn14, from_panns
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store import assets, bundle
from clipsonic_cli.store.manifest import find

CPU = torch.device("cpu")


def log_mel(samples):
    return panns.log_mel(samples, mel_filters(SPEC))


@pytest.fixture(scope="module")
def weights():
    return from_panns(published.panns(), mel_filters(SPEC))


@pytest.fixture(scope="module")
def backbone(weights):
    network = build(Cnn14, weights, "CNN14")
    return PannsBackbone(network)


def crescendo():
    return published.wave("sound", 50_000) * torch.linspace(0, 1, 50_000)


def test_its_mel_is_that_of_the_authors_code():
    """Of the frames 0, 100 and 311 the bands 0, 20 and 63."""
    expected = [
        [-62.409554, -60.185780, -57.523735],
        [-5.379357, -9.708682, -10.347705],
        [3.903950, -2.075273, -0.288527],
    ]
    seen = log_mel(crescendo())
    assert seen.shape == (1, 1, 313, 64)
    seen = seen[0, 0, [0, 100, 311]][:, [0, 20, 63]]
    torch.testing.assert_close(seen, torch.tensor(expected), atol=1e-4, rtol=0)


def test_it_gives_what_the_authors_network_gives(backbone):
    """Cnn14_16k with these weights: its "embedding"."""
    expected = [2.894342, 0.557771, 0.166838, 0.951649, 0.458096, 0.0, 0.766269, 0.311719]
    seen = backbone.embed(crescendo(), 16_000)
    assert seen.shape == (1, backbone.dim)
    torch.testing.assert_close(seen[0, :8], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_its_tags_are_the_softmax_of_the_authors_networks(backbone):
    expected = [0.000168450, 0.000796538, 0.002340723, 0.000558386, 0.000572780, 0.002328054]
    seen = backbone.tag(backbone.embed(crescendo(), 16_000))
    assert seen.shape == (1, 527)
    torch.testing.assert_close(seen[0, :6], torch.tensor(expected), atol=1e-7, rtol=1e-4)
    assert float(seen.sum()) == pytest.approx(1, abs=1e-5)


def test_silence_is_the_floor():
    assert (log_mel(torch.zeros(16_000)) == -100).all()


def test_a_tone_is_loudest_in_the_band_around_it():
    at = torch.arange(16_000, dtype=torch.float64) / 16_000
    hz = 31.25 * float(mel_filters(SPEC)[40].argmax())  # the middle of a band
    mels = log_mel((0.5 * (2 * math.pi * hz * at).sin()).float())
    assert (mels[0, 0, 5:-5].argmax(-1) == 40).all()


@pytest.mark.parametrize(("samples", "rows"), [(0, 0), (4959, 0), (4960, 1)])
def test_sounds_shorter_than_the_network_sees_give_no_row(backbone, samples, rows):
    assert backbone.embed(torch.zeros(samples), 16_000).shape == (rows, 2048)


def test_a_long_sound_is_embedded_from_its_beginning_to_its_end(backbone, monkeypatch):
    windows = []
    monkeypatch.setattr(
        "clipsonic_cli.metrics.panns.log_mel",
        lambda samples, _: windows.append(samples) or log_mel(samples[:5000]),
    )
    sound = torch.arange(400_000) / 400_000
    assert backbone.embed(sound, 16_000).shape == (3, 2048)
    assert [len(window) for window in windows] == [160_000] * 3
    assert [int(window[0] * 400_000) for window in windows] == [0, 120_000, 240_000]


@pytest.mark.parametrize(
    ("samples", "sample_rate"), [(160_000, 16_000), (160_080, 16_000), (220_500, 22_050)]
)
def test_ten_seconds_are_embedded_at_once(backbone, monkeypatch, samples, sample_rate):
    short = log_mel(torch.zeros(5000))
    monkeypatch.setattr("clipsonic_cli.metrics.panns.log_mel", lambda *_: short)
    assert backbone.embed(torch.zeros(samples), sample_rate).shape == (1, 2048)


@pytest.mark.parametrize("samples", [torch.zeros(2, 16_000), torch.tensor([0.0, math.nan])])
def test_invalid_samples_are_rejected(backbone, samples):
    with pytest.raises(ValueError, match=r"need finite samples \(N,\)"):
        backbone.embed(samples, 16_000)


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"PANNs.*clipsonic download panns"):
        PannsBackbone.load(CPU)


def test_weights_of_another_network_are_rejected(put):
    put("panns", {"fc1.bias": torch.zeros(2048)})
    with pytest.raises(BadBundle, match="'Cnn14' do not fit"):
        PannsBackbone.load(CPU)


def test_it_is_known_by_the_file_of_its_weights(put, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.metrics.downloaded.build", lambda make, *_, **__: make)
    put("panns", {"fc1.bias": torch.zeros(1)})
    loaded = PannsBackbone.load(CPU)
    assert loaded.identity == bundle.identity(assets.file_of(find("panns")))
    assert not PannsBackbone(loaded.network).identity


@pytest.mark.slow
def test_weights_that_are_here_are_the_ones_at_work(put, backbone, weights):
    put("panns", weights)
    loaded = PannsBackbone.load(CPU)
    assert torch.equal(loaded.embed(crescendo(), 16_000), backbone.embed(crescendo(), 16_000))

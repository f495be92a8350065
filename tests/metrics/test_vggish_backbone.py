import math

import published
import pytest
import torch

from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import VGGish, log_mel_windows, mel_filters
from clipsonic_cli.store import assets, bundle
from clipsonic_cli.store.manifest import find


@pytest.fixture(scope="module")
def backbone():
    network = build(VGGish, published.vggish(), "VGGish")
    return VGGishBackbone(network)


def crescendo():
    return published.wave("sound", 50_000) * torch.linspace(0, 1, 50_000)


def tone(hz, sample_rate, seconds=1.0):
    at = torch.arange(int(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return (0.5 * (2 * math.pi * hz * at).sin()).float()


def test_its_mel_is_that_of_torchvggish():
    """Of the second window, its frames 0, 40 and 95 and their bands 0, 20 and 63."""
    expected = [
        [0.5440347, 1.3195313, 1.7318043],
        [0.7829326, 1.2548153, 2.7352710],
        [0.4106295, 0.4665021, 3.3545623],
    ]
    seen = log_mel_windows(crescendo())
    assert seen.shape == (3, 1, 96, 64)
    torch.testing.assert_close(seen[1, 0, [0, 40, 95]][:, [0, 20, 63]], torch.tensor(expected))


def test_it_gives_what_torchvggish_gives_before_its_last_rectification(backbone):
    expected = [
        [3.105027, -1.110218, -0.084088, -0.702864, -0.339958, -0.282794],
        [3.785106, -1.420675, -1.010084, -2.100324, -0.879628, -0.221925],
    ]
    seen = backbone.embed(crescendo(), 16_000)
    assert seen.shape == (3, backbone.dim)
    torch.testing.assert_close(seen[[0, 2], :6], torch.tensor(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "windows"),
    [
        (0, 0),
        (1, 0),
        (15_599, 0),
        (15_600, 1),
        (30_959, 1),
        (30_960, 2),
        (65_536, 4),
        (160_000, 10),
    ],
)
def test_only_whole_windows_count(samples, windows):
    assert log_mel_windows(torch.zeros(samples)).shape == (windows, 1, 96, 64)


def test_a_sound_shorter_than_a_window_gives_no_row(backbone):
    assert backbone.embed(torch.zeros(15_599), 16_000).shape == (0, 128)


def test_a_window_does_not_depend_on_those_around_it():
    sound = published.wave("long", 20 * 15_360 + 240)
    alone = log_mel_windows(sound[17 * 15_360 :][:15_600])
    assert torch.equal(log_mel_windows(sound)[17:18], alone)


def test_silence_is_the_logarithm_of_the_offset():
    assert (log_mel_windows(torch.zeros(15_600)) == math.log(0.01)).all()


@pytest.mark.parametrize("band", [5, 30, 60])
def test_a_tone_is_loudest_in_the_band_around_it(band):
    low, high = (1127 * math.log1p(hz / 700) for hz in (125, 7500))
    hz = 700 * math.expm1((low + (high - low) * (band + 1) / 65) / 1127)
    mels = log_mel_windows(tone(hz, 16_000))
    assert (mels.argmax(-1) == band).all()


def test_neighbouring_filters_share_each_frequency_between_the_outer_centres():
    filters = mel_filters()
    assert filters.shape == (257, 64)
    inside = filters[5:230].sum(1)  # 156 to 7156 Hz, within the first and the last centre
    torch.testing.assert_close(inside, torch.ones_like(inside))
    assert not filters[:5].any()  # up to 125 Hz


@pytest.mark.parametrize("sample_rate", [22_050, 44_100, 48_000])
def test_other_sample_rates_make_no_difference(sample_rate):
    expected = log_mel_windows(tone(1000, 16_000, 2))
    seen = log_mel_windows(at_rate(tone(1000, sample_rate, 2), sample_rate, 16_000))
    torch.testing.assert_close(seen[1:], expected[1:], atol=0.01, rtol=0)  # the sound has a start


@pytest.mark.parametrize(
    ("samples", "sample_rate", "fault"),
    [
        (torch.zeros(2, 16_000), 16_000, r"need finite samples \(N,\), got \(2, 16000\)"),
        (torch.tensor([0.0, math.nan]), 16_000, "finite"),
        (torch.tensor([math.inf]), 16_000, "finite"),
        (torch.zeros(16_000), 0, "sample rate in Hz, got 0"),
    ],
)
def test_invalid_samples_are_rejected(samples, sample_rate, fault):
    with pytest.raises(ValueError, match=fault):
        VGGishBackbone(None).embed(samples, sample_rate)


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"VGGish.*clipsonic download vggish"):
        VGGishBackbone.load(torch.device("cpu"))


def test_weights_of_another_network_are_rejected(put):
    put("vggish", {"features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(BadBundle, match="'VGGish' do not fit"):
        VGGishBackbone.load(torch.device("cpu"))


def test_it_is_known_by_the_file_of_its_weights(put, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.metrics.downloaded.build", lambda make, *_, **__: make)
    put("vggish", {"features.0.weight": torch.zeros(1)})
    loaded = VGGishBackbone.load(torch.device("cpu"))
    assert loaded.identity == bundle.identity(assets.file_of(find("vggish")))
    assert not VGGishBackbone(loaded.network).identity


@pytest.mark.slow
def test_weights_that_are_here_are_the_ones_at_work(put, backbone):
    put("vggish", published.vggish())
    loaded = VGGishBackbone.load(torch.device("cpu"))
    assert torch.equal(loaded.embed(crescendo(), 16_000), backbone.embed(crescendo(), 16_000))

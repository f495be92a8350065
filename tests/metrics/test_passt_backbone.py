import published
import pytest
import torch

from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.metrics.passt import PasstBackbone
from clipsonic_cli.models import passt
from clipsonic_cli.models.passt import Passt, from_passt, log_mel, mel_filters
from clipsonic_cli.models.state_dict import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    made = PasstBackbone(build(lambda: Passt(24, 2, 3), published.passt(24, 2), "PaSST"))
    made.dim = 24
    return made


def crescendo():
    return published.wave("sound", 100_000) * torch.linspace(0, 1, 100_000)


def padded():
    samples = crescendo() - crescendo().mean()
    return torch.nn.functional.pad(samples, (0, 220_000))


def test_its_mel_is_that_of_the_authors_code():
    """Of the bands 0, 60 and 127 the frames 0, 100, 311 and 999."""
    expected = [
        [-1.284980, -0.820890, -0.157599, -1.402585],
        [-1.131988, 0.971618, 1.415081, -1.402585],
        [-0.334014, 1.934156, 2.376101, -1.402585],
    ]
    seen = log_mel(padded(), mel_filters())
    assert seen.shape == (1, 1, 128, 1000)
    seen = seen[0, 0, [0, 60, 127]][:, [0, 100, 311, 999]]
    torch.testing.assert_close(seen, torch.tensor(expected), atol=1e-4, rtol=0)


def test_it_gives_what_the_authors_network_gives(backbone):
    """PaSST with these weights: the second of what it returns."""
    expected = [-0.750104, -0.216676, -2.442442, -0.937264, 0.081054, 0.241674, 0.076756]
    seen = backbone.embed(crescendo(), 32_000)
    assert seen.shape == (1, 24)
    torch.testing.assert_close(seen[0, :7], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_its_tags_are_the_softmax_of_the_authors_logits(backbone):
    expected = [6.27709e-05, 0.000120307, 0.0053954, 0.0147992, 1.92609e-05, 0.00186194]
    seen = backbone.tag(backbone.embed(crescendo(), 32_000))
    assert seen.shape == (1, 527)
    torch.testing.assert_close(seen[0, :6], torch.tensor(expected), atol=1e-6, rtol=1e-3)
    assert float(seen.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_it_gives_what_the_authors_network_gives_at_its_real_size():
    expected = [3.470390, 0.322633, 3.903343, -0.537819, -0.161829, -0.774888, 1.201128]
    whole = PasstBackbone(build(Passt, from_passt(published.passt()), "PaSST"))
    seen = whole.embed(crescendo(), 32_000)
    torch.testing.assert_close(seen[0, :7], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_constant_part_does_not_matter(backbone):
    there, here = (backbone.embed(crescendo() + shift, 32_000) for shift in (0, 0.25))
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("samples", "sample_rate", "rows"),
    [
        (0, 32_000, 0),
        (1, 32_000, 1),
        (320_160, 32_000, 1),
        (320_161, 32_000, 2),
        (480_000, 32_000, 2),
        (480_200, 32_000, 3),
        (220_500, 22_050, 1),
    ],
)
def test_windows_of_ten_seconds_are_five_apart(backbone, monkeypatch, samples, sample_rate, rows):
    windows = []
    mel = torch.zeros(1, 1, 128, 1000)
    keep = lambda window, _: windows.append(window) or mel  # noqa: E731
    monkeypatch.setattr("clipsonic_cli.metrics.passt.log_mel", keep)
    ramp = torch.arange(samples) / 1e6
    assert backbone.embed(ramp, sample_rate).shape == (rows, 24)
    assert {len(window) for window in windows} <= {320_000}
    if sample_rate == 32_000:
        firsts = [float(window[0] - windows[0][0]) for window in windows]
        assert firsts == pytest.approx([0.16 * index for index in range(rows)], abs=1e-4)


def test_invalid_samples_are_rejected(backbone):
    with pytest.raises(ValueError, match=r"need finite samples \(N,\)"):
        backbone.embed(torch.zeros(2, 16_000), 16_000)


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"PaSST.*clipsonic download passt"):
        PasstBackbone.load(CPU)


def test_weights_of_another_network_are_rejected(put):
    put("passt", {"norm.bias": torch.zeros(passt.DIM)})
    with pytest.raises(BadBundle, match="'Passt' do not fit"):
        PasstBackbone.load(CPU)

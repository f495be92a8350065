import json

import published
import pytest
import torch
from PIL import Image

from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.metrics.wav2clip import Wav2ClipBackbone
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.models.state_dict import load
from clipsonic_cli.models.wav2clip import PUBLISHED, Wav2Clip, spectrogram

CPU = torch.device("cpu")
SMALL = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """The authors' audio tower, with a small CLIP."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-vit-quickgelu.json").write_text(json.dumps(SMALL))
    import_open_clip().add_model_config(folder)
    network = Wav2Clip("tiny-vit-quickgelu").eval().requires_grad_(requires_grad=False)
    theirs = published.wav2clip()
    for part in ("encoder", "transform"):
        begin = PUBLISHED[f"{part}."]
        weights = {n.removeprefix(begin): w for n, w in theirs.items() if n.startswith(begin)}
        weights.pop("spectrogram.window", None)
        load(network.get_submodule(part), weights, part)
    return Wav2ClipBackbone(network)


def crescendo():
    return published.wave("sound", 50_000) * torch.linspace(0, 1, 50_000)


def test_its_spectrogram_is_that_of_the_authors_code():
    """Of the bins 0, 100 and 256 the frames 0, 70 and 141."""
    expected = [
        [-4.307985, 0.870841, 1.068881],
        [-3.880086, 0.454172, 0.961764],
        [-4.905959, 0.351301, 0.606525],
    ]
    seen = spectrogram(crescendo())
    assert seen.shape == (1, 1, 257, 142)
    seen = seen[0, 0, [0, 100, 256]][:, [0, 70, 141]]
    torch.testing.assert_close(seen, torch.tensor(expected), atol=2e-4, rtol=0)


def test_it_gives_what_the_authors_network_gives(backbone):
    """ResNetExtractor with these weights."""
    expected = [-53.44735, -63.390949, 18.558729, -12.45325, -41.172596, 33.475365, 35.623672]
    seen = backbone.embed(crescendo(), 16_000)
    assert seen.shape == (1, 512)
    torch.testing.assert_close(seen[0, :7], torch.tensor(expected), atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize(("samples", "rows"), [(0, 0), (256, 0), (257, 1)])
def test_sounds_shorter_than_half_a_frame_give_no_row(backbone, samples, rows):
    assert backbone.embed(torch.zeros(samples), 16_000).shape == (rows, 512)


def test_images_are_embedded_one_by_one(backbone, tmp_path):
    paths = []
    for index in range(34):  # more than a batch
        paths.append(tmp_path / f"{index}.png")
        Image.new("RGB", (40 + index, 30), (7 * index, 90, 255 - 7 * index)).save(paths[-1])
    rows = backbone.embed_images(paths)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(34))
    torch.testing.assert_close(rows[33], backbone.embed_images(paths[33:])[0], atol=1e-4, rtol=1e-4)
    assert backbone.embed_images([]).shape == (0, 512)


def test_a_file_that_is_no_image_is_rejected(backbone, tmp_path):
    (tmp_path / "a.png").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"a\.png"):
        backbone.embed_images([tmp_path / "a.png"])


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"Wav2CLIP.*clipsonic download wav2clip"):
        Wav2ClipBackbone.load(CPU)


def test_weights_of_another_network_are_rejected(put):
    put("wav2clip", {"transform.0.bias": torch.zeros(512)})
    with pytest.raises(BadBundle, match="'Wav2Clip' do not fit"):
        Wav2ClipBackbone.load(CPU)

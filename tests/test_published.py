"""Files as their publishers have them, through the adapters, into parts that work."""

import json

import published as files
import published_audiobox
import published_clap
import pytest
import torch
from safetensors.torch import save_file

from clipsonic_cli import published
from clipsonic_cli.encoders.clap import load_clap
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.audiobox import Audiobox
from clipsonic_cli.models.clap import ClapConfig
from clipsonic_cli.models.panns import Cnn14
from clipsonic_cli.models.passt import Passt
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import VGGish
from clipsonic_cli.models.wav2clip import Wav2Clip
from clipsonic_cli.store import bundle
from clipsonic_cli.store.manifest import ASSETS


def convert(name, folder):
    """Convert the files of a folder, and return what is read back."""
    row = ASSETS[name]
    made = published.CONVERSIONS[name]({file.name: folder / file.name for file in row.files})
    bundle.write(folder / "made.safetensors", made)
    back = bundle.load(folder / "made.safetensors", kind=made.header.kind)
    assert back.header.meta["licence"] == row.licence
    return back


def test_every_asset_that_plays_a_part_is_converted():
    assert set(published.CONVERSIONS) == {row.name for row in ASSETS.values() if row.part}


def test_a_prior_of_any_size_becomes_one_for_openais_clip(tmp_path):
    state = files.laion_prior(dim=64, depth=1, heads=2, max_text_len=8)
    torch.save(state, tmp_path / "best.pth")
    made = convert("conditioned-prior", tmp_path)
    assert made.header.config.attention == "softmax_bias128"
    assert made.header.encoder == published.OPENAI_CLIP
    assert made.header.meta["asset"] == "conditioned-prior"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: None,
        lambda state: [1],
        lambda state: state | {1: torch.ones(1)},
        lambda state: {name: tensor.to_sparse() for name, tensor in state.items()},
        lambda state: {name: tensor.to(torch.int8) for name, tensor in state.items()},
        lambda state: state | {"net.null_text_embed": torch.ones(1, 1, 1).expand(1, 10**6, 64)},
    ],
)
def test_a_file_of_other_things_than_weights_is_no_prior(tmp_path, change):
    state = files.laion_prior(dim=64, depth=1, heads=2, max_text_len=8)
    torch.save(change(state), tmp_path / "best.pth")
    with pytest.raises(BadBundle):
        convert("conditioned-prior", tmp_path)


@pytest.mark.parametrize("read", [None, 3, [1]])
def test_a_file_of_other_things_than_weights_is_no_vggish(tmp_path, read):
    for file in ASSETS["vggish"].files:
        torch.save(read, tmp_path / file.name)
    with pytest.raises(BadBundle):
        convert("vggish", tmp_path)


@pytest.mark.parametrize("read", [None, 3, {"model": {}}, {"model": {"fc1.bias": 1}}])
def test_a_file_of_other_things_than_weights_is_no_cnn14(tmp_path, read):
    torch.save(read, tmp_path / ASSETS["panns"].files[0].name)
    with pytest.raises(BadBundle):
        convert("panns", tmp_path)


@pytest.mark.parametrize("read", [None, 3, {}, {"norm.bias": 1}])
def test_a_file_of_other_things_than_weights_is_no_passt(tmp_path, read):
    torch.save(read, tmp_path / ASSETS["passt"].files[0].name)
    with pytest.raises(BadBundle):
        convert("passt", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_damaged_description_is_no_audiobox(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(BadBundle):
        convert("audiobox", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_cfg": 1}'])
def test_a_clip_with_a_damaged_description_is_rejected(tmp_path, text):
    (tmp_path / "open_clip_config.json").write_text(text)
    save_file({"x": torch.ones(1)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(BadBundle):
        convert("openai-clip", tmp_path)


@pytest.mark.slow
def test_openais_clip_at_its_real_size(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps(files.CLIP_CONFIG))
    save_file(files.openai_clip(), tmp_path / "open_clip_model.safetensors")
    clip = load_clip(convert("openai-clip", tmp_path))
    embed, encodings = clip.embed_text(["a photo of violin"])
    assert embed.shape == (1, 768)
    assert encodings.shape == (1, 77, 768)
    assert torch.isfinite(embed).all()


@pytest.mark.slow
def test_laions_prior_at_its_real_size(tmp_path):
    torch.save(files.laion_prior(), tmp_path / "latest.pth")
    made = convert("laion-prior", tmp_path)
    assert sum(w.numel() for w in made.weights.values()) > 100e6
    assert (made.header.config.depth, made.header.config.heads) == (12, 12)


@pytest.mark.slow
def test_vggish_at_its_real_size(tmp_path):
    torch.save(files.vggish(), tmp_path / "vggish-10086976.pth")
    torch.save(files.vggish_pca(), tmp_path / "vggish_pca_params-970ea276.pth")
    network = VGGish()
    network.load_state_dict(dict(convert("vggish", tmp_path).weights))
    assert torch.isfinite(network(torch.zeros(1, 1, 96, 64))).all()


@pytest.mark.slow
def test_cnn14_at_its_real_size(tmp_path):
    torch.save(files.panns(), tmp_path / ASSETS["panns"].files[0].name)
    network = Cnn14().eval()
    network.load_state_dict(dict(convert("panns", tmp_path).weights))
    assert torch.isfinite(network(torch.zeros(1, 1, 32, 64))).all()


@pytest.mark.slow
def test_passt_at_its_real_size(tmp_path):
    torch.save(files.passt(), tmp_path / ASSETS["passt"].files[0].name)
    network = Passt().eval()
    network.load_state_dict(dict(convert("passt", tmp_path).weights))
    assert torch.isfinite(network(torch.zeros(1, 1, 128, 1000))).all()


@pytest.mark.slow
def test_wav2clip_at_its_real_size(tmp_path):
    torch.save(files.wav2clip(), tmp_path / "Wav2CLIP.pt")
    described = files.CLIP_CONFIG | {"model_cfg": files.VIT_B_32}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(described))
    save_file(files.openai_clip(files.VIT_B_32), tmp_path / "open_clip_model.safetensors")
    network = build(Wav2Clip, convert("wav2clip", tmp_path).weights, "Wav2CLIP")
    assert network(torch.zeros(1, 1, 257, 9)).shape == (1, 512)
    assert float(network.encode_image(torch.zeros(1, 3, 224, 224)).norm()) == pytest.approx(1)


@pytest.mark.slow
def test_audiobox_aesthetics_at_its_real_size(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(published_audiobox.DESCRIBED, indent=2))
    save_file(published_audiobox.audiobox(), tmp_path / "model.safetensors")
    sizes = {file.name: file.bytes for file in ASSETS["audiobox"].files}
    assert (tmp_path / "model.safetensors").stat().st_size == sizes["model.safetensors"]
    network = build(Audiobox, convert("audiobox", tmp_path).weights, "Audiobox Aesthetics")
    scores = network(torch.zeros(1, 160_000), torch.tensor([64_000]))
    assert torch.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "spell"),
    [
        (
            "clap",
            "630k-audioset-fusion-best.pt",
            lambda clap: published_clap.in_laions_spelling(clap, ClapConfig()),
        ),
        ("clap-transformers", "pytorch_model.bin", published_clap.in_transformers_spelling),
    ],
)
def test_clap_at_its_real_size(tmp_path, name, file, spell):
    network = published_clap.random_clap(ClapConfig())
    torch.save(spell(network), tmp_path / file)
    (tmp_path / "tokenizer.json").write_text(published_clap.tokenizer().to_str())
    clap = load_clap(convert(name, tmp_path))
    assert clap.embed_text(["the sound of violin"]).shape == (1, 512)

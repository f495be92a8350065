import shutil

import pytest
import torch
from published import bigvgan, improved_diffusion

from clipsonic_cli.config import DiffusionConfig, MelSpec, UNetConfig, VocoderConfig
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.models.vocos import Vocos
from clipsonic_cli.store import assets, bundle
from clipsonic_cli.training.warm_start import find_warm_start, start_with

TINY = UNetConfig(channels=32, channel_mult=(1, 1, 1, 1), num_res_blocks=1, cond_dim=32)
MEL = torch.linspace(-5, 1, 64 * 4).view(1, 1, 64, 4)


def tiny_vocoder(channels=16):
    return BigVGAN(
        VocoderConfig(
            channels=channels,
            upsample_rates=(8, 8, 8),
            upsample_kernel_sizes=(16, 16, 16),
        ),
        MelSpec(),
    )


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Put published weights on this machine: returns the warm start they are."""
    path = tmp_path / "weights.pt"
    monkeypatch.setattr(assets, "file_of", lambda _asset: path)

    def published(name, stage, weights=None):
        torch.save(weights or {}, path)
        return find_warm_start(name, stage, "clip-image")

    return published


@pytest.fixture
def micro_sd(micro, tmp_path):
    """The micro model with its prior as a supervised one too."""
    shutil.copytree(micro, tmp_path / "model")
    shutil.copy(micro / "prior.safetensors", tmp_path / "model" / "prior-sd.safetensors")
    return tmp_path / "model"


@pytest.mark.parametrize("part", ["unet", "prior-sd", "vocoder"])
def test_a_model_gives_the_file_of_its_part(micro_sd, part):
    start = find_warm_start(str(micro_sd), part.removesuffix("-sd"), "clip-image")
    header = bundle.read_header(micro_sd / f"{part}.safetensors")
    assert start.path == micro_sd / f"{part}.safetensors"
    assert (start.network, start.diffusion) == (header.config, header.diffusion)


@pytest.mark.parametrize(
    ("name", "stage", "space", "error", "reason"),
    [
        ("nowhere", "unet", "clip-image", UsageError, "no model 'nowhere'"),
        ("openai-clip", "unet", "clip-image", UsageError, "Published ones: improved-diffusion"),
        ("bigvgan-44k", "unet", "clip-image", UsageError, "not a warm start for the stage 'unet'"),
        ("laion-prior", "prior", "clip-image", UsageError, "Published ones: none"),
        ("improved-diffusion", "unet", "clip-image", MissingWeights, "clipsonic download improved"),
        ("bigvgan-44k", "vocoder", "clip-image", MissingWeights, "clipsonic download bigvgan"),
    ],
)
def test_what_is_no_start_is_reported(name, stage, space, error, reason):
    with pytest.raises(error, match=reason):
        find_warm_start(name, stage, space)


def test_a_unet_for_texts_begins_with_the_one_for_frames_where_there_is_no_other(micro, tmp_path):
    start = find_warm_start(str(micro), "unet", "clip-text")
    assert start.path == micro / "unet.safetensors"
    shutil.copy(micro / "unet.safetensors", tmp_path / "unet-clip-text.safetensors")
    start = find_warm_start(str(tmp_path), "unet", "clip-text")
    assert start.path == tmp_path / "unet-clip-text.safetensors"
    (tmp_path / "unet-clip-text.safetensors").rename(tmp_path / "prior.safetensors")
    with pytest.raises(UsageError, match="has no unet-clip-text to begin with"):
        find_warm_start(str(tmp_path), "unet", "clip-text")


def test_a_file_of_another_stage_is_rejected(micro, tmp_path):
    shutil.copy(micro / "unet.safetensors", tmp_path / "prior-sd.safetensors")
    with pytest.raises(BadBundle, match="holds a unet, with which no prior"):
        find_warm_start(str(tmp_path), "prior", "clip-image")


@pytest.mark.parametrize(
    ("name", "stage", "network", "diffusion"),
    [
        ("improved-diffusion", "unet", UNetConfig(), DiffusionConfig()),
        ("bigvgan-44k", "vocoder", VocoderConfig(), None),
    ],
)
def test_published_weights_are_of_the_papers_networks(name, stage, network, diffusion, published):
    start = published(name, stage)
    assert (start.network, start.diffusion, start.published) == (network, diffusion, True)


def test_a_network_gets_a_models_weights(micro):
    start = find_warm_start(str(micro), "unet", "clip-image")
    unet = UNet(start.network)
    start_with(unet, start)
    weights = bundle.load(start.path, kind="unet").weights
    assert all(torch.equal(w, weights[name]) for name, w in unet.state_dict().items())


def test_a_vocos_gets_a_models_weights(micro_vocos):
    start = find_warm_start(str(micro_vocos), "vocoder", "clip-image")
    vocoder = Vocos(start.network, MelSpec())
    start_with(vocoder, start)
    weights = bundle.load(start.path, kind="vocoder").weights
    assert all(torch.equal(w, weights[name]) for name, w in vocoder.state_dict().items())


def test_a_weight_normed_vocoder_stays_so_and_sounds_like_the_model(micro):
    start = find_warm_start(str(micro), "vocoder", "clip-image")
    plain = BigVGAN(start.network, MelSpec())
    plain.load_state_dict(dict(bundle.load(start.path, kind="vocoder").weights))
    vocoder = BigVGAN(plain.config, MelSpec())
    vocoder.add_weight_norm()
    names = vocoder.state_dict().keys()
    start_with(vocoder, start)
    assert vocoder.state_dict().keys() == names
    torch.testing.assert_close(vocoder(MEL), plain(MEL))


def test_a_misfit_is_one_line(micro):
    with pytest.raises(BadBundle, match="do not fit its network") as caught:
        start_with(UNet(TINY), find_warm_start(str(micro), "unet", "clip-image"))
    assert "\n" not in str(caught.value)


def test_an_image_unet_becomes_the_trunk(published):
    weights = improved_diffusion(channels=32, blocks=1, levels=(1, 1, 1, 1))
    unet = UNet(TINY)
    cond = unet.cond_proj.weight.clone()
    start_with(unet, published("improved-diffusion", "unet", weights))
    state = unet.state_dict()
    name = "middle_block.0.in_layers.2.weight"
    assert torch.equal(state[name], weights[name])
    stem = "input_blocks.0.0.weight"
    torch.testing.assert_close(state[stem], weights[stem].sum(1, keepdim=True))
    assert torch.equal(state["cond_proj.weight"], cond)


def test_nvidias_generator_for_other_mels_becomes_a_weight_normed_start(published):
    theirs = bigvgan(bands=128, channels=16, rates=(8, 8, 8))
    vocoder = tiny_vocoder()
    vocoder.add_weight_norm()
    names = vocoder.state_dict().keys()
    start_with(vocoder, published("bigvgan-44k", "vocoder", theirs))
    assert vocoder.state_dict().keys() == names
    alpha = "resblocks.0.activations.0.act.alpha"
    assert torch.equal(vocoder.state_dict()[alpha], theirs["generator"][alpha])


@pytest.mark.parametrize(
    ("name", "stage", "network", "weights"),
    [
        (
            "improved-diffusion",
            "unet",
            lambda: UNet(TINY),
            lambda: improved_diffusion(channels=32, blocks=2, levels=(1, 1)),
        ),
        ("bigvgan-44k", "vocoder", tiny_vocoder, lambda: bigvgan(channels=32, rates=(8, 8, 8))),
    ],
)
def test_published_weights_of_another_size_are_rejected(published, name, stage, network, weights):
    start = published(name, stage, weights())
    with pytest.raises(BadBundle, match=r"32 channels|16 channels"):
        start_with(network(), start)

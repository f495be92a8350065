import pytest
import torch
from published import bigvgan, improved_diffusion

from clipsonic_cli.config import DiffusionConfig, MelSpec, UNetConfig, VocoderConfig
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.store import bundle
from clipsonic_cli.training.warm_start import find_start, read_start, start_with

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


@pytest.mark.parametrize("part", ["unet", "prior", "vocoder"])
def test_a_model_gives_the_file_of_its_part(micro, part):
    assert find_start(str(micro), part, part) == micro / f"{part}.safetensors"


@pytest.mark.parametrize(
    ("name", "stage", "part", "error", "reason"),
    [
        ("nowhere", "unet", "unet", UsageError, "no model 'nowhere'"),
        ("mini", "unet", "unet-clip-text", UsageError, "'mini' has no unet-clip-text"),
        ("openai-clip", "unet", "unet", UsageError, "Published ones: improved-diffusion"),
        ("bigvgan-44k", "unet", "unet", UsageError, "no warm start for the stage 'unet'"),
        ("laion-prior", "prior", "prior-sd", UsageError, "Published ones: none"),
        ("improved-diffusion", "unet", "unet", MissingWeights, "clipsonic download improved"),
        ("bigvgan-44k", "vocoder", "vocoder", MissingWeights, "clipsonic download bigvgan"),
    ],
)
def test_what_is_no_start_is_told(name, stage, part, error, reason):
    with pytest.raises(error, match=reason):
        find_start(name, stage, part)


def test_a_models_file_says_what_it_holds(micro):
    begun = read_start(micro / "unet.safetensors", "unet")
    header = bundle.read_header(micro / "unet.safetensors")
    assert (begun.network, begun.diffusion) == (header.config, header.diffusion)
    with pytest.raises(BadBundle, match="holds a unet, with which no prior"):
        read_start(micro / "unet.safetensors", "prior")


def test_published_weights_are_of_the_papers_networks(tmp_path):
    path = tmp_path / "weights.pt"
    assert read_start(path, "unet").network == UNetConfig()
    assert read_start(path, "unet").diffusion == DiffusionConfig()
    assert read_start(path, "vocoder").network == VocoderConfig()


def test_a_network_gets_a_models_weights(micro):
    path = micro / "unet.safetensors"
    unet = UNet(bundle.read_header(path).config)
    start_with(unet, path)
    weights = bundle.load(path, kind="unet").weights
    assert all(torch.equal(w, weights[name]) for name, w in unet.state_dict().items())


def test_a_weight_normed_vocoder_stays_so_and_sounds_like_the_model(micro):
    path = micro / "vocoder.safetensors"
    plain = BigVGAN(bundle.read_header(path).config, MelSpec())
    plain.load_state_dict(dict(bundle.load(path, kind="vocoder").weights))
    vocoder = BigVGAN(plain.config, MelSpec())
    vocoder.add_weight_norm()
    names = vocoder.state_dict().keys()
    start_with(vocoder, path)
    assert vocoder.state_dict().keys() == names
    torch.testing.assert_close(vocoder(MEL), plain(MEL))


def test_a_misfit_is_one_line(micro):
    with pytest.raises(BadBundle, match="another network than is trained here") as caught:
        start_with(UNet(TINY), micro / "prior.safetensors")
    assert "\n" not in str(caught.value)


def test_a_picture_unet_becomes_the_trunk(tmp_path):
    weights = improved_diffusion(channels=32, blocks=1, levels=(1, 1, 1, 1))
    torch.save(weights, tmp_path / "unet.pt")
    unet = UNet(TINY)
    cond = unet.cond_proj.weight.clone()
    start_with(unet, tmp_path / "unet.pt")
    state = unet.state_dict()
    name = "middle_block.0.in_layers.2.weight"
    assert torch.equal(state[name], weights[name])
    stem = "input_blocks.0.0.weight"
    torch.testing.assert_close(state[stem], weights[stem].sum(1, keepdim=True))
    assert torch.equal(state["cond_proj.weight"], cond)


def test_nvidias_generator_for_other_mels_becomes_a_weight_normed_start(tmp_path):
    theirs = bigvgan(bands=128, channels=16, rates=(8, 8, 8))
    torch.save(theirs, tmp_path / "generator.pt")
    vocoder = tiny_vocoder()
    vocoder.add_weight_norm()
    names = vocoder.state_dict().keys()
    start_with(vocoder, tmp_path / "generator.pt")
    assert vocoder.state_dict().keys() == names
    alpha = "resblocks.0.activations.0.act.alpha"
    assert torch.equal(vocoder.state_dict()[alpha], theirs["generator"][alpha])


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        (lambda: UNet(TINY), lambda: improved_diffusion(channels=32, blocks=2, levels=(1, 1))),
        (tiny_vocoder, lambda: bigvgan(channels=32, rates=(8, 8, 8))),
    ],
)
def test_published_weights_of_another_size_are_refused(tmp_path, network, weights):
    torch.save(weights(), tmp_path / "weights.pt")
    with pytest.raises(BadBundle, match=r"32 channels|16 channels"):
        start_with(network(), tmp_path / "weights.pt")

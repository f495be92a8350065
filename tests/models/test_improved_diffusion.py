import published
import pytest
import torch

from clipsonic_cli.config import UNetConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.improved_diffusion import load_trunk
from clipsonic_cli.models.unet import UNet

SMALL = UNetConfig(channels=32, num_res_blocks=1, cond_dim=16)
OURS = {"cond_proj.weight", "cond_proj.bias", "null_cond"}


def picture_weights(config=SMALL, learn_sigma=True):
    """A state dict as improved-diffusion saves it: three colours in, 3 or 6 channels out."""
    return published.improved_diffusion(
        config.channels, config.num_res_blocks, learn_sigma=learn_sigma
    )


def test_every_weight_of_the_trunk_is_taken_over():
    unet, weights = UNet(SMALL), picture_weights()
    load_trunk(unet, weights)
    changed = {"input_blocks.0.0.weight", "out.2.weight", "out.2.bias"}
    loaded = unet.state_dict()
    assert loaded.keys() == weights.keys() | OURS
    assert all(torch.equal(loaded[k], v) for k, v in weights.items() if k not in changed)


@pytest.mark.slow
def test_the_real_file_starts_the_papers_network():
    weights = published.improved_diffusion()
    assert len(weights) == 450
    assert sum(w.numel() for w in weights.values()) == 121_063_942
    unet = UNet(UNetConfig())
    load_trunk(unet, weights)
    assert unet.state_dict().keys() == weights.keys() | OURS
    last = "output_blocks.15.0.out_layers.3.weight"
    assert torch.equal(unet.state_dict()[last], weights[last])


def test_the_condition_is_left_alone():
    unet = UNet(SMALL)
    before = {k: v.clone() for k, v in unet.state_dict().items() if k in OURS}
    load_trunk(unet, picture_weights())
    assert all(torch.equal(unet.state_dict()[k], v) for k, v in before.items())


def test_the_first_convolution_answers_a_mel_as_it_answered_a_grey_image():
    unet, weights = UNet(SMALL), picture_weights()
    load_trunk(unet, weights)
    mel = torch.randn(1, 1, 8, 8)
    grey = torch.nn.functional.conv2d(
        mel.expand(1, 3, 8, 8),
        weights["input_blocks.0.0.weight"],
        weights["input_blocks.0.0.bias"],
        padding=1,
    )
    torch.testing.assert_close(unet.input_blocks[0][0](mel), grey, atol=1e-4, rtol=1e-5)


def test_the_last_convolution_averages_predictions_and_variances_over_the_colours():
    unet, weights = UNet(SMALL), picture_weights()
    load_trunk(unet, weights)
    h = torch.randn(1, SMALL.channels, 8, 8)
    colours = torch.nn.functional.conv2d(
        h, weights["out.2.weight"], weights["out.2.bias"], padding=1
    )
    prediction, variance = colours[:, :3].mean(1), colours[:, 3:].mean(1)
    expected = torch.stack([prediction, variance], dim=1)
    torch.testing.assert_close(unet.out[2](h), expected, atol=1e-4, rtol=1e-5)


def test_a_class_conditional_checkpoint_loses_only_its_class_embedding():
    plain, classed, weights = UNet(SMALL), UNet(SMALL), picture_weights()
    load_trunk(plain, weights)
    load_trunk(classed, weights | {"label_emb.weight": torch.randn(1000, 128)})
    ours = plain.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in classed.state_dict().items() if k not in OURS)


def test_a_fixed_variance_checkpoint_fits_a_fixed_variance_network():
    config = UNetConfig(channels=32, num_res_blocks=1, cond_dim=16, learn_variance=False)
    unet, weights = UNet(config), picture_weights(config, learn_sigma=False)
    load_trunk(unet, weights)
    torch.testing.assert_close(unet.out[2].bias, weights["out.2.bias"].mean(0, keepdim=True))


def test_missing_and_unexpected_keys_are_all_named():
    weights = picture_weights()
    del weights["time_embed.0.bias"], weights["middle_block.1.qkv.weight"]
    weights["low_res.weight"] = torch.zeros(1)
    with pytest.raises(BadBundle) as caught:
        load_trunk(UNet(SMALL), weights)
    message = str(caught.value)
    for fault in ("missing time_embed.0.bias", "missing middle_block.1.qkv.weight"):
        assert fault in message
    assert "unexpected low_res.weight" in message
    assert "\n" not in message


def test_another_width_is_rejected_and_nothing_is_changed():
    unet = UNet(SMALL)
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    wider = picture_weights(UNetConfig(channels=64, num_res_blocks=1, cond_dim=16))
    with pytest.raises(BadBundle, match=r"time_embed\.0\.weight is \(256, 64\) where \(128, 32\)"):
        load_trunk(unet, wider)
    assert all(torch.equal(v, before[k]) for k, v in unet.state_dict().items())


def test_a_checkpoint_without_learned_variance_is_rejected_where_one_is_learned():
    with pytest.raises(BadBundle, match=r"out\.2\.bias is \(3,\) where \(6,\) is needed"):
        load_trunk(UNet(SMALL), picture_weights(learn_sigma=False))

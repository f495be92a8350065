import math

import pytest
import torch

from clipsonic_cli.config import StudentConfig, UNetConfig
from clipsonic_cli.models.unet import (
    AttentionBlock,
    ResBlock,
    UNet,
    Upsample,
    begin_as_student,
    sinusoids,
)

SMALL = UNetConfig(channels=32, num_res_blocks=1, cond_dim=16)


@pytest.fixture(scope="module")
def unet():
    """A small U-Net without zero weights, so that every path of it shows in the output."""
    network = UNet(SMALL).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05, generator=generator)
    return network


def inputs(batch=2, frames=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_t = torch.randn(batch, 1, 16, frames, generator=generator)
    time = 999 * torch.rand(batch, generator=generator)
    cond = torch.randn(batch, SMALL.cond_dim, generator=generator)
    return x_t, time, torch.nn.functional.normalize(cond, dim=-1)


def test_the_paper_model_has_improved_diffusions_size_and_a_condition():
    with torch.device("meta"):
        network = UNet(UNetConfig())
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    ours = {"cond_proj.weight": 768 * 512, "cond_proj.bias": 512, "null_cond": 768}
    assert {name: sizes.pop(name) for name in ours} == ours
    assert len(sizes) == 450
    assert sum(sizes.values()) == 121_057_026


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (UNetConfig(learn_variance=False), 121_055_873),
        (UNetConfig(num_res_blocks=2), 92_022_274),
        (UNetConfig(channels=192), 272_270_978),
    ],
)
def test_other_published_sizes_agree(config, parameters):
    with torch.device("meta"):
        network = UNet(config)
    condition = sum(p.numel() for p in network.cond_proj.parameters()) + config.cond_dim
    assert sum(p.numel() for p in network.parameters()) - condition == parameters


def test_parameters_have_the_checkpoints_names():
    with torch.device("meta"):
        names = UNet(UNetConfig()).state_dict().keys()
    expected = """time_embed.2.bias input_blocks.0.0.weight input_blocks.4.0.op.weight
        input_blocks.5.0.skip_connection.weight input_blocks.9.1.qkv.weight
        middle_block.1.proj_out.bias output_blocks.3.2.conv.weight output_blocks.7.2.conv.bias
        output_blocks.11.1.conv.weight output_blocks.15.0.emb_layers.1.weight out.2.bias"""
    assert set(expected.split()) <= names


def test_times_are_embedded_as_cosines_then_sines():
    embed = sinusoids(torch.tensor([0.0, 3.5]), 8)
    angles = [3.5 * 10_000 ** (-i / 4) for i in range(4)]
    expected = [[1.0] * 4 + [0.0] * 4, [*map(math.cos, angles), *map(math.sin, angles)]]
    torch.testing.assert_close(embed, torch.tensor(expected))


def test_attention_splits_channels_by_head_first():
    block = AttentionBlock(64, num_heads=4)
    torch.nn.init.normal_(block.proj_out.weight)
    x = torch.randn(2, 64, 3, 5)
    qkv = block.qkv(block.norm(x).flatten(2))  # (2, 192, 15): for each head 16 of q, of k, of v
    heads = []
    for head in qkv.split(48, dim=1):
        q, k, v = head.split(16, dim=1)
        weights = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(16), dim=-1)
        heads.append(torch.einsum("bts,bcs->bct", weights, v))
    expected = x + block.proj_out(torch.cat(heads, dim=1)).view_as(x)
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_the_embedding_scales_and_shifts_the_second_norm():
    block = ResBlock(32, 64, embed_dim=8, dropout=0.0)
    torch.nn.init.normal_(block.out_layers[3].weight)
    x, embed = torch.randn(2, 32, 4, 4), torch.randn(2, 8)
    scale, shift = block.emb_layers(embed).view(2, 2, 64, 1, 1).unbind(1)
    h = block.out_layers[0](block.in_layers(x)) * (1 + scale) + shift
    expected = block.skip_connection(x) + block.out_layers[3](torch.nn.functional.silu(h))
    torch.testing.assert_close(block(x, embed), expected, atol=1e-5, rtol=1e-5)


def test_a_new_network_predicts_zero():
    assert not UNet(SMALL)(*inputs()).any()


def test_the_null_condition_starts_with_about_unit_norm():
    config = UNetConfig(channels=32, num_res_blocks=1, cond_dim=10_000)
    assert UNet(config).null_cond.norm().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("learn_variance", [True, False])
@pytest.mark.parametrize("frames", [8, 24])
def test_the_output_is_as_wide_as_the_mel(learn_variance, frames):
    config = UNetConfig(channels=32, num_res_blocks=1, cond_dim=16, learn_variance=learn_variance)
    x_t, time, cond = inputs(frames=frames)
    assert UNet(config)(x_t, time, cond).shape == (2, 1 + learn_variance, 16, frames)


def test_time_and_condition_matter(unet):
    x_t, time, cond = inputs()
    with torch.no_grad():
        out = unet(x_t, time, cond)
        later = unet(x_t, time + 1, cond)
        uncond = unet(x_t, time, unet.null_cond.expand(2, -1))
    assert (out - later).abs().max() > 1e-4
    assert (out - uncond).abs().max() > 1e-4


def test_samples_of_a_batch_do_not_meet(unet):
    x_t, time, cond = inputs(batch=3)
    with torch.no_grad():
        together = unet(x_t, time, cond)
        alone = unet(x_t[1:2], time[1:2], cond[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


def test_channels_last_gives_the_same(unet):
    x_t, time, cond = inputs()
    other = UNet(SMALL).eval().to(memory_format=torch.channels_last)
    other.load_state_dict(unet.state_dict())
    with torch.no_grad():
        expected, seen = unet(x_t, time, cond), other(x_t, time, cond)
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 2, 2), (2, 8, 5, 6)])
def test_upsampling_without_gradients_is_repetition_and_convolution(shape):
    upsample = Upsample(8)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = upsample.conv(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    torch.testing.assert_close(upsample(x), expected, atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(upsample(x), expected, atol=1e-5, rtol=0)


def test_bfloat16_weights_and_autocast_stay_near_float32(unet):
    x_t, time, cond = inputs()
    half = UNet(SMALL).eval()
    half.load_state_dict(unet.state_dict())
    with torch.no_grad():
        expected = unet(x_t, time, cond)
        with torch.autocast("cpu", torch.bfloat16):
            autocast = unet(x_t, time, cond)
        whole = half.to(torch.bfloat16)(x_t, time, cond)
    for seen in (autocast, whole):
        assert seen.dtype == torch.float32
        assert (seen - expected).std() < 0.03 * expected.std()


def test_every_parameter_learns(unet):
    x_t, time, cond = inputs()
    cond = torch.cat([cond[:1], unet.null_cond[None]])
    gradients = torch.autograd.grad(unet(x_t, time, cond).square().mean(), unet.parameters())
    assert all(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 1, 16, 20), (2,), (2, 16)), "multiples of 8"),
        (((2, 1, 12, 16), (2,), (2, 16)), "multiples of 8"),
        (((2, 2, 16, 16), (2,), (2, 16)), r"\(B, 1, F, T\)"),
        (((2, 16, 16), (2,), (2, 16)), r"\(B, 1, F, T\)"),
        (((2, 1, 16, 16), (2, 1), (2, 16)), r"time must be \(2,\)"),
        (((2, 1, 16, 16), (2,), (1, 16)), r"cond must be \(2, 16\)"),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(unet, shapes, message):
    x_t, time, cond = map(torch.zeros, shapes)
    with pytest.raises(ValueError, match=message):
        unet(x_t, time, cond)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (UNetConfig(channels=48), "multiples of 32"),
        (UNetConfig(channels=32, num_heads=5), "num_heads 5 does not divide"),
    ],
)
def test_widths_that_do_not_divide_are_rejected(config, message):
    with pytest.raises(ValueError, match=message):
        UNet(config)


def test_a_student_begins_as_the_unet_it_learns_from_whatever_w(unet):
    student = UNet(StudentConfig(channels=32, num_res_blocks=1, cond_dim=16)).eval()
    student.load_state_dict(begin_as_student(student, unet.state_dict()))
    with torch.no_grad():
        expected = unet(*inputs())[:, :1]
        for w in (0.0, 1.5, 4.0):
            torch.testing.assert_close(student(*inputs(), torch.full((2,), w)), expected)


def test_a_student_reads_w_and_no_other_unet_does(unet):
    student = UNet(StudentConfig(channels=32, num_res_blocks=1, cond_dim=16)).eval()
    student.load_state_dict(begin_as_student(student, unet.state_dict()))
    with torch.no_grad():
        torch.nn.init.normal_(student.guidance_embed[2].weight, std=0.1)
        one, other = student(*inputs(), torch.tensor([1.0, 3.0]))
        same, _ = student(*inputs(), torch.tensor([1.0, 1.0]))
        changed = student(*inputs(), torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(one, same)
    torch.testing.assert_close(other, changed[1])
    assert not torch.allclose(one, changed[0])
    with pytest.raises(ValueError, match="a student reads guidance"):
        unet(*inputs(), torch.ones(2))
    with pytest.raises(ValueError, match="a student reads guidance"):
        student(*inputs())
    with pytest.raises(ValueError, match=r"guidance must be \(2,\)"):
        student(*inputs(), torch.ones(3))

import torch
from torch.nn.functional import normalize
from warm_start import reading, same_weights

from clipsonic_cli.config import UNetConfig
from clipsonic_cli.models.unet import UNet


def test_a_unet_reads_turned_vectors_as_it_read_the_old_ones():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = UNet(UNetConfig(channels=32, channel_mult=(1, 1), num_res_blocks=1, cond_dim=16))
    old = normalize(torch.randn(64, 16, generator=generator), dim=1)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    weights = reading(network.state_dict(), old, old @ turn)
    for name in ("weight", "bias"):  # the last layer begins as zero
        weights[f"out.2.{name}"] = torch.randn(network.out[2].state_dict()[name].shape)
    other = UNet(network.config)
    other.load_state_dict(weights)
    with torch.no_grad():
        network.out[2].weight.copy_(weights["out.2.weight"])
        network.out[2].bias.copy_(weights["out.2.bias"])
    x, time = torch.randn(3, 1, 16, 16, generator=generator), torch.tensor([1.0, 400.0, 900.0])

    def outputs(unet: UNet, rows: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            conditions = torch.stack([*rows[:2], unet.null_cond])
            return unet(x, time, conditions)

    torch.testing.assert_close(
        outputs(other, old @ turn), outputs(network, old), rtol=1e-4, atol=1e-4
    )


def test_vectors_of_another_size_are_read_alike():
    generator = torch.Generator().manual_seed(1)
    network = UNet(UNetConfig(channels=32, channel_mult=(1,), num_res_blocks=1, cond_dim=8))
    old = normalize(torch.randn(64, 8, generator=generator), dim=1)
    new = torch.cat([old, torch.zeros(64, 8)], dim=1)
    weights = reading(network.state_dict(), old, new)
    read = 16**0.5 * new @ weights["cond_proj.weight"].T
    torch.testing.assert_close(
        read, 8**0.5 * old @ network.cond_proj.weight.detach().T, rtol=1e-4, atol=1e-5
    )
    assert weights["null_cond"].shape == (16,)


def test_directions_that_pictures_hardly_take_do_not_lengthen_the_null_condition():
    generator = torch.Generator().manual_seed(2)
    network = UNet(UNetConfig(channels=32, channel_mult=(1,), num_res_blocks=1, cond_dim=8))
    scales = torch.tensor([1.0] * 7 + [1e-3])
    new = torch.randn(64, 8, generator=generator)
    weights = reading(network.state_dict(), new * scales, new)
    assert weights["null_cond"].norm() < 2 * network.null_cond.norm()


def test_networks_are_one_but_for_the_last_bit():
    weights = {"w": torch.linspace(-2, 2, 50).half()}
    assert same_weights(weights, {"w": torch.nextafter(weights["w"], torch.tensor(9.0).half())})
    assert not same_weights(weights, {"w": weights["w"] * 1.01})
    assert not same_weights(weights, {})

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import VOCODER_SIZES, MelSpec, VocoderConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bigvgan import (
    Activation,
    BigVGAN,
    Snake,
    SnakeBeta,
    fold_weight_norm,
    kaiser_sinc,
)
from clipsonic_cli.models.state_dict import load

SPEC = MelSpec()
TINY = replace(VOCODER_SIZES["mini"], channels=32)


def build(config: VocoderConfig = TINY) -> BigVGAN:
    torch.manual_seed(0)
    return BigVGAN(config, SPEC).requires_grad_(False)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def parameters_while_training(config: VocoderConfig) -> int:
    with torch.device("meta"):
        model = BigVGAN(config, SPEC)
    model.add_weight_norm()
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("channels", "rates", "count"),
    [
        (1024, (8, 4, 2, 2, 2, 2), 54_177_250),
        (512, (8, 8, 4, 2), 13_928_898),
        (512, (8, 8, 8), 13_855_106),
    ],
)
def test_sizes_are_those_of_nvidias_generator(
    channels: int, rates: tuple[int, ...], count: int
) -> None:
    kernels = tuple(2 * rate for rate in rates)
    config = VocoderConfig(channels=channels, upsample_rates=rates, upsample_kernel_sizes=kernels)
    assert parameters_while_training(config) == count


def test_named_sizes() -> None:
    counts = {name: parameters_while_training(config) for name, config in VOCODER_SIZES.items()}
    assert counts["large"] == 121_496_401 + 1  # the second version's end has no bias
    assert counts["base"] == 13_678_450
    assert 1e6 < counts["mini"] < 2e6


def test_names_are_nvidias() -> None:
    names = BigVGAN(TINY, SPEC).state_dict().keys()
    assert {
        "conv_pre.weight",
        "ups.3.0.weight",
        "resblocks.7.convs1.1.weight",
        "resblocks.7.convs2.1.bias",
        "resblocks.0.activations.3.act.alpha",
        "resblocks.0.activations.3.act.beta",
        "resblocks.0.activations.3.upsample.filter",
        "resblocks.0.activations.3.downsample.lowpass.filter",
        "activation_post.act.beta",
        "conv_post.bias",
    } <= names


@pytest.mark.parametrize("frames", [1, 3, 16])
def test_every_frame_gives_exactly_one_hop(frames: int) -> None:
    waveform = build()(noise(2, 1, 64, frames))
    assert waveform.shape == (2, 512 * frames)
    assert waveform.abs().max() <= 1


def test_the_second_versions_end_is_clamped() -> None:
    model = build(replace(TINY, tanh_at_final=False, bias_at_final=False))
    model.conv_post.weight.mul_(1000)
    assert model.conv_post.bias is None
    assert model(noise(1, 1, 64, 2)).abs().max() == 1


def test_a_row_does_not_depend_on_its_batch() -> None:
    model, mel = build(), noise(3, 1, 64, 4)
    assert torch.allclose(model(mel)[1:2], model(mel[1:2]), atol=1e-6)


def test_the_low_pass_is_the_published_one() -> None:
    """Figures of the published filter: unit sum, symmetric, these first six taps."""
    taps = kaiser_sinc().flatten()
    published = [0.0020290, 0.0093895, -0.0255435, -0.0576574, 0.1285726, 0.4432098]
    assert taps.sum().item() == pytest.approx(1.0)
    assert torch.allclose(taps, taps.flip(0), atol=1e-7)
    assert taps[:6].tolist() == pytest.approx(published, abs=1e-6)


def test_an_activation_is_its_definition() -> None:
    """By torch's grouped transposed convolution and a plain crop, as in the published code."""
    act, x = Activation(3).requires_grad_(False), noise(2, 3, 21)
    act.act.alpha.copy_(noise(3))
    taps = kaiser_sinc().expand(3, -1, -1)
    up = (
        2 * F.conv_transpose1d(F.pad(x, (5, 5), "replicate"), taps, stride=2, groups=3)[..., 15:-15]
    )
    alpha = act.act.alpha.exp().view(3, 1)
    bent = F.pad(up + torch.sin(alpha * up) ** 2, (5, 6), "replicate")
    assert torch.allclose(act(x), F.conv1d(bent, taps, stride=2, groups=3), atol=1e-6)


def test_an_activation_aliases_less_than_its_nonlinearity() -> None:
    """At 0.4 of the rate the second harmonic is beyond Nyquist: bare, it folds to 0.2."""
    time = torch.arange(400)
    x = torch.sin(2 * torch.pi * 0.4 * time).view(1, 1, -1)
    act = Activation(1).requires_grad_(False)
    bare, free = (f(x)[0, 0, 100:300] for f in (act.act, act))
    fold = torch.exp(-2j * torch.pi * 0.2 * time[100:300])
    assert (free * fold).mean().abs() < 0.4 * (bare * fold).mean().abs()


def test_snakes_gradient_is_the_numerical_one() -> None:
    inputs = [noise(2, 3, 4), noise(3, 1).exp(), noise(3, 1).exp()]
    assert torch.autograd.gradcheck(
        Snake.apply, [tensor.double().requires_grad_() for tensor in inputs]
    )


def test_snakebeta_starts_as_x_plus_the_square_of_its_sine() -> None:
    x = noise(1, 4, 5)
    assert torch.allclose(SnakeBeta(4)(x), x + torch.sin(x) ** 2)


def test_weight_norm_and_its_removal_keep_the_function() -> None:
    model, mel = build(), noise(1, 1, 64, 2)
    plain = model(mel)
    model.add_weight_norm()
    assert torch.allclose(model(mel), plain, atol=1e-6)
    model.remove_weight_norm()
    assert torch.allclose(model(mel), plain, atol=1e-6)
    assert not any("parametrizations" in name for name in model.state_dict())


@pytest.mark.parametrize("spelling", ["plain", "weight_g", "parametrizations"])
def test_all_spellings_of_the_weights_load(spelling: str) -> None:
    model, other, mel = build(), BigVGAN(TINY, SPEC), noise(1, 1, 64, 2)
    expected = model(mel)
    if spelling != "plain":
        model.add_weight_norm()
    state = model.state_dict()
    if spelling == "weight_g":
        state = {
            name.replace(".parametrizations.weight.original0", ".weight_g").replace(
                ".parametrizations.weight.original1", ".weight_v"
            ): weight
            for name, weight in state.items()
        }
    load(other, fold_weight_norm(state), "vocoder")
    assert torch.allclose(other(mel), expected, atol=1e-6)


def test_folding_changes_gain_with_g_and_not_with_the_length_of_v() -> None:
    v = noise(2, 3, 5)
    folded = fold_weight_norm({"a.weight_v": 7 * v, "a.weight_g": torch.full((2, 1, 1), 2.0)})
    assert folded.keys() == {"a.weight"}
    assert torch.allclose(folded["a.weight"].flatten(1).norm(dim=1), torch.tensor([2.0, 2.0]))
    assert torch.allclose(folded["a.weight"][0], 2 * v[0] / v[0].norm())


def test_weights_of_another_size_are_rejected_in_one_line() -> None:
    state = build(replace(TINY, channels=64)).state_dict()
    with pytest.raises(BadBundle, match="where") as caught:
        load(build(), state, "vocoder")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("drop", "add"), [("conv_pre.bias", None), (None, "conv_mid.weight")])
def test_missing_and_unknown_weights_are_rejected(drop: str | None, add: str | None) -> None:
    state = build().state_dict()
    if drop:
        del state[drop]
    if add:
        state[add] = torch.zeros(1)
    with pytest.raises(BadBundle, match=f"(missing|unexpected) {drop or add}"):
        load(build(), state, "vocoder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upsample_rates": (8, 4, 4, 2)}, "multiply to 256"),
        ({"upsample_kernel_sizes": (16, 8, 8)}, "do not fit"),
        ({"upsample_kernel_sizes": (16, 8, 8, 5)}, "do not fit"),
        ({"resblock_kernel_sizes": (3,)}, "differ in length"),
        ({"channels": 24}, "halved 4 times"),
    ],
)
def test_a_config_that_does_not_fit_is_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BigVGAN(replace(TINY, **change), SPEC)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 64, 4), (1, 1, 80, 4), (1, 2, 64, 4)])
def test_a_wrong_mel_is_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="need a mel"):
        build()(torch.zeros(shape))


def test_a_step_of_training_reaches_every_weight() -> None:
    model = build().requires_grad_(True)
    model.add_weight_norm()
    model(noise(2, 1, 64, 2)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

import pytest
import torch
from torch import nn

from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def small() -> list[nn.Module]:
    torch.manual_seed(0)
    return [MultiPeriodDiscriminator(channels=2), MultiResolutionDiscriminator(channels=2)]


@pytest.mark.parametrize(
    ("kind", "count"),
    [(MultiPeriodDiscriminator, 41_105_770), (MultiResolutionDiscriminator, 280_902)],
)
def test_default_widths_are_bigvgans(kind: type[nn.Module], count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in kind().parameters()) == count


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("samples", [8192, 8191, 2311])
def test_each_critic_gives_logits_and_six_feature_maps(index: int, samples: int) -> None:
    judgements = small()[index](noise(3, 1, samples))
    assert len(judgements) == (5, 3)[index]
    for logits, features in judgements:
        assert logits.ndim == 2
        assert len(logits) == 3
        assert len(features) == 6
        assert torch.equal(features[-1].flatten(1), logits)


def test_a_period_critic_keeps_the_phases_of_its_period_apart() -> None:
    """Samples at phase 1 of period 3 reach column 1 of every feature map and no other."""
    critic = MultiPeriodDiscriminator([3], channels=2)
    waveform = noise(1, 1, 300)
    touched = waveform.clone()
    touched[..., 1::3] += 1
    changes = [
        (a - b).abs().sum(dim=(0, 1, 2)) > 0
        for a, b in zip(critic(waveform)[0][1], critic(touched)[0][1], strict=True)
    ]
    assert all(change.tolist() == [False, True, False] for change in changes)


def test_a_resolution_critic_embeds_magnitudes_only() -> None:
    critic = MultiResolutionDiscriminator(channels=2)
    waveform = noise(1, 1, 4096)
    for (a, _), (b, _) in zip(critic(waveform), critic(-waveform), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("index", [0, 1])
def test_silence_has_a_finite_gradient(index: int) -> None:
    waveform = torch.zeros(1, 1, 4096, requires_grad=True)
    sum(logits.square().sum() for logits, _ in small()[index](waveform)).backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()


def test_old_spelling_of_weight_norm_loads() -> None:
    """NVIDIA's checkpoints say weight_g and weight_v; torch reads them into the new names."""
    critic, other = small()[0], MultiPeriodDiscriminator(channels=2)
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): weight
        for name, weight in critic.state_dict().items()
    }
    assert "discriminators.4.convs.0.weight_g" in old
    other.load_state_dict(old)
    waveform = noise(1, 1, 600)
    assert torch.equal(other(waveform)[0][0], critic(waveform)[0][0])

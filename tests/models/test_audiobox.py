import published
import pytest
import torch
from published_audiobox import DESCRIBED, SMALL, small

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.audiobox import Audiobox, from_audiobox
from clipsonic_cli.models.state_dict import build, outline

POSITION = "wavlm_model.encoder.pos_conv.0.weight"


@pytest.fixture(scope="module")
def network():
    return build(lambda: Audiobox(**SMALL), small(), "Audiobox Aesthetics")


@pytest.fixture
def state():
    """The published weights at their real size, which take no memory."""
    shapes = {name: w.shape for name, w in outline(Audiobox, "").state_dict().items()}
    shapes |= {f"{POSITION}_v": shapes.pop(POSITION), f"{POSITION}_g": (1, 1, 128)}
    shapes |= {"wavlm_model.mask_emb": (768,)}
    del shapes["mean"], shapes["std"]
    return {name: torch.ones(1).expand(shape) for name, shape in shapes.items()}


def test_it_has_the_published_number_of_weights(state):
    assert len(state) == 324
    assert sum(weight.numel() for weight in state.values()) == 103_859_112


def test_scores_are_of_the_sound_and_not_of_what_fills_it_up(network):
    samples = torch.zeros(2, 160_000)
    samples[:, :32_000] = 0.1 * published.wave("sound", 32_000)
    lengths = torch.tensor([32_000, 160_000])
    with torch.inference_mode():
        short, whole = network(samples, lengths)
        assert not torch.allclose(short, whole, atol=0.01)
        alone = network(samples[:1], lengths[:1])
    torch.testing.assert_close(alone[0], short, atol=1e-5, rtol=1e-5)


def test_another_length_is_rejected(network):
    with pytest.raises(ValueError, match=r"need samples \(B, 160000\), got \(1, 16000\)"):
        network(torch.zeros(1, 16_000), torch.tensor([16_000]))


def test_the_position_convolution_is_folded_and_the_scale_is_the_described(state):
    direction = published.wave("directions", 768, 48, 128)
    gain = 1 + published.wave("gains", 1, 1, 128, scale=0.3)
    weights = from_audiobox(state | {f"{POSITION}_v": direction, f"{POSITION}_g": gain}, DESCRIBED)
    expected = torch._weight_norm(direction, gain, 2)
    torch.testing.assert_close(weights[POSITION], expected, atol=1e-7, rtol=1e-5)
    assert weights["mean"].tolist() == pytest.approx([6.57505, 3.18591, 5.06865, 5.73633])
    assert weights["std"].tolist() == pytest.approx([1.51466, 1.86637, 1.93029, 1.75669])
    build(Audiobox, weights, "Audiobox Aesthetics")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"layer_weights.PQ": None}, "missing layer_weights.PQ"),
        ({"proj_layer.PQ.15.bias": torch.zeros(1)}, r"unexpected proj_layer\.PQ\.15\.bias"),
        ({"layer_weights.CE": torch.zeros(25)}, r"layer_weights\.CE is \(25,\) where \(13,\)"),
        ({"proj_layer.CU.12.bias": torch.tensor([torch.inf])}, r"CU\.12\.bias .* not finite"),
    ],
)
def test_other_weights_are_rejected(state, change, fault):
    changed = {name: w for name, w in (state | change).items() if w is not None}
    with pytest.raises(BadBundle, match=fault):
        from_audiobox(changed, DESCRIBED)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"proj_num_layer": 3}, "proj_num_layer 3, and 5 is known"),
        ({"proj_ln": None}, "proj_ln None, and True is known"),
        ({"normalize_embed": False}, "normalize_embed False"),
        ({"target_transform": None}, "no mean of PQ"),
        ({"target_transform": {"PQ": {"mean": 6.5}}}, "no mean of PC|no std of PQ"),
        ({"target_transform": {"PQ": {"mean": 6.5, "std": 0.0}}}, "no std of PQ"),
        ({"target_transform": {"PQ": {"mean": float("nan"), "std": 1.0}}}, "no mean of PQ"),
        ({"target_transform": {"PQ": {"mean": "6", "std": 1.0}}}, "no mean of PQ"),
    ],
)
def test_another_configuration_is_rejected(change, fault):
    with pytest.raises(BadBundle, match=fault):
        from_audiobox({}, DESCRIBED | change)

import published
import pytest
import torch

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.passt import Passt, from_passt, log_mel, mel_filters
from clipsonic_cli.models.state_dict import build, outline


@pytest.fixture(scope="module")
def network():
    return build(lambda: Passt(24, 2, 3), published.passt(24, 2), "PaSST")


def mels():
    return published.wave("mels", 1, 1, 128, 1000, scale=2.0)


def test_it_has_the_published_number_of_weights():
    assert sum(p.numel() for p in outline(Passt, "PaSST").parameters()) == 86_153_758


def test_silence_is_the_floor():
    assert log_mel(torch.zeros(320_000), mel_filters()) == pytest.approx(-1.402585)


def test_a_tone_is_loudest_in_the_band_around_it():
    filters = mel_filters()
    hz = 31.25 * float(filters[40].argmax())  # the middle of a band
    at = torch.arange(320_000, dtype=torch.float64) / 32_000
    mel = log_mel((0.5 * (2 * torch.pi * hz * at).sin()).float(), filters)
    assert (mel[0, 0, :, 5:-5].argmax(0) == 40).all()


def test_filters_overlap_to_a_sum_of_one():
    inner = mel_filters()[:, 20:400].sum(0)
    torch.testing.assert_close(inner, torch.ones_like(inner))


def test_a_block_is_its_definition(network):
    block, h = network.blocks[0], published.wave("tokens", 1, 5, 24, scale=1.0)
    q, k, v = block.attn.qkv(block.norm1(h))[0].view(5, 3, 3, 8).unbind(1)
    mixed = []
    for head in range(3):
        weights = (q[:, head] @ k[:, head].T / 8**0.5).softmax(1)
        mixed.append(weights @ v[:, head])
    by_hand = h + block.attn.proj(torch.cat(mixed, 1))
    wide = torch.nn.functional.gelu(block.mlp["fc1"](block.norm2(by_hand)))
    torch.testing.assert_close(block(h), by_hand + block.mlp["fc2"](wide), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(128, 1000), (1, 2, 128, 1000), (1, 1, 128, 998)])
def test_mels_of_another_shape_are_rejected(network, shape):
    with pytest.raises(ValueError, match=r"need mels \(B, 1, 128, 1000\)"):
        network(torch.zeros(shape))


def test_a_batch_is_its_members(network):
    batch = torch.cat([mels(), -mels()])
    apart = torch.cat([network(one) for one in batch.split(1)])
    torch.testing.assert_close(network(batch), apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"norm.bias": None}, "missing norm.bias"),
        ({"pos_embed": torch.zeros(1)}, "unexpected pos_embed"),
        ({"time_new_pos_embed": torch.zeros(1, 768, 1, 199)}, r"time_new_pos_embed is \(1, 768"),
        ({"head_dist.bias": torch.full((527,), torch.nan)}, r"head_dist\.bias .* not finite"),
    ],
)
def test_other_weights_are_rejected(change, fault):
    state = {n: torch.zeros(1).expand(w.shape) for n, w in outline(Passt, "").state_dict().items()}
    state = {name: weight for name, weight in (state | change).items() if weight is not None}
    with pytest.raises(BadBundle, match=fault):
        from_passt(state)

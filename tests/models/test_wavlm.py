import pytest
import torch
from published_audiobox import SMALL

from clipsonic_cli.models import wavlm
from clipsonic_cli.models.wavlm import WavLM, buckets


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = WavLM(**SMALL).eval().requires_grad_(requires_grad=False)
    for weight in made.parameters():
        if weight.ndim < 2 or weight.shape[-1] == SMALL["heads"]:
            weight += 0.3 * torch.randn_like(weight)
    return made


def noise(count, length=16_000):
    return 0.1 * torch.randn(count, length, generator=torch.Generator().manual_seed(1))


def in_transformers_names(weights):
    """The weights of a :class:`WavLM` by the names that the package transformers has."""
    names = {
        "feature_extractor.conv_layers.0.2.": "feature_extractor.conv_layers.0.layer_norm.",
        "layer_norm.": "feature_projection.layer_norm.",
        "post_extract_proj.": "feature_projection.projection.",
        "encoder.pos_conv.0.": "encoder.pos_conv_embed.conv.",
    }
    inside = {
        "self_attn.relative_attention_bias.": "attention.rel_attn_embed.",
        "self_attn.grep_linear.": "attention.gru_rel_pos_linear.",
        "self_attn.grep_a": "attention.gru_rel_pos_const",
        "self_attn.": "attention.",
        "self_attn_layer_norm.": "layer_norm.",
        "fc1.": "feed_forward.intermediate_dense.",
        "fc2.": "feed_forward.output_dense.",
    }
    spelled = {}
    for name, weight in weights.items():
        begin, end = next(((b, e) for b, e in names.items() if name.startswith(b)), ("", ""))
        other = end + name.removeprefix(begin)
        if begin == "" and name.startswith("feature_extractor"):
            other = name.replace(".0.weight", ".conv.weight")
        for old, new in inside.items():
            if f".{old}" in other and other.startswith("encoder.layers."):
                other = other.replace(f".{old}", f".{new}")
                break
        spelled[other] = weight
    return spelled


def test_its_layers_are_those_of_transformers(network):
    transformers = pytest.importorskip("transformers")
    config = transformers.WavLMConfig(
        hidden_size=SMALL["dim"],
        num_hidden_layers=SMALL["depth"],
        num_attention_heads=SMALL["heads"],
        intermediate_size=4 * SMALL["dim"],
        conv_dim=(SMALL["channels"],) * 7,
        apply_spec_augment=False,
    )
    theirs = transformers.WavLMModel(config).eval()
    torch.nn.utils.parametrize.remove_parametrizations(theirs.encoder.pos_conv_embed.conv, "weight")
    missing = theirs.load_state_dict(in_transformers_names(network.state_dict()), strict=False)
    assert (missing.unexpected_keys, missing.missing_keys) == ([], ["masked_spec_embed"])
    samples = noise(2)
    with torch.no_grad():
        expected = theirs(samples, output_hidden_states=True).hidden_states
    seen, counts = network(samples, torch.tensor([16_000, 16_000]))
    assert len(seen) == len(expected) == SMALL["depth"] + 1
    assert counts.all()
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_silence_that_fills_up_a_batch_is_not_attended_to(network):
    samples = noise(1)
    samples[:, 8000:] = 0
    outputs, counts = network(samples, torch.tensor([8000]))
    assert counts.sum() == 25
    layer = network.encoder.layers[0]
    changed = outputs[0].clone()
    changed[~counts] = 7.0
    biases = layer.self_attn.relative_attention_bias(buckets(counts.shape[1])).permute(2, 0, 1)
    again = layer(changed, biases, counts[:, None, None])
    torch.testing.assert_close(again[counts], outputs[1][counts])


def test_attention_is_its_definition(network):
    """Equation 9 of the paper, for one query of one head."""
    attention = network.encoder.layers[0].self_attn
    h = noise(6, SMALL["dim"])[None]
    biases = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(2))
    seen = attention(h, biases, torch.ones(1, 1, 1, 6, dtype=torch.bool))[0]
    mixed = []
    for head in range(2):
        part = slice(16 * head, 16 * (head + 1))
        q, k, v = (getattr(attention, f"{n}_proj")(h)[0, :, part] for n in "qkv")
        update, reset = attention.grep_linear(h[0, :, part]).view(6, 2, 4).sum(2).sigmoid().T
        scale = update * (reset * attention.grep_a[0, head, 0, 0] - 1) + 2
        mixed.append((q @ k.T / 4 + scale[:, None] * biases[head]).softmax(1) @ v)
    torch.testing.assert_close(seen, attention.out_proj(torch.cat(mixed, 1)), atol=1e-6, rtol=1e-5)


def test_near_positions_have_buckets_of_their_own():
    table = buckets(499)
    assert table[0, :81].tolist() == [0, *range(161, 241)]
    assert table[:81, 0].tolist() == [*range(81)]
    assert table[0, 80] == table[0, 82] == 240
    assert table[0, 498] == 160 + 80 + int(80 * 0.7941)  # log10(498 / 80)
    assert table.diff(dim=1)[0].min() >= 0


def test_frames_are_20_ms_apart():
    assert wavlm.HOP == 320

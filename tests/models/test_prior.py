import math

import pytest
import torch
from dalle2_pytorch.dalle2_pytorch import DiffusionPriorNetwork
from torch.nn.functional import normalize

from clipsonic_cli.config import PriorConfig
from clipsonic_cli.models.prior import Prior

SIZES = {"dim": 32, "depth": 2, "dim_head": 16, "heads": 2, "max_text_len": 12}
SMALL = PriorConfig(text_dim=32, **SIZES)


@pytest.fixture(scope="module", params=["cosine", "softmax_bias128"])
def prior(request):
    network = Prior(PriorConfig(text_dim=32, **SIZES, attention=request.param))
    # The package's first biases are of about 1; times 128 they would leave each query one key.
    torch.nn.init.normal_(
        network.net.causal_transformer.rel_pos_bias.relative_attention_bias.weight, std=0.01
    )
    return network


def inputs(batch=2, tokens=9, text_dim=32, seed=0):
    """Unit text embedding, and encodings that end after four tokens in the first row."""
    generator = torch.Generator().manual_seed(seed)
    x_t, text_embed = torch.randn(2, batch, 32, generator=generator).unbind()
    text_encodings = torch.randn(batch, tokens, text_dim, generator=generator)
    text_encodings[0, 4:] = 0
    t = torch.randint(1000, (batch,), generator=generator)
    return x_t, t, normalize(text_embed, dim=-1), text_encodings


def package_twin(prior):
    """The package's own network with the same weights, and its own rotation frequencies."""
    twin = DiffusionPriorNetwork(num_timesteps=1000, normformer=True, **SIZES)
    incompatible = twin.load_state_dict(prior.net.state_dict(), strict=False)
    assert all(key.endswith("rotary_emb.freqs") for key in incompatible.missing_keys)
    assert not incompatible.unexpected_keys
    return twin


@torch.no_grad()
def test_cosine_mode_is_the_packages_network():
    prior = Prior(SMALL)
    x_t, t, text_embed, text_encodings = inputs()
    expected = package_twin(prior)(x_t, t, text_embed=text_embed, text_encodings=text_encodings)
    torch.testing.assert_close(prior(x_t, t, text_embed, text_encodings), expected)


@torch.no_grad()
def test_withheld_text_is_the_packages_dropped_text():
    prior = Prior(SMALL)
    x_t, t, text_embed, text_encodings = inputs()
    twin = package_twin(prior)
    expected = twin(
        x_t, t, text_embed=text_embed, text_encodings=text_encodings, text_cond_drop_prob=1
    )
    seen = prior(x_t, t, text_embed, text_encodings, keep=torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(seen, expected)


@torch.no_grad()
def test_softmax_attention_gives_what_version_1_1_0_gave():
    config = PriorConfig(
        dim=16, text_dim=16, depth=2, dim_head=8, heads=2, max_text_len=40,
        attention="softmax_bias128",
    )  # fmt: skip
    net = Prior(config).net
    for name, parameter in net.named_parameters():
        waves = 0.37 * torch.arange(parameter.numel(), dtype=torch.float64).square() + len(name)
        wave = waves.sin().view(parameter.shape)
        scaled = 0.02 * wave if "rel_pos_bias" in name else 0.5 * wave
        parameter.copy_(1 + 0.2 * wave if name.endswith(".g") else scaled)
    text_encodings = torch.cos(2.3 * torch.arange(2 * 35 * 16)).view(2, 35, 16)
    text_encodings[0, 4:] = text_encodings[1, 30:] = 0
    x_t, text_embed = torch.arange(32.0).cos().view(2, 16), torch.arange(32.0).sin().view(2, 16) / 4
    seen = net(x_t, torch.tensor([7, 640]), text_embed=text_embed, text_encodings=text_encodings)
    # The first eight of sixteen numbers that DiffusionPriorNetwork of dalle2-pytorch 1.1.0 returns.
    expected = [
        [1.120248, 1.016714, 0.343548, -1.626445, 0.886258, 0.406608, 0.546681, -4.434425],
        [0.868379, 1.170527, -0.266749, -2.199210, 0.508970, -1.105841, 0.445321, -3.152459],
    ]
    torch.testing.assert_close(seen[:, :8], torch.tensor(expected), atol=5e-6, rtol=1e-5)


def rotated(x):
    """Rotary embedding as complex numbers: pair i at position p turns by p / 10000^(i / pairs)."""
    length, dim = x.shape
    angles = torch.arange(length)[:, None] * 10_000 ** (-torch.arange(0, dim, 2) / dim)
    pairs = torch.view_as_complex(x.reshape(length, dim // 2, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(1)


@torch.no_grad()
def test_softmax_attention_follows_its_formula():
    network = Prior(PriorConfig(text_dim=32, **SIZES, attention="softmax_bias128")).net
    attention = network.causal_transformer.layers[0][0]
    x, bias = torch.randn(14, 32), 0.01 * torch.randn(2, 14, 15)
    normed = torch.nn.functional.layer_norm(x, (32,)) * attention.norm.g
    k, v = attention.to_kv(normed).chunk(2, dim=-1)
    k = torch.cat([attention.null_kv[:1], rotated(k)])
    v = torch.cat([attention.null_kv[1:], v])
    heads = [
        torch.stack([
            torch.softmax(q[i] @ k[: i + 2].T / math.sqrt(16) + 128 * b[i, : i + 2], 0) @ v[: i + 2]
            for i in range(14)
        ])
        for q, b in zip(map(rotated, attention.to_q(normed).split(16, dim=-1)), bias, strict=True)
    ]  # fmt: skip
    out = torch.nn.functional.layer_norm(torch.cat(heads, -1) @ attention.to_out[0].weight.T, (32,))
    torch.testing.assert_close(attention(x[None], bias)[0], out, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_two_kinds_of_attention_disagree_on_the_same_weights():
    cosine = Prior(SMALL)
    softmax = Prior(PriorConfig(text_dim=32, **SIZES, attention="softmax_bias128"))
    softmax.load_state_dict(cosine.state_dict())
    assert (cosine(*inputs()) - softmax(*inputs())).abs().max() > 0.1


@torch.no_grad()
def test_keep_withholds_the_text_row_by_row(prior):
    x_t, t, text_embed, text_encodings = inputs()
    mixed = prior(x_t, t, text_embed, text_encodings, keep=torch.tensor([True, False]))
    kept = prior(x_t, t, text_embed, text_encodings)
    other = inputs(seed=1)[2:]
    none = prior(x_t, t, *other, keep=torch.tensor([False, False]))
    torch.testing.assert_close(mixed, torch.stack([kept[0], none[1]]), atol=1e-5, rtol=1e-4)
    assert (kept[1] - none[1]).abs().max() > 1e-3


@torch.no_grad()
def test_missing_tokens_are_zero_rows(prior):
    x_t, t, text_embed, text_encodings = inputs()
    padded = torch.nn.functional.pad(text_encodings, (0, 0, 0, 3))
    expected = prior(x_t, t, text_embed, padded)
    torch.testing.assert_close(prior(x_t, t, text_embed, text_encodings), expected)


@torch.no_grad()
def test_encodings_of_another_size_are_projected_and_their_zero_rows_stay_placeholders():
    prior = Prior(PriorConfig(text_dim=48, **SIZES))
    x_t, t, text_embed, text_encodings = inputs(text_dim=48)
    expected = prior.net(
        x_t, t, text_embed=text_embed, text_encodings=text_encodings @ prior.text_proj.weight.T
    )
    torch.testing.assert_close(prior(x_t, t, text_embed, text_encodings), expected)
    shorter = prior(x_t[:1], t[:1], text_embed[:1], text_encodings[:1, :4])
    torch.testing.assert_close(shorter, expected[:1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_call_leaves_inputs_the_global_generator_and_the_terminal_alone(prior, capfd):
    arguments = (*inputs(), torch.tensor([True, False]))
    before, state = [a.clone() for a in arguments], torch.get_rng_state()
    first, second = prior(*arguments), prior(*arguments)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, arguments, before))
    assert capfd.readouterr() == ("", "")


def test_every_parameter_but_the_withheld_image_learns(prior):
    prior.zero_grad()
    prior(*inputs(), keep=torch.tensor([True, False])).square().mean().backward()
    still = {name for name, p in prior.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"net.null_image_embed"}


def test_the_paper_model_has_laions_size_and_two_placeholders_more():
    prior = Prior(PriorConfig())
    weights = {name: tuple(w.shape) for name, w in prior.state_dict().items()}
    # LAION's file counts the 16 rotation frequencies, and lacks two placeholders of 768.
    assert sum(map(math.prod, weights.values())) == 101_755_024 - 16 + 2 * 768
    layer = "net.causal_transformer.layers.11.0."
    names = ("null_kv", "norm.g", "to_q.weight", "to_kv.weight", "to_out.0.weight", "to_out.1.g")
    shapes = [(2, 64), (768,), (768, 768), (128, 768), (768, 768), (768,)]
    assert [weights[layer + name] for name in names] == shapes


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_t", torch.zeros(2, 31), r"x_t must be \(2, 32\), not \(2, 31\)"),
        ("t", torch.zeros(1, dtype=torch.int64), r"t must be \(2,\)"),
        ("text_embed", torch.zeros(1, 32), r"text_embed must be \(2, 32\)"),
        ("text_encodings", torch.zeros(2, 32), r"text_encodings must be \(2, L, 32\)"),
        ("text_encodings", torch.zeros(2, 5, 16), r"text_encodings must be \(2, L, 32\)"),
        ("text_encodings", torch.zeros(2, 13, 32), "at most 12 tokens, not 13"),
        ("keep", torch.ones(2, 1, dtype=torch.bool), r"keep must be \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(name, value, message):
    arguments = dict(zip(("x_t", "t", "text_embed", "text_encodings"), inputs(), strict=True))
    with pytest.raises(ValueError, match=message):
        Prior(SMALL)(**(arguments | {name: value}))

import pytest
import torch
from torch.nn.functional import normalize

from clipsonic_cli.config import PriorConfig
from clipsonic_cli.models.cached_prior import CachedPrior, buckets, rotate
from clipsonic_cli.models.prior import Prior

SMALL = {"dim": 32, "depth": 3, "dim_head": 16, "heads": 2, "max_text_len": 12}


@pytest.fixture(scope="module", params=["cosine", "softmax_bias128"])
def pair(request):
    """The network that is trained, and the one that samples, with the same weights."""
    return twins(PriorConfig(text_dim=48, **SMALL, attention=request.param))


def twins(config):
    trained = Prior(config).eval()
    # The package's first biases are of about 1; times 128 they would leave each query one key.
    bias = trained.net.causal_transformer.rel_pos_bias.relative_attention_bias.weight
    torch.nn.init.normal_(bias, std=0.02)
    cached = CachedPrior(config)
    cached.load_state_dict(trained.state_dict())
    return trained, cached


def inputs(config, batch=3, tokens=9):
    x_t, text_embed = torch.randn(2, batch, config.dim).unbind()
    text_encodings = torch.randn(batch, tokens, config.text_dim)
    text_encodings[0, 4:] = 0
    t = torch.randint(config.num_timesteps, (batch,))
    return x_t, t, normalize(text_embed, dim=-1), text_encodings


def test_both_have_the_same_parameters(pair):
    trained, cached = pair
    shapes = [{n: w.shape for n, w in net.state_dict().items()} for net in (trained, cached)]
    assert shapes[0] == shapes[1]


@torch.no_grad()
@pytest.mark.parametrize("tokens", [0, 1, 9, 12])
def test_it_predicts_what_the_trained_network_does(pair, tokens):
    trained, cached = pair
    x_t, t, text_embed, text_encodings = inputs(cached.config, tokens=tokens)
    text = cached.read(text_embed, text_encodings)
    expected = trained(x_t, t, text_embed, text_encodings)
    torch.testing.assert_close(cached(x_t, t, text), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["cosine", "softmax_bias128"])
def test_it_does_at_the_length_of_published_priors(attention):
    config = PriorConfig(
        dim=96, text_dim=96, depth=2, dim_head=64, heads=4, max_text_len=77, attention=attention
    )
    trained, cached = twins(config)
    x_t, t, text_embed, text_encodings = inputs(config, tokens=77)
    text = cached.read(text_embed, text_encodings)
    expected = trained(x_t, t, text_embed, text_encodings)
    torch.testing.assert_close(cached(x_t, t, text), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_text_that_was_read_once_serves_all_its_candidates_and_steps(pair):
    trained, cached = pair
    _, _, text_embed, text_encodings = inputs(cached.config, batch=2)
    text = cached.read(text_embed, text_encodings).repeat(3)
    each = [0, 0, 0, 1, 1, 1]
    for step in (999, 0):
        x_t, t = torch.randn(6, cached.config.dim), torch.full((6,), step)
        expected = trained(x_t, t, text_embed[each], text_encodings[each])
        torch.testing.assert_close(cached(x_t, t, text), expected, atol=1e-5, rtol=1e-5)


def test_longer_texts_than_it_was_trained_for_are_rejected(pair):
    _, cached = pair
    _, _, text_embed, text_encodings = inputs(cached.config, tokens=13)
    with pytest.raises(ValueError, match="at most 12 tokens, not 13"):
        cached.read(text_embed, text_encodings)


def test_a_rotation_keeps_norms_and_depends_on_distance_alone(pair):
    _, cached = pair
    turns = cached.net.causal_transformer.rotation(0, 20)
    q, k = torch.randn(2, 20, 16).unbind()
    rotated = rotate(q, turns)
    torch.testing.assert_close(rotated.norm(dim=-1), q.norm(dim=-1))
    same_q, same_k = q[:1].expand(20, -1), k[:1].expand(20, -1)
    products = rotate(same_q, turns) @ rotate(same_k, turns).T
    torch.testing.assert_close(products[3, 1], products[17, 15], atol=1e-4, rtol=1e-4)


def test_near_distances_have_a_bucket_each_and_far_ones_share():
    near = buckets(torch.arange(-2, 16))
    assert near.tolist() == [0, 0, *range(16)]
    far = buckets(torch.tensor([16, 127, 128, 5000]))
    assert far.tolist() == [16, 31, 31, 31]

import json
from pathlib import Path

import published
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity, normalize

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion.process import Process, cosine_alphas_cumprod
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.encoders.prior import PriorEncoder
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.models.laion_prior import laion_prior
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.types import Query

SIZES = {"dim": 32, "depth": 3, "heads": 4, "dim_head": 16, "max_text_len": 12}
FILE = published.laion_prior(**SIZES)
LEFT_OUT = {k for k in FILE if k.endswith("freqs") or k.startswith("noise_scheduler.")} - {
    "noise_scheduler.alphas_cumprod"
}
TEXT_EMBED = normalize(published.wave("text", 2, 32), dim=-1)
ENCODINGS = published.wave("encodings", 2, 12, 32)
ENCODINGS[0, 5:] = ENCODINGS[1, 9:] = 0

# What dalle2-pytorch 1.1.0 computes with FILE, loaded with strict=True into
#   DiffusionPrior(DiffusionPriorNetwork(num_timesteps=1000, normformer=True, **SIZES),
#                  image_embed_dim=32, timesteps=1000, sample_timesteps=64, cond_drop_prob=0.1)
# in evaluation mode. To run it next to today's version:
#   pip install --no-deps --target old dalle2-pytorch==1.1.0 einops-exts==0.0.3; PYTHONPATH=old
# "predicted" is net(wave("x", 2, 32, scale=1.5), [984, 15], text_embed=..., text_encodings=...);
# "sampled" is normalize(prior.sample(...)) with a CLIP that answers TEXT_EMBED and ENCODINGS, each
# row twice, and torch.randn and torch.randn_like replaced by NOISE, one step after the other.
RECORDED = json.loads((Path(__file__).parent / "data" / "laion_prior.json").read_text())
NOISE = published.wave("noise", 2, 64, 2, 32, scale=1.7)  # (texts, steps, candidates, dim)


def adapted(file=FILE):
    return laion_prior(file, cosine_alphas_cumprod)


def network(kind=Prior, file=FILE):
    config, _, weights = adapted(file)
    prior = kind(config).eval().requires_grad_(requires_grad=False)
    prior.load_state_dict(weights)
    return prior


class Answering:
    """A CLIP that has embedded two texts."""

    dim, identity = 32, "answering"

    def embed_text(self, texts):
        return TEXT_EMBED, ENCODINGS


class OneStepOff(Process):
    """The levels version 1.1.0 goes through: for the noise it uses alpha_bar of t, else t - 1."""

    def respaced(self, timesteps):
        chain = super().respaced(timesteps)
        one = torch.ones(1, dtype=torch.float64)
        here = torch.cat([one, cosine_alphas_cumprod(1000)])[chain.timesteps]
        below = chain.alphas_cumprod_prev = torch.cat([one, here[:-1]])
        chain.posterior_variance = (1 - here / below) * (1 - below) / (1 - here)
        return chain


def sample(process=Process, timesteps=None):
    """Two texts' embeddings by the recorded noise."""
    _, diffusion, _ = adapted()
    encoder = PriorEncoder(Answering(), network(CachedPrior), diffusion)
    encoder.process = process(diffusion)
    encoder.timesteps = timesteps or encoder.timesteps
    return encoder([Query(text="a"), Query(text="b")], noise=lambda shape, like=None: NOISE).embed


def test_the_network_gives_what_version_1_1_0_gave():
    x_t = published.wave("x", 2, 32, scale=1.5)
    seen = network()(x_t, torch.tensor([984, 15]), TEXT_EMBED, ENCODINGS)
    torch.testing.assert_close(seen, torch.tensor(RECORDED["predicted"]), atol=5e-6, rtol=0)


def test_sampling_gives_what_version_1_1_0_gave_but_for_its_step_between_levels():
    torch.testing.assert_close(
        sample(OneStepOff), torch.tensor(RECORDED["sampled"]), atol=1e-5, rtol=0
    )


def test_the_step_between_levels_matters_less_than_the_grid():
    recorded = torch.tensor(RECORDED["sampled"])
    assert cosine_similarity(sample(), recorded).min() > 0.999
    assert cosine_similarity(sample(timesteps=spaced_timesteps(1000, 64)), recorded).max() < 0.99


def test_the_real_file_is_laions_configuration():
    file = published.laion_prior()
    buffers = {k for k in file if "freqs" in k or "noise_scheduler" in k}
    assert len(file) == 151
    assert sum(t.nbytes for t in file.values()) == 407_072_800
    assert sum(t.numel() for k, t in file.items() if k not in buffers) == 101_755_024 - 16
    config, diffusion, weights = adapted(file)
    assert config == PriorConfig(attention="softmax_bias128")
    assert diffusion == DiffusionConfig(
        train_steps=1000, prediction="x0", variance="fixed", clip_x0=False
    )
    with torch.device("meta"):
        wanted = {k: w.shape for k, w in Prior(config).state_dict().items()}
    assert {k: w.shape for k, w in weights.items()} == wanted


@pytest.mark.slow
def test_the_real_file_loses_the_clip_it_contains():
    file = published.laion_prior(clip=published.openai_clip(mixed=True))
    assert sum(t.nbytes for t in file.values()) == 407_072_800 + 932_051_972
    _, _, weights = adapted(file)
    assert not any("clip" in name for name in weights)
    assert weights.keys() == adapted(published.laion_prior())[2].keys()


@pytest.mark.parametrize(
    "sizes",
    [{"depth": 1}, {"heads": 2}, {"max_text_len": 30}, {"dim_head": 64}, {"ff_mult": 2},
     {"timesteps": 100}],
)  # fmt: skip
def test_other_sizes_are_read_off_the_shapes(sizes):
    config, diffusion, weights = adapted(published.laion_prior(**SIZES | sizes))
    assert diffusion.train_steps == config.num_timesteps
    named = sizes if "timesteps" not in sizes else {"num_timesteps": 100}
    assert {name: getattr(config, name) for name in named} == named
    Prior(config).load_state_dict(weights)


def test_a_prior_that_never_lost_its_text_gives_nan_without_it():
    prior, x_t, t = network(), published.wave("x", 2, 32), torch.tensor([500, 500])
    kept = prior(x_t, t, TEXT_EMBED, ENCODINGS)
    mixed = prior(x_t, t, TEXT_EMBED, ENCODINGS, keep=torch.tensor([True, False]))
    torch.testing.assert_close(mixed[0], kept[0], atol=1e-5, rtol=1e-4)
    assert kept.isfinite().all()
    assert mixed[1].isnan().all()


def test_half_precision_is_taken_as_it_is():
    _, _, weights = adapted({k: t.half() for k, t in FILE.items()})
    assert {w.dtype for w in weights.values()} == {torch.float16}


@given(st.sampled_from(sorted(FILE.keys() - LEFT_OUT)))
def test_every_weight_that_lacks_is_named(name):
    with pytest.raises(BadBundle, match=f"missing {name}") as caught:
        adapted({k: t for k, t in FILE.items() if k != name})
    assert "\n" not in str(caught.value)


def test_what_is_computed_again_may_lack():
    weights = adapted({k: t for k, t in FILE.items() if k not in LEFT_OUT})[2]
    assert weights.keys() == adapted()[2].keys()


@given(st.sampled_from(sorted(FILE.keys() - LEFT_OUT)))
def test_a_weight_of_another_shape_is_rejected(name):
    longer = torch.cat([FILE[name], FILE[name]])
    with pytest.raises(BadBundle, match=r" is |contradicts"):
        adapted(FILE | {name: longer})


@pytest.mark.parametrize(
    "name",
    [
        "net.null_text_embeds",  # of versions whose attention is another
        "net.causal_transformer.init_norm.g",
        "net.to_image_embeds.0.weight",
        "clip.visual.proj",
        "noise_scheduler.sigmas",
        "step",
    ],
)
def test_what_an_adapter_does_not_know_is_rejected(name):
    with pytest.raises(BadBundle, match=f"unexpected {name}"):
        adapted(FILE | {name: torch.zeros(1)})


@pytest.mark.parametrize(
    "file", [{}, {"ema_model": FILE}, FILE | {"net.null_text_embed": torch.tensor(0.0)}]
)
def test_what_is_no_state_dict_of_a_prior_is_rejected(file):
    with pytest.raises(BadBundle, match="not a diffusion prior as LAION's"):
        adapted(file)


def test_another_noise_schedule_is_rejected_with_both_values():
    linear = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)
    with pytest.raises(BadBundle, match=r"alpha_bar of step \d+ is 0\.\d+, .* 0\.\d+") as caught:
        adapted(FILE | {"noise_scheduler.alphas_cumprod": linear})
    assert "\n" not in str(caught.value)


def test_a_schedule_that_contradicts_the_table_of_times_is_rejected():
    with pytest.raises(BadBundle, match=r"\(500,\) levels, its table of times 1000"):
        adapted(FILE | {"noise_scheduler.alphas_cumprod": cosine_alphas_cumprod(500)})


def test_other_rotations_are_rejected():
    name = "net.causal_transformer.layers.1.0.rotary_emb.freqs"
    with pytest.raises(BadBundle, match="other rotations are not known"):
        adapted(FILE | {name: 2 * FILE[name]})

import pytest
import torch
from torch.nn.functional import normalize

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.encoders.prior import PriorEncoder, load_prior
from clipsonic_cli.errors import UsageError
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.store.bundle import load
from clipsonic_cli.types import Query

X0 = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(load(micro / "clip.safetensors", kind="clip"))


@pytest.fixture(scope="module")
def prior(micro):
    return load_prior(load(micro / "prior.safetensors", kind="prior"), "prior")


@pytest.fixture
def encoder(clip, prior):
    def build(**options):
        return PriorEncoder(clip, prior, X0, **{"steps": 4, **options})

    return build


def ask(encoder, texts, seeds):
    return encoder([Query(text=text) for text in texts], noise=SeededNoise(seeds))


def test_texts_become_unit_vectors_of_image_space(encoder, clip):
    condition = ask(encoder(), ["violin", "cat"], [0, 1])
    assert (condition.space, condition.encoder) == ("clip-image", clip.identity)
    torch.testing.assert_close(condition.embed.norm(dim=1), torch.ones(2))


def test_the_batch_around_a_text_changes_nothing(encoder):
    together = ask(encoder(), ["violin", "cat"], [5, 6]).embed
    alone = ask(encoder(), ["cat"], [6]).embed
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_another_seed_gives_another_embedding_and_the_same_seed_the_same(encoder):
    first = ask(encoder(), ["cat"], [0]).embed
    assert torch.equal(first, ask(encoder(), ["cat"], [0]).embed)
    assert not torch.equal(first, ask(encoder(), ["cat"], [1]).embed)


def test_of_the_candidates_the_nearest_to_the_text_is_kept(encoder, clip, prior, monkeypatch):
    text_embed, _ = clip.embed_text(["cat"])
    near = normalize(text_embed + 0.05 * torch.randn(1, clip.dim), dim=-1)
    answers = torch.cat([-text_embed, near, torch.flip(text_embed, [1])])
    monkeypatch.setattr(prior, "forward", lambda x_t, *_: answers * prior.config.dim**0.5)
    kept = ask(encoder(candidates=3), ["cat"], [0]).embed
    torch.testing.assert_close(kept, near)


def test_a_prior_that_knows_the_answer_gives_it(encoder, clip, prior, monkeypatch):
    answer = normalize(torch.arange(1.0, clip.dim + 1), dim=0)
    monkeypatch.setattr(
        prior, "forward", lambda x_t, *_: answer.expand_as(x_t) * prior.config.dim**0.5
    )
    torch.testing.assert_close(ask(encoder(), ["cat"], [0]).embed[0], answer)


def test_every_candidate_is_denoised_for_its_own_text_at_the_training_step(
    encoder, clip, prior, monkeypatch
):
    seen = []

    def spy(x_t, t, text):
        seen.append((x_t.shape, t.tolist(), text))
        return x_t

    monkeypatch.setattr(prior, "forward", spy)
    ask(encoder(steps=3), ["violin", "cat"], [0, 1])
    assert [t for _, t, _ in seen] == [[999] * 4, [500] * 4, [0] * 4]
    with torch.no_grad():
        cache = prior.read(*clip.embed_text(["violin", "cat"]))
    torch.testing.assert_close(seen[0][2].keys[-1], cache.keys[-1][[0, 0, 1, 1]])


def test_a_prior_with_laions_attention_visits_the_steps_of_its_time(clip):
    laions = CachedPrior(PriorConfig(dim=clip.dim, depth=1, heads=1, attention="softmax_bias128"))
    made = PriorEncoder(clip, laions, X0)
    assert (len(made.timesteps), made.timesteps[0], made.timesteps[-1]) == (64, 984, 15)


def test_a_cut_text_is_reported(encoder):
    with pytest.warns(UserWarning, match="CLIP reads 64 of the 70 tokens") as caught:
        ask(encoder(), ["a" * 70], [0])
    assert len(caught) == 1


def test_progress_is_reported_as_the_priors(encoder):
    seen = []
    encoder()([Query(text="cat")], noise=SeededNoise([0]), report=lambda *p: seen.append(p))
    assert seen == [("prior", i, 4) for i in (1, 2, 3, 4)]


def test_impossible_options_are_rejected(encoder, clip, prior):
    with pytest.raises(ValueError, match="at least 1"):
        encoder(candidates=0)
    with pytest.raises(UsageError, match="1001 steps"):
        encoder(steps=1001)

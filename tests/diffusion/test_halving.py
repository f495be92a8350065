import pytest
import torch

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.guidance import distilled, guided
from clipsonic_cli.diffusion.guidance_rules import Constant, Interval
from clipsonic_cli.diffusion.halving import halved
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import halving_timesteps
from clipsonic_cli.errors import UsageError

CONFIG = DiffusionConfig(train_steps=400, prediction="x0", variance="fixed", clip_x0=False)
X0 = Process(CONFIG)


def bent(x_t, t):
    """A prediction of x0 that is linear in nothing."""
    scale = 1 + t.to(x_t.dtype).reshape(-1, *[1] * (x_t.ndim - 1)) / 100
    return torch.tanh(x_t / scale) + 0.1 * x_t.flip(-1)


@pytest.mark.parametrize("schedule", ["cosine", "cosine-zero-snr"])
@pytest.mark.parametrize("begin", [7, 5, 3, 1])
def test_one_step_with_the_halved_x0_ends_where_two_steps_end(begin, schedule):
    """Both samplers run from a level to its second neighbour; the last ends at the data."""
    config = DiffusionConfig(
        train_steps=400, schedule=schedule, prediction="x0", variance="fixed", clip_x0=False
    )
    chain = Process(config).respaced(halving_timesteps(400, 8))
    x_t = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)

    def predict(x, i):
        return bent(x, chain.timesteps[i])

    i = torch.full((3,), begin)
    x_0 = halved(chain, i, x_t, predict)
    ended = x_t
    for level in (begin, begin - 1):  # DDIM, as Song et al. 2021 write it
        t = torch.full((3,), level)
        first = predict(ended, t)
        eps = chain.eps_from_x0(ended, t, first)
        alpha_bar = chain.alphas_cumprod_prev[level]
        ended = alpha_bar.sqrt() * first + (1 - alpha_bar).sqrt() * eps
    alpha_bar = chain.alphas_cumprod_prev[begin - 1]
    once = alpha_bar.sqrt() * x_0
    once = once + (1 - alpha_bar).sqrt() * chain.eps_from_x0(x_t, i, x_0)
    torch.testing.assert_close(once, ended)


def test_a_sampler_of_halved_predictions_is_the_one_of_twice_the_steps():
    x_T = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))  # noqa: N806
    noise = SeededNoise([])
    eight = ddim.sample(bent, x_T, halving_timesteps(400, 8), X0, noise=noise)
    chain = X0.respaced(halving_timesteps(400, 8))
    places = {int(t): i for i, t in enumerate(chain.timesteps)}

    def student(x_t, t):
        i = torch.tensor([places[int(each)] for each in t])
        return halved(chain, i, x_t, lambda x, level: bent(x, chain.timesteps[level]))

    four = ddim.sample(student, x_T, halving_timesteps(400, 4), X0, noise=noise)
    torch.testing.assert_close(four, eight, atol=1e-5, rtol=1e-5)


def test_halving_timesteps_keep_every_other_one():
    assert halving_timesteps(4000, 4) == [3999, 2999, 1999, 999]
    assert halving_timesteps(4000, 1) == [3999]
    for train_steps in (4000, 1000, 37):
        for steps in (16, 8, 4, 2, 1):
            twice = halving_timesteps(train_steps, 2 * steps)
            assert halving_timesteps(train_steps, steps) == twice[::2]
    with pytest.raises(UsageError, match="Choose 1 to 37"):
        halving_timesteps(37, 38)


def test_a_student_is_called_once_with_the_w_of_the_rule():
    seen = []

    def student(x_t, t, cond, w):
        seen.append((len(x_t), w.tolist()))
        return x_t

    x_t, cond = torch.ones(2, 1, 1, 1), torch.ones(2, 3)
    process = Process(DiffusionConfig(train_steps=100))
    for rule in (Constant(1.5, process), Interval(3.0, process)):
        for t in (99, 50):
            distilled(student, cond, rule)(x_t, torch.full((2,), t))
    assert seen == [(2, [1.5, 1.5])] * 2 + [(2, [1.0, 1.0]), (2, [3.0, 3.0])]


def test_a_student_that_knows_guidance_predicts_as_its_guided_teacher():
    def teacher(x_t, t, cond):
        return bent(x_t, t) * cond[:, :1, None, None]

    def student(x_t, t, cond, w):
        uncond = teacher(x_t, t, torch.zeros_like(cond))
        return uncond + w[:, None, None, None] * (teacher(x_t, t, cond) - uncond)

    x_t, cond = torch.randn(2, 1, 2, 2), torch.tensor([[0.5], [2.0]])
    t, rule = torch.full((2,), 30), Constant(2.5, X0)
    expected = guided(teacher, cond, torch.zeros(1, 1), rule)(x_t, t)
    torch.testing.assert_close(distilled(student, cond, rule)(x_t, t), expected)

"""The contract of every guidance rule, and what each does."""

import pytest
import torch

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion import GUIDANCE_RULES
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.guidance_rules import INTERVAL, LARGEST_CHANGE, Interval, Rising
from clipsonic_cli.diffusion.process import Process

every_rule = pytest.mark.parametrize("name", list(GUIDANCE_RULES))
PROCESS = Process(DiffusionConfig(variance="fixed"))
COND = torch.tensor([[1.0], [2.0]])
UNCOND = torch.zeros(1, 1)


class Counting:
    """A network of condition and noise that records the rows of each call."""

    def __init__(self):
        self.rows = []

    def __call__(self, x_t, t, cond):
        self.rows.append(len(x_t))
        return 0.3 * x_t + torch.sin(cond[:, :, None] + x_t)


def rule_of(name, w, process=PROCESS):
    return GUIDANCE_RULES.load(name)(w, process)


def run(name, w, t):
    """Return a guided prediction at one step of training, and the rows of the network's calls."""
    model, x_t = Counting(), torch.linspace(-1, 1, 16).reshape(2, 1, 8)
    times = torch.tensor([t, t])
    return guided(model, COND, UNCOND, rule_of(name, w))(x_t, times), model.rows


@every_rule
@pytest.mark.parametrize("t", [0, 700, 2000, 3999])
@pytest.mark.parametrize("w", [0, 0.5, 1])
def test_up_to_one_every_rule_is_constant(name, w, t):
    (found, rows), (expected, _) = run(name, w, t), run("constant", w, t)
    torch.testing.assert_close(found, expected)
    assert rows == [4 if w == 0.5 else 2]


@every_rule
def test_a_rule_changes_nothing_where_the_condition_does_not(name):
    process = Process(DiffusionConfig(variance="fixed", clip_x0=False))
    denoise = guided(Counting(), COND, COND, rule_of(name, 3.0, process))
    x_t, t = torch.linspace(-1, 1, 16).reshape(2, 1, 8), torch.tensor([1500, 1500])
    plain = guided(Counting(), COND, COND, rule_of("constant", 1))
    torch.testing.assert_close(denoise(x_t, t), plain(x_t, t), atol=1e-5, rtol=0)


def test_the_interval_doubles_the_call_inside_it_alone():
    alpha_bar = PROCESS.alphas_cumprod
    noise = ((1 - alpha_bar) / alpha_bar).sqrt()
    inside = (noise > INTERVAL[0]) & (noise <= INTERVAL[1])
    assert 0.5 < inside.double().mean() < 0.7
    for t in range(0, 4000, 97):
        w = 3.0 if inside[t] else 1.0
        (found, rows), (expected, _) = run("interval", 3.0, t), run("constant", w, t)
        torch.testing.assert_close(found, expected)
        assert rows == [4 if inside[t] else 2]


def test_no_data_at_the_last_step_is_outside_the_interval():
    process = Process(DiffusionConfig(schedule="cosine-zero-snr", prediction="v"))
    assert Interval(3.0, process).scale(torch.tensor([3999])) == 1


def test_a_rising_scale_begins_at_one_and_is_w_in_the_mean():
    rule = Rising(3.0, PROCESS)
    scales = [rule.scale(torch.tensor([t])) for t in range(4000)]
    assert (scales[0], scales[-1]) == (5, 1)
    assert scales == sorted(scales, reverse=True)
    assert sum(scales) / 4000 == pytest.approx(3)
    assert run("rising", 3.0, 3999)[1] == [2]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_apg_changes_x0_across_its_own_direction_and_by_no_more_than_allowed(prediction):
    config = DiffusionConfig(prediction=prediction, variance="fixed")
    process, generator = Process(config), torch.Generator().manual_seed(0)
    for size in (0.02, 0.5):  # within the limit, and far over it
        x_0, other = (torch.rand(2, 2, 64, generator=generator, dtype=torch.float64) - 0.5) * 0.8
        other = x_0 + size * other
        eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
        t = torch.tensor([1500, 1500])
        x_t = process.q_sample(x_0, t, eps)
        with_, without = (
            process.target(value, t, process.eps_from_x0(x_t, t, value))[:, None]
            for value in (x_0, other)
        )
        found = rule_of("apg", 2.0, process).combine(x_t[:, None], t, 2.0, with_, without)
        change = process.predict_x0(x_t[:, None], t, found)[:, 0] - x_0
        full = x_0 - other
        full *= (LARGEST_CHANGE / full.square().mean(1, keepdim=True).sqrt()).clamp(max=1)
        across = full - (full * x_0).sum(1, True) / x_0.square().sum(1, True) * x_0
        torch.testing.assert_close(change, across)
        assert (change * x_0).sum(1).abs().max() < 1e-9
        assert change.square().mean(1).sqrt().max() <= LARGEST_CHANGE


def test_apg_is_constant_guidance_for_a_small_change_across_x0():
    process = Process(DiffusionConfig(prediction="x0", variance="fixed"))
    t, x_t = torch.tensor([1500]), torch.zeros(1, 1, 4)
    with_, without = torch.tensor([[[0.5, 0.5, 0, 0]]]), torch.tensor([[[0.5, 0.5, 0.02, -0.02]]])
    both = [rule_of(name, 3.0, process) for name in ("apg", "constant")]
    guided_x0 = [rule.combine(x_t, t, 3.0, with_, without) for rule in both]
    torch.testing.assert_close(*guided_x0)
    assert not torch.allclose(guided_x0[0], with_, atol=0.03)

"""The contract of every sampler in the registry."""

import math

import pytest
import torch
from torch import Tensor

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion import SAMPLERS, ddim
from clipsonic_cli.diffusion import process as of_process
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import spaced_timesteps

every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))
MEAN, STD = 0.2, 0.15
ZERO_SNR_X0, ZERO_SNR_V = ("cosine-zero-snr", "x0"), ("cosine-zero-snr", "v")


class GaussianDenoiser:
    """The optimal network for data N(mean, std^2), with the exact reverse variance of a visit."""

    def __init__(self, config: DiffusionConfig, mean: float, std: float, timesteps: list[int]):
        self.process = Process(config)
        self.chain = self.process.respaced(timesteps)
        self.mean, self.std = mean, std

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.process.alpha_sigma(t, x_t)
        eps = sigma * (x_t - alpha * self.mean) / (alpha**2 * self.std**2 + sigma**2)
        x_0 = self.mean + alpha * self.std**2 * (x_t - alpha * self.mean) / (
            alpha**2 * self.std**2 + sigma**2
        )
        targets = {"eps": eps, "x0": x_0, "v": alpha * eps - sigma * x_0}
        prediction = targets[self.process.config.prediction]
        if self.process.config.variance == "fixed":
            return prediction
        return torch.cat([prediction, self._logits(t).to(x_t) * torch.ones_like(x_t)], dim=1)

    def _logits(self, t: Tensor) -> Tensor:
        chain = self.chain
        i = int((chain.timesteps == t[0]).nonzero())
        alpha_bar, alpha_bar_prev = chain.alphas_cumprod[i], chain.alphas_cumprod_prev[i]
        beta = chain.betas[i]
        coef_x_0 = beta * alpha_bar_prev.sqrt() / (1 - alpha_bar)
        x_0_variance = 1 / (1 / self.std**2 + alpha_bar / (1 - alpha_bar))
        log_exact = (chain.posterior_variance[i] + coef_x_0**2 * x_0_variance).log()
        low, high = chain.posterior_log_variance[i], beta.log()
        return 2 * (log_exact - low) / (high - low) - 1


def flow(process: Process, x_T: Tensor, mean: float, std: float) -> Tensor:  # noqa: N803
    """Return the end of the probability flow: the affine map between the two Gaussians."""
    alpha_bar = process.alphas_cumprod[-1].item()
    spread = (alpha_bar * std**2 + 1 - alpha_bar) ** 0.5
    return mean + std * (x_T - alpha_bar**0.5 * mean) / spread


def draw(name, config, steps, shape=(1, 2, 5), seeds=(0,), **more):
    """Return x_T in float64 and the x_0 a sampler draws from it with the exact denoiser."""
    timesteps = spaced_timesteps(config.train_steps, steps)
    denoise = GaussianDenoiser(config, MEAN, STD, timesteps)
    noise = SeededNoise(seeds)
    x_T = noise(shape).double()  # noqa: N806
    sample = SAMPLERS.load(name)
    return x_T, sample(denoise, x_T, timesteps, denoise.process, noise=noise, **more)


@every_sampler
@pytest.mark.parametrize(
    ("schedule", "prediction", "variance"),
    [
        ("cosine", "eps", "learned_range"),
        ("cosine", "x0", "fixed"),
        ("cosine", "v", "fixed"),
        ("cosine-zero-snr", "x0", "fixed"),
        ("cosine-zero-snr", "v", "learned_range"),
    ],
)
def test_an_exact_denoiser_gives_the_data_back(name, schedule, prediction, variance):
    config = DiffusionConfig(
        train_steps=1000, schedule=schedule, prediction=prediction, variance=variance
    )
    _, x_0 = draw(name, config, 1000, shape=(1, 8000))
    assert x_0.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert x_0.std().item() == pytest.approx(STD, rel=0.03)


@every_sampler
def test_the_papers_schedule_starts_without_blowing_up_in_single_precision(name):
    config = DiffusionConfig()
    timesteps = spaced_timesteps(4000, 25)
    exact = GaussianDenoiser(config, MEAN, STD, timesteps)
    noise, errors = SeededNoise([0]), SeededNoise([1])

    def imperfect(x_t, t):
        return exact(x_t, t) + 0.02 * errors((1, 2, 2000)) * torch.tensor([1.0, 0.0])[:, None]

    x_T = noise((1, 1, 2000))  # noqa: N806
    x_0 = SAMPLERS.load(name)(imperfect, x_T, timesteps, exact.process, noise=noise)
    assert x_0.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x_0.std().item() == pytest.approx(STD, rel=0.25)


@pytest.mark.parametrize(("name", "steps"), [("ddim", 1000), ("dpmpp", 100), ("unipc", 100)])
@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [("cosine", "eps"), ("cosine", "x0"), ("cosine", "v"), ZERO_SNR_X0, ZERO_SNR_V],
)
def test_deterministic_samplers_follow_the_probability_flow(name, steps, schedule, prediction):
    config = DiffusionConfig(schedule=schedule, prediction=prediction, variance="fixed")
    x_T, x_0 = draw(name, config, steps)  # noqa: N806
    expected = flow(Process(config), x_T, MEAN, STD)
    torch.testing.assert_close(x_0, expected, atol=0.02 * STD, rtol=0)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp", 2), ("unipc", 3)])
def test_the_error_falls_with_the_solvers_order(name, order):
    """From one level to another; the last step, which is of first order, is as short as can be."""
    config = DiffusionConfig(train_steps=20_000, variance="fixed")
    process, start, end = Process(config), 18_000, 1000
    denoise = GaussianDenoiser(config, MEAN, STD, [start, end])

    def error(steps):
        timesteps = [round(start + (end + 1 - start) * i / steps) for i in range(steps + 1)]
        x_T = flow_at(process, start)  # noqa: N806
        x_0 = SAMPLERS.load(name)(denoise, x_T, [*timesteps, end], process, noise=None)
        at_end, t = flow_at(process, end), torch.tensor([end])
        return (x_0 - process.predict_x0(at_end, t, denoise(at_end, t))).abs().max().item()

    assert math.log2(error(160) / error(320)) == pytest.approx(order, abs=0.25)


def flow_at(process, t):
    """Return where the probability flow is at level t, of a few samples."""
    alpha_bar = process.alphas_cumprod[t].item()
    spread = (alpha_bar * STD**2 + 1 - alpha_bar) ** 0.5
    return alpha_bar**0.5 * MEAN + spread * torch.linspace(-2, 2, 9).double()[None]


def test_unipc_goes_where_the_authors_formulas_go():
    """As UniPCMultistepScheduler of diffusers 0.42.1 on the same levels, up to the last one."""
    config = DiffusionConfig(train_steps=1000, variance="fixed")
    timesteps, visited = spaced_timesteps(1000, 8), []
    exact = GaussianDenoiser(config, MEAN, STD, timesteps)

    def denoise(x_t, t):
        visited.append(x_t)
        return exact(x_t, t)

    x_T = torch.linspace(-2, 2, 5).double()[None]  # noqa: N806
    SAMPLERS.load("unipc")(denoise, x_T, timesteps, exact.process, noise=None)
    expected = [0.0325955689029, 0.1162953077255, 0.1999950465481, 0.2836947853706, 0.3673945241932]
    assert visited[-1][0].tolist() == pytest.approx(expected, abs=1e-12)


def test_higher_orders_are_nearer_the_flow_in_as_many_steps():
    config = DiffusionConfig(variance="fixed")
    errors = {}
    for name in ("ddim", "dpmpp", "unipc"):
        x_T, x_0 = draw(name, config, 25)  # noqa: N806
        errors[name] = (x_0 - flow(Process(config), x_T, MEAN, STD)).abs().max().item()
    assert errors["dpmpp"] < 0.6 * errors["ddim"]
    assert errors["unipc"] < errors["dpmpp"]


@every_sampler
@pytest.mark.parametrize("steps", [2, 25])
def test_guided_sampling_from_pure_noise_is_sampling_of_what_guidance_says(name, steps):
    """w (cond - uncond) of two Gaussians that differ in their means only is one further out."""
    config = DiffusionConfig(schedule="cosine-zero-snr", prediction="v", variance="fixed")
    timesteps = spaced_timesteps(4000, steps)
    near, far, further = (GaussianDenoiser(config, m, STD, timesteps) for m in (0.0, 0.2, 0.3))

    def model(x_t, t, cond):
        return torch.where(cond > 0, far(x_t, t), near(x_t, t))

    cond = torch.ones(1, 1)
    combined = guided(model, cond, -cond, Constant(1.5, near.process))
    samples = []
    for denoise in (combined, further):
        noise = SeededNoise([0])
        x_T = noise((1, 200)).double()  # noqa: N806
        samples.append(SAMPLERS.load(name)(denoise, x_T, timesteps, near.process, noise=noise))
    torch.testing.assert_close(*samples)
    assert samples[0].mean().item() == pytest.approx(0.3, abs=0.05)


def test_both_solvers_leave_pure_noise_by_the_same_step():
    """To the next level with x_T as its noise, as no solver has a previous step."""
    config = DiffusionConfig(schedule="cosine-zero-snr", prediction="v", variance="fixed")
    torch.testing.assert_close(draw("dpmpp", config, 2), draw("ddim", config, 2))


@every_sampler
def test_no_data_at_the_last_step_is_the_limit_of_ever_less(name, monkeypatch):
    """With alpha_bar = 1e-280 there, and so half a log ratio of -322 instead of -infinity."""
    config = DiffusionConfig(schedule="cosine-zero-snr", prediction="v", variance="fixed")
    _, none = draw(name, config, 10)
    exact = of_process.zero_terminal_snr
    monkeypatch.setattr(
        of_process, "zero_terminal_snr", lambda schedule: exact(schedule).clamp(min=1e-280)
    )
    _, little = draw(name, config, 10)
    torch.testing.assert_close(little, none, atol=0.001 * STD, rtol=0)


def test_the_learned_variance_keeps_ancestral_sampling_exact_in_few_steps():
    learned = draw("ddpm", DiffusionConfig(), 10, shape=(1, 20_000))[1].std().item()
    fixed = draw("ddpm", DiffusionConfig(variance="fixed"), 10, shape=(1, 20_000))[1].std().item()
    assert learned == pytest.approx(STD, rel=0.02)
    assert fixed < 0.9 * STD


def test_ddim_with_eta_one_draws_what_ancestral_sampling_draws():
    config = DiffusionConfig(variance="fixed")
    _, ancestral = draw("ddpm", config, 20)
    _, implicit = draw("ddim", config, 20, eta=1.0)
    torch.testing.assert_close(implicit, ancestral)


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_an_eta_outside_its_range_is_rejected(eta):
    with pytest.raises(ValueError, match="eta"):
        ddim.sample(None, None, [0], None, noise=None, eta=eta)


@every_sampler
def test_a_seed_gives_the_same_sample_alone_and_in_a_batch(name):
    config = DiffusionConfig(train_steps=50)
    _, batch = draw(name, config, 10, shape=(3, 2, 5), seeds=(3, 7, 11))
    _, alone = draw(name, config, 10, shape=(1, 2, 5), seeds=(7,))
    assert torch.equal(batch[1:2], alone)
    assert not torch.equal(batch[0], batch[1])


@every_sampler
@pytest.mark.parametrize("shape", [(2, 1), (2, 3, 4), (2, 1, 4, 8)])
def test_samples_have_the_shape_and_precision_of_the_noise(name, shape):
    x_T, x_0 = draw(name, DiffusionConfig(train_steps=50), 5, shape, seeds=(0, 1))  # noqa: N806
    assert (x_0.shape, x_0.dtype) == (x_T.shape, x_T.dtype)


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_one_report_a_step_and_one_call_of_the_network(name, steps):
    reports, calls = [], []
    config = DiffusionConfig(train_steps=50, variance="fixed")

    def denoise(x_t, t):
        calls.append(t.tolist())
        return x_t

    x_T, timesteps = SeededNoise([0, 1])((2, 3)), spaced_timesteps(50, steps)  # noqa: N806
    SAMPLERS.load(name)(
        denoise,
        x_T,
        timesteps,
        Process(config),
        noise=SeededNoise([0, 1]),
        report=lambda *args: reports.append(args),
    )
    assert reports == [("sample", done, steps) for done in range(1, steps + 1)]
    assert calls == [[t, t] for t in timesteps]


@every_sampler
def test_the_network_is_never_differentiated_through(name):
    weight = torch.ones(1, requires_grad=True)
    process = Process(DiffusionConfig(train_steps=50, variance="fixed"))
    noise = SeededNoise([0])
    x_0 = SAMPLERS.load(name)(lambda x, t: x * weight, noise((1, 3)), [49, 0], process, noise=noise)
    assert not x_0.requires_grad


def test_eta_is_the_share_of_the_posteriors_spread():
    process = Process(DiffusionConfig(prediction="x0", variance="fixed"))
    seen = []

    def denoise(x_t, t):
        seen.append(x_t)
        return torch.zeros_like(x_t)

    nothing = torch.zeros(1, 4)
    ddim.sample(denoise, nothing, [2000, 1000], process, noise=SeededNoise([0]), eta=0.5)
    spread = process.respaced([2000, 1000]).posterior_variance[1].sqrt().item()
    torch.testing.assert_close(seen[1], 0.5 * spread * SeededNoise([0])((1, 4)))

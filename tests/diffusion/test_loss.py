import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.loss import hybrid_loss, min_snr_weight, variational_bound
from clipsonic_cli.diffusion.process import Process

PREDICTIONS = ["eps", "x0", "v"]


def batch(prediction, level, variance="learned_range", error=0.1, **more):
    """Return a process, an output off by ``error``, and the inputs of the loss, all float64."""
    process = Process(DiffusionConfig(prediction=prediction, variance=variance, **more))
    generator = torch.Generator().manual_seed(level)
    x_0, eps, off, logits = torch.randn(4, 3, 2, 5, generator=generator).double().unbind(0)
    x_0, t = x_0.clamp(-0.99, 0.99), torch.full((3,), level)
    output = process.target(x_0, t, eps) + error * off
    if variance == "learned_range":
        output = torch.cat([output, logits], dim=1)
    return process, output, x_0, process.q_sample(x_0, t, eps), t, eps


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_fixed_variance_leaves_the_squared_error(prediction):
    process, output, x_0, x_t, t, eps = batch(prediction, 500, "fixed")
    expected = ((output - process.target(x_0, t, eps)) ** 2).mean((1, 2))
    torch.testing.assert_close(hybrid_loss(process, output, x_0, x_t, t, eps), expected)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("train_steps", [1000, 4000])
def test_a_learned_variance_adds_the_divergence_in_bits(prediction, train_steps):
    process, output, x_0, x_t, t, eps = batch(prediction, 500, train_steps=train_steps)
    prediction, logits = output.chunk(2, 1)
    guess = process.x0_from_prediction(x_t, t, prediction)
    low, high = process.posterior_variance[500].log(), process.betas[500].log()
    std = (0.5 * (low + (logits + 1) / 2 * (high - low))).exp()
    truth = Normal(process.posterior_mean(x_0, x_t, t), process.posterior_variance[500].sqrt())
    bits = kl_divergence(truth, Normal(process.posterior_mean(guess, x_t, t), std)) / math.log(2)
    expected = (prediction - process.target(x_0, t, eps)) ** 2 + bits * train_steps / 1000
    loss = hybrid_loss(process, output, x_0, x_t, t, eps)
    torch.testing.assert_close(loss, expected.mean((1, 2)))


def test_the_first_level_counts_the_mass_of_a_bin():
    process, output, x_0, x_t, t, _ = batch("eps", 0)
    x_0[:, 0, :2] = torch.tensor([-1.0, 1.0])
    prediction, logits = output.chunk(2, 1)
    mean = process.x0_from_prediction(x_t, t, prediction)
    normal = Normal(mean, (0.5 * process.log_variance(t, logits, x_t)).exp())
    upper, lower = normal.cdf(x_0 + 1 / 255), normal.cdf(x_0 - 1 / 255)
    upper[x_0 == 1], lower[x_0 == -1] = 1, 0
    expected = -(upper - lower).clamp(min=1e-12).log2().mean((1, 2))
    torch.testing.assert_close(
        variational_bound(process, prediction, logits, x_0, x_t, t), expected, atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("level", [0, 1, 2000, 3999])
def test_the_bound_trains_the_variance_and_the_error_the_prediction(level):
    process, output, x_0, x_t, t, eps = batch("eps", level)
    output.requires_grad_()
    hybrid_loss(process, output, x_0, x_t, t, eps).sum().backward()
    mean_grad, logits_grad = output.grad.chunk(2, 1)
    error = output.detach()[:, :2] - eps
    torch.testing.assert_close(mean_grad, 2 * error / error[0].numel())
    assert logits_grad.abs().sum() > 0


def test_a_perfect_network_has_no_loss():
    process, output, x_0, x_t, t, eps = batch("eps", 700, error=0)
    output[:, 2:] = -1  # the posterior variance
    loss = hybrid_loss(process, output, x_0, x_t, t, eps)
    torch.testing.assert_close(loss, torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_the_loss_of_a_sample_does_not_depend_on_its_neighbours():
    process, output, x_0, x_t, t, eps = batch("v", 900)
    t = torch.tensor([0, 900, 3999])
    whole = hybrid_loss(process, output, x_0, x_t, t, eps)
    for i in range(3):
        alone = (tensor[i : i + 1] for tensor in (output, x_0, x_t, t, eps))
        torch.testing.assert_close(hybrid_loss(process, *alone), whole[i : i + 1])
    assert whole.isfinite().all()


def reference_gradient(process, output, x_0, x_t, t, eps):
    """The gradient of the mean loss by hand, from Nichol & Dhariwal 2021, eqs. 9 to 16.

    The prediction's is 2 (eps_hat - eps) / n. The logits v' only enter
    log var = f log beta + (1 - f) log beta_tilde, f = (v' + 1) / 2, of which the divergence
    (log var - ... + (s^2 + d^2) / var) / 2 has the derivative (1 - (s^2 + d^2) / var) / 2.
    """
    level, n, batch_size = int(t[0]), x_0[0].numel(), len(x_0)
    bar = process.alphas_cumprod[level]
    before, beta = process.alphas_cumprod[level - 1], 1 - bar / process.alphas_cumprod[level - 1]
    s2 = beta * (1 - before) / (1 - bar)
    prediction, logits = output.detach().chunk(2, 1)
    wrong = (x_t - (1 - bar).sqrt() * prediction) / bar.sqrt() - x_0
    d = wrong * before.sqrt() * beta / (1 - bar)
    variance = torch.exp((logits + 1) / 2 * beta.log() + (1 - logits) / 2 * s2.log())
    of_log = (1 - (s2 + d**2) / variance) / 2
    of_logits = of_log * (beta.log() - s2.log()) / 2 / math.log(2) * process.config.train_steps
    return torch.cat([2 * (prediction - eps), of_logits / 1000], 1) / n / batch_size


@pytest.mark.parametrize("level", [1, 10, 2000, 3990])
def test_gradients_are_the_closed_form(level):
    process, output, x_0, x_t, t, eps = batch("eps", level)
    output.requires_grad_()
    hybrid_loss(process, output, x_0, x_t, t, eps).mean().backward()
    expected = reference_gradient(process, output, x_0, x_t, t, eps)
    torch.testing.assert_close(output.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_counts_every_prediction_as_one_of_x0(prediction):
    """The squared error of x0 that the same wrong guess of x0 makes, times min(snr, 5)."""
    process, output, x_0, x_t, t, eps = batch(prediction, 0, "fixed")
    t = torch.tensor([3, 1500, 3000])
    x_t = process.q_sample(x_0, t, eps)
    output = process.target(x_0, t, eps) + 0.1
    snr = process.alphas_cumprod[t] / (1 - process.alphas_cumprod[t])
    wrong = process.x0_from_prediction(x_t, t, output) - x_0
    expected = wrong.square().mean((1, 2)) * snr.clamp(max=5)
    loss = hybrid_loss(process, output, x_0, x_t, t, eps, min_snr=5.0)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("min_snr", [None, 5.0])
@pytest.mark.parametrize("variance", ["fixed", "learned_range"])
@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_pure_noise_has_a_finite_loss_with_a_finite_gradient(prediction, variance, min_snr):
    process, output, x_0, x_t, t, eps = batch(
        prediction, 3999, variance, schedule="cosine-zero-snr"
    )
    assert torch.equal(x_t, eps)
    output.requires_grad_()
    loss = hybrid_loss(process, output, x_0, x_t, t, eps, min_snr=min_snr)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert output.grad.isfinite().all()
    assert bool(output.grad[:, :2].any()) == (min_snr is None)  # min-SNR weighs it by its SNR, 0


@pytest.mark.parametrize("level", [1, 2000, 3999])
def test_the_loss_is_the_same_formula_whichever_the_schedule(level):
    """Nichol & Dhariwal 2021, eq. 16, by hand with v: at pure noise x_0 is -v."""
    process, output, x_0, x_t, t, eps = batch("v", level, schedule="cosine-zero-snr")
    prediction, logits = output.chunk(2, 1)
    bar = process.alphas_cumprod[level]
    guess = bar.sqrt() * x_t - (1 - bar).sqrt() * prediction
    low, high = process.posterior_variance[level].log(), process.betas[level].log()
    std = (0.5 * (low + (logits + 1) / 2 * (high - low))).exp()
    truth = Normal(process.posterior_mean(x_0, x_t, t), process.posterior_variance[level].sqrt())
    bits = kl_divergence(truth, Normal(process.posterior_mean(guess, x_t, t), std)) / math.log(2)
    expected = (prediction - process.target(x_0, t, eps)) ** 2 + bits * 4
    torch.testing.assert_close(
        hybrid_loss(process, output, x_0, x_t, t, eps), expected.mean((1, 2))
    )


def test_min_snr_leaves_noisy_levels_and_the_bound_alone():
    process, output, x_0, x_t, t, eps = batch("eps", 3000)
    plain = hybrid_loss(process, output, x_0, x_t, t, eps)
    assert torch.equal(min_snr_weight(process, t, 5.0), torch.ones(3).double())
    torch.testing.assert_close(hybrid_loss(process, output, x_0, x_t, t, eps, min_snr=5.0), plain)

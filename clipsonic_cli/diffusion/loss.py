"""Training losses of a denoiser."""

import math

import torch
from torch import Tensor

from clipsonic_cli.diffusion.process import Process


def hybrid_loss(
    process: Process,
    model_output: Tensor,
    x_0: Tensor,
    x_t: Tensor,
    t: Tensor,
    eps: Tensor,
    *,
    min_snr: float | None = None,
) -> Tensor:
    """Compute the loss of each sample, (B,): squared error, plus the bound for a learned variance.

    The bound, in bits per dimension and times ``train_steps / 1000``, takes a detached prediction:
    it trains the variance logits only, and the squared error the prediction only.

    Args:
        process: The whole training schedule.
        model_output: (B, C or 2C, ...) prediction, then variance logits if learned.
        x_0: (B, C, ...) data in [-1, 1].
        x_t: (B, C, ...) the same with noise.
        t: (B,) int64 training steps.
        eps: (B, C, ...) the noise added.
        min_snr: Bound of :func:`min_snr_weight` for the squared error; None, as in the paper, does
            not weight it.

    Source:
        Nichol & Dhariwal 2021, eqs. 14 and 16, with the rescaled weight of their released code.
    """
    prediction, logits = process.split(model_output, x_t)
    squared = _mean((prediction - process.target(x_0, t, eps)) ** 2)
    if min_snr is not None:
        weight = min_snr_weight(process, t, min_snr)
        squared = squared * weight.to(squared.dtype).to(squared.device)
    if logits is None:
        return squared
    bound = variational_bound(process, prediction.detach(), logits, x_0, x_t, t)
    return squared + bound * (process.config.train_steps / 1000)


def min_snr_weight(process: Process, t: Tensor, bound: float) -> Tensor:
    """Return the weight of each sample's squared error, (B,) float64 on the CPU, at steps t (B,).

    An error of x_0 is weighted by min(snr, bound), of eps and v equivalently, with snr the ratio of
    signal to noise variance, so that nearly clean samples do not dominate. At zero terminal SNR the
    weight is 0. ``bound`` is the paper's gamma, 5 there.

    Source:
        Hang et al. 2023, section 3.4.
    """
    alpha_bar = process.alphas_cumprod[t.cpu()]
    snr = alpha_bar / (1 - alpha_bar)
    bounded = snr.clamp(max=bound)
    match process.config.prediction:
        case "x0":
            return bounded
        case "eps":
            return bounded / snr
        case "v":
            return bounded / (snr + 1)


def variational_bound(
    process: Process, prediction: Tensor, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor
) -> Tensor:
    """Compute each sample's term of the variational bound at t, (B,) in bits per dimension.

    It is the divergence of p(x_{t-1} | x_t) from the posterior; at t = 0 the negative log
    likelihood of data in 256 levels (Nichol & Dhariwal 2021, eqs. 4 to 7).
    """
    x0 = process.x0_from_prediction(x_t, t, prediction)
    mean = process.posterior_mean(x0, x_t, t)
    log_variance = process.log_variance(t, logits, x_t)
    divergence = _gaussian_kl(
        process.posterior_mean(x_0, x_t, t),
        process.log_variance(t, None, x_t),
        mean,
        log_variance,
    )
    likelihood = _discretised_nll(x_0, mean, log_variance)
    first = (t == 0).to(x_t.device)
    return torch.where(first, _mean(likelihood), _mean(divergence)) / math.log(2)


def _gaussian_kl(mean: Tensor, log_variance: Tensor, mean_q: Tensor, log_q: Tensor) -> Tensor:
    """Compute KL(N(mean, exp log_variance) || N(mean_q, exp log_q)), elementwise in nats."""
    log_ratio = log_variance - log_q
    return 0.5 * (log_ratio.exp() - 1 - log_ratio + (mean - mean_q) ** 2 * (-log_q).exp())


def _discretised_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute -log of the mass in x's bin of half-width 1/255; the outer bins are open."""
    inverse_std = (-0.5 * log_variance).exp()
    upper = (x - mean + 1 / 255) * inverse_std
    lower = (x - mean - 1 / 255) * inverse_std
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    mass = torch.where(x > 0.999, torch.special.ndtr(-lower), mass)
    mass = torch.where(x < -0.999, torch.special.ndtr(upper), mass)
    return -mass.clamp(min=1e-12).log()


def _mean(x: Tensor) -> Tensor:
    """Return the mean over all but the batch axis, (B,)."""
    return x.flatten(1).mean(dim=1)

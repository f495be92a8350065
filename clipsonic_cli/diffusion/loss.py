"""What a denoiser is trained on. Knows the process; does not know the network."""

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
    """Return the loss of each sample: squared error, plus the bound where a variance is learned.

    The bound, in bits a dimension and times ``train_steps / 1000``, sees a detached prediction:
    it trains the variance logits only, and the squared error the prediction only.

    Args:
        process: The whole training schedule.
        model_output: (B, C or 2C, ...) prediction, then variance logits if learned.
        x_0: (B, C, ...) data in [-1, 1].
        x_t: (B, C, ...) the same with noise.
        t: (B,) int64 training steps.
        eps: (B, C, ...) the noise that was added.
        min_snr: Weighs the squared error by :func:`min_snr_weight` with this bound; None, as in
            the paper, does not.

    Returns:
        (B,) losses.

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
    """Return the weight of each sample's squared error, (B,) float64 on the CPU.

    All predictions are weighed as one of x_0 by min(snr, bound), with snr the ratio of the
    variances of signal and noise: nearly clean samples, easily learned, no longer dominate. Where
    nothing of the data is left (zero terminal SNR) the weight is 0, and a network answers pure
    noise as it learned to answer the steps before.

    Args:
        process: The whole training schedule.
        t: (B,) int64 training steps.
        bound: The paper's gamma, above 0; 5 there.

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
    """Return each sample's term of the variational bound at t, (B,) in bits a dimension.

    The divergence of p(x_{t-1} | x_t) from the posterior; at t = 0 the negative log likelihood of
    data in 256 levels (Nichol & Dhariwal 2021, eqs. 4 to 7).
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


def _gaussian_kl(mean: Tensor, log_variance: Tensor, of_mean: Tensor, of_log: Tensor) -> Tensor:
    """Divergence of N(of_mean, exp of_log) from N(mean, exp log_variance), elementwise in nats."""
    spread = log_variance - of_log
    return 0.5 * (spread.exp() - 1 - spread + (mean - of_mean) ** 2 * (-of_log).exp())


def _discretised_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the mass in x's bin of half-width 1/255, elementwise; the outer bins are open."""
    inverse_std = (-0.5 * log_variance).exp()
    upper = (x - mean + 1 / 255) * inverse_std
    lower = (x - mean - 1 / 255) * inverse_std
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    mass = torch.where(x > 0.999, torch.special.ndtr(-lower), mass)
    mass = torch.where(x < -0.999, torch.special.ndtr(upper), mass)
    return -mass.clamp(min=1e-12).log()


def _mean(x: Tensor) -> Tensor:
    """Mean over all but the batch axis, (B,)."""
    return x.flatten(1).mean(dim=1)

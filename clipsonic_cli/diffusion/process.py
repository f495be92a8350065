"""The diffusion process: its schedule and every closed form that follows from it.

Notation as in Nichol & Dhariwal 2021, with ``alpha = sqrt(alpha_bar)`` and
``sigma = sqrt(1 - alpha_bar)``: x_t = alpha x_0 + sigma eps.
"""

import math
from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor

from clipsonic_cli.config import DiffusionConfig


def cosine_alphas_cumprod(train_steps: int) -> Tensor:
    """Return alpha_bar of the cosine schedule, (train_steps,) float64.

    Source:
        Nichol & Dhariwal 2021, eq. 17, with s = 0.008 and betas clipped to 0.999.
    """
    time = torch.arange(train_steps + 1, dtype=torch.float64) / train_steps
    alpha_bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, 0)


def zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Return a falling schedule (n,), n >= 2, changed so that its last alpha_bar is exactly 0.

    Source:
        Lin et al. 2023, algorithm 1: sqrt(alpha_bar) is shifted and scaled.
    """
    alpha = alphas_cumprod.sqrt()
    return alphas_cumprod[0] * ((alpha - alpha[-1]) / (alpha[0] - alpha[-1])) ** 2


class Process:
    """A chain of noise levels: the training schedule, or the part of it a sampler visits.

    Every ``t`` below is a (B,) or (1,) int64 index *into this chain*, least noise first;
    ``timesteps`` has the step of the training schedule for each one, which is a network's input.
    Tables are float64 on the CPU and looked up there: a ``t`` on the CPU saves a synchronisation.

    Args:
        config: Schedule, prediction and variance.
        timesteps: Steps of the training schedule to keep, strictly ascending or strictly
            descending; None keeps all.

    Attributes:
        timesteps: (n,) int64 steps of the training schedule, ascending.
        alphas_cumprod: (n,) alpha_bar.
        alphas_cumprod_prev: (n,) alpha_bar of the level below; 1, the data, for the first.
        log_snr: (n,) half the log signal-to-noise ratio, log(alpha / sigma); -inf without data.
        betas: (n,) variance of a step of this chain.
        posterior_variance: (n,) beta tilde, Nichol & Dhariwal 2021, eq. 10.
        posterior_log_variance: (n,) its log, with the second entry in place of the first, which
            is the log of 0.
    """

    def __init__(self, config: DiffusionConfig, timesteps: Sequence[int] | None = None) -> None:
        alphas_cumprod = cosine_alphas_cumprod(config.train_steps)
        match config.schedule:
            case "cosine":
                pass
            case "cosine-zero-snr":
                alphas_cumprod = zero_terminal_snr(alphas_cumprod)
            case unknown:
                raise ValueError(f"unknown schedule {unknown!r}: known are cosine, cosine-zero-snr")
        steps = list(range(config.train_steps) if timesteps is None else timesteps)
        kept = sorted(steps)
        if not kept or kept[0] < 0 or kept[-1] >= config.train_steps:
            raise ValueError(f"timesteps must be in 0 .. {config.train_steps - 1}: {timesteps}")
        if len(set(kept)) < len(kept) or steps not in (kept, kept[::-1]):
            raise ValueError(f"timesteps must be distinct and in order: {timesteps}")
        self.config = config
        self.timesteps = torch.tensor(kept)
        self.alphas_cumprod = alphas_cumprod[self.timesteps]
        self.log_snr = 0.5 * torch.logit(self.alphas_cumprod)
        self.alphas_cumprod_prev = torch.cat(
            [torch.ones(1, dtype=torch.float64), self.alphas_cumprod[:-1]]
        )
        self.betas = 1 - self.alphas_cumprod / self.alphas_cumprod_prev
        self.posterior_variance = (
            self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        )
        # A chain of one level never draws noise; its beta only keeps the log finite.
        first = self.posterior_variance[1:2] if len(kept) > 1 else self.betas
        self.posterior_log_variance = torch.cat([first, self.posterior_variance[1:]]).log()

    def __len__(self) -> int:
        return len(self.timesteps)

    def respaced(self, timesteps: Sequence[int]) -> "Process":
        """Return the chain of some steps of the *training* schedule, with its own betas.

        Source:
            Nichol & Dhariwal 2021, eq. 19.
        """
        return Process(self.config, timesteps)

    def network_time(self, timesteps: Tensor) -> Tensor:
        """Return the U-Net's time input: training steps (B,) rescaled to [0, 1000), float32.

        A network with a table of timesteps, such as the prior's, takes the integers instead.

        Source:
            ``rescale_timesteps`` of the code released with Nichol & Dhariwal 2021.
        """
        return timesteps.float() * (1000 / self.config.train_steps)

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar), shaped to multiply ``like`` (B, ...)."""
        alpha_bar = self.alphas_cumprod[t.cpu()]
        return _append_dims(alpha_bar.sqrt(), like), _append_dims((1 - alpha_bar).sqrt(), like)

    def q_sample(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Return x_t, the data with noise of level t (Nichol & Dhariwal 2021, eq. 9)."""
        alpha, sigma = self.alpha_sigma(t, x_0)
        return alpha * x_0 + sigma * eps

    def target(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Return the network's target; v as in Salimans & Ho 2022, appendix D."""
        match self.config.prediction:
            case "eps":
                return eps
            case "x0":
                return x_0
            case "v":
                alpha, sigma = self.alpha_sigma(t, x_0)
                return alpha * eps - sigma * x_0
            case never:
                assert_never(never)

    def split(self, output: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split a model output into prediction and variance logits, or None, in the dtype of x_t.

        The output is (B, 2C, ...) for a learned variance, else (B, C, ...), as x_t.
        """
        learned = self.config.variance == "learned_range"
        expected = (x_t.shape[0], x_t.shape[1] * (2 if learned else 1), *x_t.shape[2:])
        if output.shape != expected:
            raise ValueError(
                f"a {self.config.variance} process needs a model output of shape {expected}, "
                f"got {tuple(output.shape)}"
            )
        output = output.to(x_t.dtype)
        if not learned:
            return output, None
        prediction, logits = output.chunk(2, dim=1)
        return prediction, logits

    def x0_from_prediction(self, x_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
        """Return the x0 that a prediction of eps, x0 or v implies, not clamped."""
        match self.config.prediction:
            case "eps":
                alpha, sigma = self.alpha_sigma(t, x_t)
                return (x_t - sigma * prediction) / alpha
            case "x0":
                return prediction
            case "v":
                alpha, sigma = self.alpha_sigma(t, x_t)
                return alpha * x_t - sigma * prediction
            case never:
                assert_never(never)

    def predict_x0(self, x_t: Tensor, t: Tensor, output: Tensor) -> Tensor:
        """Return the x0 that a model output implies, clamped to [-1, 1] if ``clip_x0``.

        The clamp matters: at the noisiest level an error in eps is multiplied by 1 / alpha, which
        is 81,165 for 4000 steps.
        """
        x0 = self.x0_from_prediction(x_t, t, self.split(output, x_t)[0])
        return x0.clamp(-1, 1) if self.config.clip_x0 else x0

    def eps_from_x0(self, x_t: Tensor, t: Tensor, x_0: Tensor) -> Tensor:
        """Return the noise that separates x_t from x_0."""
        alpha, sigma = self.alpha_sigma(t, x_t)
        return (x_t - alpha * x_0) / sigma

    def posterior_mean(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Return the mean of q(x_{t-1} | x_t, x_0) (Nichol & Dhariwal 2021, eq. 11)."""
        t = t.cpu()
        alpha_bar, alpha_bar_prev = self.alphas_cumprod[t], self.alphas_cumprod_prev[t]
        beta = self.betas[t]
        coef_x_0 = beta * alpha_bar_prev.sqrt() / (1 - alpha_bar)
        coef_x_t = (1 - beta).sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
        return _append_dims(coef_x_0, x_0) * x_0 + _append_dims(coef_x_t, x_t) * x_t

    def log_variance(self, t: Tensor, logits: Tensor | None, like: Tensor) -> Tensor:
        """Return the log variance of p(x_{t-1} | x_t), with shape, device and dtype of ``like``.

        Logits in [-1, 1], not clamped, interpolate from beta tilde to beta; None is beta tilde.

        Source:
            Nichol & Dhariwal 2021, eq. 15.
        """
        low = _append_dims(self.posterior_log_variance[t.cpu()], like)
        if logits is None:
            return low
        high = _append_dims(self.betas[t.cpu()].log(), like)
        fraction = (logits + 1) / 2
        return fraction * high + (1 - fraction) * low


def _append_dims(values: Tensor, like: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, ..., 1); cast before moving, as not every device has float64."""
    return values.to(like.dtype).to(like.device).reshape(-1, *[1] * (like.ndim - 1))

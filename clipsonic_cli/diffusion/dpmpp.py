"""DPM-Solver++(2M): a deterministic second-order multistep solver, good from about 12 steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.types import Denoise, Noise, Report, silent


@torch.no_grad()
def sample(
    denoise: Denoise,
    x_T: Tensor,  # noqa: N803
    timesteps: Sequence[int],
    process: Process,
    *,
    noise: Noise,  # noqa: ARG001 - every sampler is called alike
    report: Report = silent,
) -> Tensor:
    """Solve the probability flow in the half log signal-to-noise ratio, extrapolating x0.

    The first step has no past. The last two fall to the least noise and to none, over several times
    the log ratio of the step before, where extrapolation would overshoot: on an exact denoiser of
    a mixture, 25 steps err by 0.094 with it and by 0.024 without. These are of first order.

    Args:
        denoise: Gives the model output at x_t and training step t.
        x_T: (B, ...) standard normal noise.
        timesteps: Training steps to visit, noisiest first.
        process: The process the network was trained on.
        noise: Not drawn.
        report: Called as ``("sample", done, total)`` after every step.

    Returns:
        x_0, shaped as x_T.

    Source:
        Lu et al. 2022 (DPM-Solver++), algorithm 2.
    """
    chain = process.respaced(timesteps)
    # lambda, (n,) float64. It is -inf where nothing of the data is left (zero terminal SNR), and
    # what follows from it is the limit of ever less data. First step: h = inf, expm1(-h) = -1 and
    # x_t = sigma_below x_T + alpha_below x_0, which is q(x_t | x_0) with x_T for its noise. Second:
    # ratio = 0, as a change of x_0 over an infinite h gives no slope to go on with.
    log_snr = 0.5 * torch.logit(chain.alphas_cumprod)
    x_t, x_0 = x_T, x_T
    for i in reversed(range(len(chain))):
        t = torch.tensor([i])
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        previous, x_0 = x_0, chain.predict_x0(x_t, t, output)
        if i > 0:
            h = log_snr[i - 1] - log_snr[i]
            data = x_0
            if 1 < i < len(chain) - 1:
                ratio = h / (log_snr[i] - log_snr[i + 1])  # this step over the one before
                data = x_0 + (0.5 * ratio).item() * (x_0 - previous)
            _, sigma = chain.alpha_sigma(t, x_t)
            alpha_below, sigma_below = chain.alpha_sigma(t - 1, x_t)
            x_t = sigma_below / sigma * x_t - alpha_below * torch.expm1(-h).item() * data
        report("sample", len(chain) - i, len(chain))
    return x_0

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
    noise: Noise,  # noqa: ARG001 - the signature of every sampler
    report: Report = silent,
) -> Tensor:
    """Solve the probability flow in the half log signal-to-noise ratio, extrapolating x0.

    The first step and the last two are of first order. The last two go to the least noise and to
    none, over several times the log ratio of the step before, where extrapolation would overshoot:
    for an exact denoiser of a mixture, the error of 25 steps is 0.094 with it and 0.024 without.
    Draws no noise; see :data:`SAMPLERS`.

    Source:
        Lu et al. 2022 (DPM-Solver++), algorithm 2.
    """
    chain = process.respaced(timesteps)
    # note: log_snr is -inf at zero terminal SNR, and the steps take the limit. First step: h = inf,
    # expm1(-h) = -1 and x_t = sigma_next x_T + alpha_next x_0, which is q(x_t | x_0) with x_T as
    # its noise. Second: ratio = 0, as x_0 has no slope over an infinite h.
    x_t, x_0 = x_T, x_T
    for i in reversed(range(len(chain))):
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        previous, x_0 = x_0, chain.predict_x0(x_t, torch.tensor([i]), output)
        if i > 0:
            x_t = step(chain, i, x_t, extrapolate(chain, i, x_0, previous))
        report("sample", len(chain) - i, len(chain))
    return x_0


def extrapolate(chain: Process, i: int, x_0: Tensor, previous: Tensor) -> Tensor:
    """Return the x0 to take the step from level i to the next with.

    ``x_0`` was predicted at level i, ``previous`` at the one before, which has no use for the first
    step and the last.
    """
    if not 1 < i < len(chain) - 1:
        return x_0
    log_snr = chain.log_snr
    ratio = (log_snr[i - 1] - log_snr[i]) / (log_snr[i] - log_snr[i + 1])  # to the step before
    return x_0 + (0.5 * ratio).item() * (x_0 - previous)


def step(chain: Process, i: int, x_t: Tensor, x_0: Tensor) -> Tensor:
    """Return the solution at level i - 1 from x_t at level i, for an x0 that is constant between.

    Source:
        Lu et al. 2022 (DPM-Solver++), eq. 8.
    """
    t = torch.tensor([i])
    h = chain.log_snr[i - 1] - chain.log_snr[i]
    _, sigma = chain.alpha_sigma(t, x_t)
    alpha_next, sigma_next = chain.alpha_sigma(t - 1, x_t)
    return sigma_next / sigma * x_t - alpha_next * torch.expm1(-h).item() * x_0

"""DPM-Solver++(2M): a deterministic second-order multistep solver.

It is good from 8 steps where the timesteps were chosen for the network, else from about 12.
"""

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
    share = extrapolated_share(log_snr[i + 1], log_snr[i], log_snr[i - 1])
    return x_0 + share.item() * (x_0 - previous)


def step(chain: Process, i: int, x_t: Tensor, x_0: Tensor) -> Tensor:
    """Return the solution at level i - 1 from x_t at level i, for a constant x0 between."""
    of_x_t, of_x_0 = step_shares(chain.log_snr[i], chain.log_snr[i - 1])
    return of_x_t.item() * x_t + of_x_0.item() * x_0


def extrapolated_share(before: Tensor, now: Tensor, later: Tensor) -> Tensor:
    """Return the share of x0's last change to add to it for a step, from half log SNRs."""
    return 0.5 * (later - now) / (now - before)


def step_shares(now: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of x_t and of x0 in the end of a step, from half log SNRs.

    Source:
        Lu et al. 2022 (DPM-Solver++), algorithm 2.
    """
    sigma, sigma_later = (torch.sigmoid(-2 * level).sqrt() for level in (now, later))
    return sigma_later / sigma, -torch.sigmoid(2 * later).sqrt() * torch.expm1(now - later)

"""UniPC of order two: DPM-Solver++(2M), each of whose steps is corrected once its end is known."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.diffusion.dpmpp import extrapolate, step
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.types import Denoise, Noise, Report, silent

FIRST_SHARE = 0.5
"""Share of x0's change over the first step to add to it when that step is corrected."""


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
    """Solve the probability flow as ``dpmpp`` does, and repeat each step with the x0 at its end.

    The correction raises the order of accuracy from two to three and costs no call of the network,
    as x0 is predicted only where the first attempt ends. The last step is not corrected: x0 at its
    end is the result. Draws no noise; see :data:`SAMPLERS`.

    Source:
        Zhao et al. 2023 (UniPC, arXiv 2302.04867), for predictions of x0, with p = 2 and B_2(h) =
        e^h - 1.
    """
    chain = process.respaced(timesteps)
    start, x_t = x_T, x_T
    x_0 = previous = before = x_T
    for i in reversed(range(len(chain))):
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        x_0, previous, before = chain.predict_x0(x_t, torch.tensor([i]), output), x_0, previous
        if i > 0:
            if i < len(chain) - 1:
                x_t = step(chain, i + 1, start, correct(chain, i, x_0, previous, before))
            start, x_t = x_t, step(chain, i, x_t, extrapolate(chain, i, x_0, previous))
        report("sample", len(chain) - i, len(chain))
    return x_0


def correct(chain: Process, i: int, x_0: Tensor, previous: Tensor, before: Tensor) -> Tensor:
    """Return the x0 to repeat the step from level i + 1 to level i with.

    ``x_0`` was predicted at level i, ``previous`` at level i + 1 and ``before`` at level i + 2,
    which has no use where level i + 1 is the first.
    """
    slope = x_0 - previous
    if i == len(chain) - 2:
        return previous + FIRST_SHARE * slope
    log_snr = chain.log_snr
    of_before, of_slope = corrected_shares(log_snr[i + 2], log_snr[i + 1], log_snr[i])
    return previous + of_before.item() * (before - previous) + of_slope.item() * slope


def corrected_shares(before: Tensor, now: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of two differences to add to x0 for a step, from half log SNRs.

    They are those from x0 to the one of the step before, and to the one at the step's end.

    Source:
        Zhao et al. 2023, theorem 3.1.
    """
    h = later - now
    ratio = (before - now) / h  # negative; -inf at zero terminal SNR
    # Solve rho_1 + rho_2 = b_1 and ratio * rho_1 + rho_2 = b_2.
    b_1 = -1 / h - 1 / torch.expm1(-h)
    b_2 = b_1 + (1 - 2 * b_1) / h
    rho_1 = (b_1 - b_2) / (1 - ratio)
    return rho_1 / ratio, b_1 - rho_1

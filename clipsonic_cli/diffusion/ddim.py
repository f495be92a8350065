"""Implicit sampling: deterministic at eta = 0, as stochastic as ancestral sampling at eta = 1."""

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
    noise: Noise,
    report: Report = silent,
    eta: float = 0.0,
) -> Tensor:
    """Draw x_0 by re-noising the predicted x0 to the next level; a learned variance is unused.

    Args:
        denoise: Gives the model output at x_t and training step t.
        x_T: (B, ...) standard normal noise.
        timesteps: Training steps to visit, noisiest first.
        process: The process the network was trained on.
        noise: Per-sample noise; drawn at every step but the last, and not at all where eta is 0.
        report: Called as ``("sample", done, total)`` after every step.
        eta: Share of fresh noise, in [0, 1].

    Returns:
        x_0, shaped as x_T.

    Raises:
        ValueError: eta is not in [0, 1].

    Source:
        Song et al. 2021 (DDIM), eqs. 12 and 16.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1]: {eta}")
    chain = process.respaced(timesteps)
    x_t = x_T
    for i in reversed(range(len(chain))):
        t = torch.tensor([i])
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        x_0 = chain.predict_x0(x_t, t, output)
        eps = chain.eps_from_x0(x_t, t, x_0)  # from the clamped x0, so that both agree
        below = chain.alphas_cumprod_prev[i]
        fresh = eta**2 * chain.posterior_variance[i]  # sigma^2 of Song et al. 2021, eq. 16; last 0
        x_t = below.sqrt().item() * x_0 + (1 - below - fresh).clamp(min=0).sqrt().item() * eps
        if fresh > 0:
            x_t = x_t + fresh.sqrt().item() * noise(x_t.shape, like=x_t)
        report("sample", len(chain) - i, len(chain))
    return x_t

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

    ``eta``, in [0, 1], is the share of fresh noise; others as in :data:`SAMPLERS`.

    Source:
        Song et al. 2021 (DDIM), eqs. 12 and 16.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1]: {eta}")
    chain = process.respaced(timesteps)
    x_t = x_T
    for i in reversed(range(len(chain))):
        t = torch.tensor([i])
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        x_0 = chain.predict_x0(x_t, t, output)
        eps = chain.eps_from_x0(x_t, t, x_0)  # from the clamped x0, so that both agree
        alpha_bar = chain.alphas_cumprod_prev[i]
        # sigma^2 of Song et al. 2021, eq. 16; 0 at the last step.
        variance = eta**2 * chain.posterior_variance[i]
        direction = (1 - alpha_bar - variance).clamp(min=0).sqrt().item()
        x_t = alpha_bar.sqrt().item() * x_0 + direction * eps
        if variance > 0:
            x_t = x_t + variance.sqrt().item() * noise(x_t.shape, like=x_t)
        report("sample", len(chain) - i, len(chain))
    return x_t

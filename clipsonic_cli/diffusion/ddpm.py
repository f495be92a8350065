"""Ancestral sampling: every step draws from p(x_{t-1} | x_t)."""

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
) -> Tensor:
    """Draw x_0 step by step, with the learned variance if there is one; see :data:`SAMPLERS`.

    Source:
        Ho et al. 2020, algorithm 2; variance and respacing of Nichol & Dhariwal 2021, section 4.
    """
    chain = process.respaced(timesteps)
    x_t = x_T
    for i in reversed(range(len(chain))):
        t = torch.tensor([i])
        output = denoise(x_t, chain.timesteps[i].expand(len(x_t)).to(x_t.device))
        x_0 = chain.predict_x0(x_t, t, output)
        _, logits = chain.split(output, x_t)
        std = (0.5 * chain.log_variance(t, logits, x_t)).exp()
        x_t = chain.posterior_mean(x_0, x_t, t)
        if i > 0:
            x_t = x_t + std * noise(x_t.shape, like=x_t)
        report("sample", len(chain) - i, len(chain))
    return x_t

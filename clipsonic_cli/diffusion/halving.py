"""Progressive distillation: the prediction by which one deterministic step does what two do."""

from collections.abc import Callable

import torch
from torch import Tensor

from clipsonic_cli.diffusion.process import Process

Predict = Callable[[Tensor, Tensor], Tensor]
"""``predict(x_t, i) -> x_0`` for x_t (B, ...) at levels i (B,) of a chain."""


@torch.no_grad()
def halved(chain: Process, i: Tensor, x_t: Tensor, predict: Predict) -> Tensor:
    """Return the x0 (B, ...) that takes DDIM from level i to level i - 2 of a chain in one step.

    It is a mean of the two x0 that are predicted on the way, weighted by how much of the rise of
    alpha / sigma lies in each step; the second one alone where the way ends at the data.

    Args:
        chain: The levels that the teacher visits; below the first is the data.
        i: (B,) int64, at least 1.
        x_t: (B, ...) at those levels.
        predict: The teacher.

    Source:
        Salimans & Ho 2022, algorithm 2, whose target is written as both predictions.
    """
    first = predict(x_t, i)
    between = chain.q_sample(first, i - 1, chain.eps_from_x0(x_t, i, first))
    second = predict(between, i - 1)
    i = i.cpu()
    end = (0.5 * torch.logit(chain.alphas_cumprod_prev[i - 1])).exp()  # infinite at the data
    ratio = chain.log_snr.exp()
    share = (1 - ratio[i - 1] / end) / (1 - ratio[i] / end)
    share = share.to(x_t.dtype).to(x_t.device).reshape(-1, *[1] * (x_t.ndim - 1))
    return first + share * (second - first)

"""Choose the timesteps of a sampler by dynamic programming over a solution in many steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipsonic_cli.diffusion import dpmpp, unipc
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.types import Denoise, Report, silent

SOLVERS = ("dpmpp", "unipc", "ddim")
"""Samplers that have such grids: those that draw no noise."""
ATTEMPT_SHARE = 0.1
"""Share of the error of UniPC's first attempt at a step that is added to that of the step, as x0 is
predicted there. On a mixture whose solution is known, 0.05 to 0.2 are as good, 0 and 1 worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """A solution in many steps, of all samples of a batch at once; noisiest level first."""

    timesteps: Sequence[int]
    log_snr: Tensor
    """(n,) float64."""
    x_t: Tensor
    """(n, K) float64: coordinates of all samples together, which keep distances."""
    x_0: Tensor
    """(n, K): x0 as predicted at each level, in the same coordinates."""


@torch.no_grad()
def solve(
    denoise: Denoise,
    x_T: Tensor,  # noqa: N803
    timesteps: Sequence[int],
    process: Process,
    *,
    report: Report = silent,
) -> Trajectory:
    """Solve the probability flow by ``dpmpp`` at the timesteps given, and keep what it visits."""
    visited: list[Tensor] = []
    predicted: list[Tensor] = []

    def keep(x_t: Tensor, t: Tensor) -> Tensor:
        output = denoise(x_t, t)
        visited.append(x_t.flatten().double().cpu())
        predicted.append(process.predict_x0(x_t, t, output).flatten().double().cpu())
        return output

    dpmpp.sample(keep, x_T, timesteps, process, noise=SeededNoise([]), report=report)
    vectors = torch.stack([*visited, *predicted])  # (2n, numbers of a batch)
    if vectors.shape[1] > len(vectors):
        vectors = torch.linalg.qr(vectors.T, mode="r").R.T  # a rotation keeps distances
    count = len(visited)
    log_snr = process.log_snr[torch.tensor(list(timesteps))]
    return Trajectory(
        timesteps=list(timesteps), log_snr=log_snr, x_t=vectors[:count], x_0=vectors[count:]
    )


def optimal_grids(sampler: str, solved: Trajectory, most: int) -> dict[int, list[int]]:
    """Choose the best timesteps of a sampler for every number of steps from 2 to ``most``.

    Those with the least sum of squared errors of single steps, each of which begins at the
    solution, and of the result, which is x0 at the last level. The noisiest level is the first;
    the last may be any.

    Returns:
        Timesteps, noisiest first, by their number.

    Source:
        Pei et al. 2025 (Optimal Stepsize, arXiv 2503.21774), whose steps begin where the sampler
        is, at a call of the network for every level and number of steps; here there is none.
    """
    first, middle, last = step_errors(sampler, solved)
    result = (solved.x_0 - solved.x_0[-1]).square().sum(1)  # (n,)
    reach = torch.full_like(result, math.inf)  # the least error of so many levels, by the last
    reach[0] = 0
    ends = torch.full_like(first, math.inf)  # the least error, by the last two
    ends[0] = first[0]
    links: list[Tensor] = []
    grids = {}
    for count in range(2, min(most, len(result)) + 1):
        now, later = divmod(int((reach[:, None] + last + result).argmin()), len(result))
        path = [later, now]
        if count > 2:
            path.append(int(ends[:, now].argmin()))
            for link in reversed(links):
                path.append(int(link[path[-1], path[-2]]))
            errors, link = (ends[:, :, None] + middle).min(0)
            ends = errors
            links.append(link)
        reach = ends.min(0).values
        grids[count] = [solved.timesteps[i] for i in reversed(path)]
    return grids


def step_errors(sampler: str, solved: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the squared errors of single steps from one level of a solution to another.

    Returns:
        (n, n) of a first step, by its ends; (n, n, n) of others, by the level before and their
        ends; and (n, n) of a last step. Infinite for levels that are not in order.
    """
    count, log_snr, x_0 = len(solved.timesteps), solved.log_snr, solved.x_0
    first = torch.full((count, count), math.inf, dtype=torch.float64)
    middle = torch.full((count, count, count), math.inf, dtype=torch.float64)
    last = first.clone()
    for now in range(count - 1):
        later = slice(now + 1, None)
        of_x_t, of_x_0 = dpmpp.step_shares(log_snr[now], log_snr[later])
        slope = x_0[later] - x_0[now]
        error = solved.x_t[later] - of_x_t[:, None] * solved.x_t[now]

        def missed(data: Tensor, error: Tensor = error, share: Tensor = of_x_0) -> Tensor:
            return (error - share[:, None] * data).square().sum(1)

        last[now, later] = missed(x_0[now])
        first[now, later] = last[now, later]
        if sampler == "unipc":
            first[now, later] *= ATTEMPT_SHARE
            first[now, later] += missed(x_0[now] + unipc.FIRST_SHARE * slope)
        for before in range(now):
            levels = log_snr[before], log_snr[now], log_snr[later]
            change = x_0[before] - x_0[now]
            attempt = x_0[now] - dpmpp.extrapolated_share(*levels)[:, None] * change
            if sampler == "unipc":
                of_change, of_slope = unipc.corrected_shares(*levels)
                data = x_0[now] + of_change[:, None] * change + of_slope[:, None] * slope
                middle[before, now, later] = missed(data) + ATTEMPT_SHARE * missed(attempt)
            else:
                middle[before, now, later] = missed(x_0[now] if sampler == "ddim" else attempt)
    return first, middle, last

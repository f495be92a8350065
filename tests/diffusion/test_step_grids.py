"""Grids of timesteps chosen by dynamic programming: against all grids, and on known data."""

import itertools
import math

import pytest
import torch

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.step_grids import ATTEMPT_SHARE, SOLVERS, optimal_grids, solve
from clipsonic_cli.diffusion.timesteps import spaced_timesteps

every_solver = pytest.mark.parametrize("name", SOLVERS)


def mixture(process, means=(-0.6, 0.1, 0.7), std=0.08):
    """Return the exact network for data of three equally likely normal distributions."""
    centres = torch.tensor(means, dtype=torch.float64)

    def denoise(x_t, t):
        alpha, sigma = process.alpha_sigma(t, x_t)
        variance = (alpha * std) ** 2 + sigma**2
        far = x_t[..., None] - alpha[..., None] * centres
        share = torch.softmax(-(far**2) / (2 * variance[..., None]), -1)
        x_0 = (share * (centres + alpha[..., None] * std**2 * far / variance[..., None])).sum(-1)
        return process.target(x_0, t, process.eps_from_x0(x_t, t, x_0))

    return denoise


def solved_in(process, timesteps, count=101):
    x_T = torch.linspace(-2.5, 2.5, count).double()[None]  # noqa: N806
    return solve(mixture(process), x_T, timesteps, process)


def end_of_step(name, solved, levels):
    """Return where a step ends that begins at the solution, by the formulas of the papers."""
    *before, now, later = levels
    lam = solved.log_snr.tolist()
    h = lam[later] - lam[now]
    alpha, sigma = (math.sqrt(1 / (1 + math.exp(s * 2 * lam[later]))) for s in (-1, 1))
    sigma_now = math.sqrt(1 / (1 + math.exp(2 * lam[now])))
    x_0 = solved.x_0
    base = sigma / sigma_now * solved.x_t[now] - alpha * math.expm1(-h) * x_0[now]
    if name == "ddim" or (name == "dpmpp" and not before):
        return base
    ratios = [(lam[level] - lam[now]) / h for level in before]
    others = [(x_0[level] - x_0[now]) / r for level, r in zip(before, ratios, strict=True)]
    rho = [0.5]
    if name == "unipc":
        ratios, others = [*ratios, 1.0], [*others, x_0[later] - x_0[now]]
        phi, coefs, b = math.expm1(-h), [], math.expm1(-h)
        for k in range(1, len(ratios) + 1):
            phi = phi / -h - 1 / math.factorial(k)
            coefs.append(phi * math.factorial(k) / b)
        rows = torch.tensor([[r**k for r in ratios] for k in range(len(ratios))]).double()
        if before:
            rho = torch.linalg.solve(rows, torch.tensor(coefs).double()).tolist()
    extra = sum(weight * other for weight, other in zip(rho, others, strict=True))
    return base - alpha * math.expm1(-h) * extra


def error_of(name, solved, grid):
    """Return what is minimised, of one grid of levels."""
    total = (solved.x_0[grid[-1]] - solved.x_0[-1]).square().sum()
    for i in range(1, len(grid)):
        method = "ddim" if i == len(grid) - 1 else name
        levels, x_t = grid[max(0, i - 2) : i + 1], solved.x_t[grid[i]]
        total = total + (end_of_step(method, solved, levels) - x_t).square().sum()
        if method == "unipc":
            attempt = end_of_step("dpmpp", solved, levels)
            total = total + ATTEMPT_SHARE * (attempt - x_t).square().sum()
    return total.item()


@every_solver
def test_no_other_grid_is_better(name):
    process = Process(DiffusionConfig(train_steps=200, prediction="v", variance="fixed"))
    fine = spaced_timesteps(200, 10)
    solved = solved_in(process, fine)
    grids = optimal_grids(name, solved, 12)
    assert list(grids) == list(range(2, 11))
    for count, grid in grids.items():
        rest = itertools.combinations(range(1, 10), count - 1)
        errors = {levels: error_of(name, solved, levels) for levels in ((0, *r) for r in rest)}
        best = min(errors, key=errors.get)
        assert errors[tuple(fine.index(t) for t in grid)] == pytest.approx(errors[best])
        assert grid == [fine[i] for i in best]


@every_solver
@pytest.mark.parametrize("schedule", ["cosine", "cosine-zero-snr"])
def test_its_grids_are_nearer_the_solution_than_even_ones(name, schedule):
    """Of other noise than that which chose them."""
    config = DiffusionConfig(train_steps=1000, schedule=schedule, prediction="v", variance="fixed")
    process = Process(config)
    grids = optimal_grids(name, solved_in(process, spaced_timesteps(1000, 40)), 12)
    x_T = torch.linspace(-2.2, 2.3, 58).double()[None]  # noqa: N806

    def end(timesteps, by=name):
        return SAMPLERS.load(by)(mixture(process), x_T, timesteps, process, noise=None)

    solution = end(spaced_timesteps(1000, 500), "dpmpp")
    for steps in (4, 6, 8, 12):
        chosen, even = (
            (end(grid) - solution).abs().mean().item()
            for grid in (grids[steps], spaced_timesteps(1000, steps))
        )
        assert chosen < 0.8 * even
        assert grids[steps][0] == 999


def test_coordinates_keep_the_distances_of_samples():
    process = Process(DiffusionConfig(train_steps=100, prediction="v", variance="fixed"))
    visited, denoise = [], mixture(process)

    def keep(x_t, t):
        visited.append(x_t)
        return denoise(x_t, t)

    x_T = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0)).double()  # noqa: N806
    solved = solve(keep, x_T, [99, 60, 30, 0], process)
    assert solved.x_t.shape == (4, 8)
    for i, j in itertools.combinations(range(4), 2):
        expected = (visited[i] - visited[j]).norm()
        torch.testing.assert_close((solved.x_t[i] - solved.x_t[j]).norm(), expected)

"""Choose the steps of the training schedule that a sampler visits."""

from clipsonic_cli.errors import UsageError

LEAST_OF_DDPM = 100
"""Steps of ancestral sampling below which its noise is audible; measured in
``benchmarks/results/sampler_steps.md``."""


def too_few(sampler: str, steps: int) -> str | None:
    """Format a warning about steps with which a sampler runs but sounds bad; None if enough."""
    if sampler != "ddpm" or steps >= LEAST_OF_DDPM:
        return None
    return (
        f"too few steps for ddpm ({steps}), which leaves speckle in the sound below "
        f"{LEAST_OF_DDPM}: use unipc for few steps, or ddpm with more (the paper's are 1000)"
    )


def spaced_timesteps(train_steps: int, steps: int) -> list[int]:
    """Return ``steps`` evenly spaced timesteps from ``train_steps - 1`` down to 0.

    One step is the noisiest.

    Raises:
        UsageError: ``steps`` is not in 1 .. ``train_steps``.

    Source:
        Nichol & Dhariwal 2021, section 4: K evenly spaced reals between 1 and T, rounded.
        Accumulated and rounded half to even as in their released code, so the same steps come out.
    """
    _check(train_steps, steps)
    if steps == 1:
        return [train_steps - 1]
    stride = (train_steps - 1) / (steps - 1)
    visited, position = [], 0.0
    for _ in range(steps):
        visited.append(round(position))
        position += stride
    return visited[::-1]


def inner_timesteps(train_steps: int, steps: int) -> list[int]:
    """Return ``steps`` evenly spaced timesteps without either end: 984 down to 15 for 64 of 1000.

    Raises:
        UsageError: ``steps`` is not in 1 .. ``train_steps``.

    Source:
        dalle2-pytorch 1.1.0, whose sampler divides 0 .. T into steps + 1 equal parts, rounded
        down, and evaluates the network at neither end.
    """
    _check(train_steps, steps)
    return [i * train_steps // (steps + 1) for i in range(steps, 0, -1)]


def halving_timesteps(train_steps: int, steps: int) -> list[int]:
    """Return ``steps`` timesteps of which every other is one of half as many: 3999 to 999 for 4.

    They begin at the noisiest level and divide the schedule, with the data as its end, equally.

    Raises:
        UsageError: ``steps`` is not in 1 .. ``train_steps``.

    Source:
        Salimans & Ho 2022, section 3 (progressive distillation).
    """
    _check(train_steps, steps)
    return [i * train_steps // steps - 1 for i in range(steps, 0, -1)]


def _check(train_steps: int, steps: int) -> None:
    if not 1 <= steps <= train_steps:
        raise UsageError(
            f"Cannot sample in {steps} steps: this model was trained on {train_steps}. "
            f"Choose 1 to {train_steps} steps."
        )

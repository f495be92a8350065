"""The timesteps that were chosen for a U-Net, in the meta of its file; older files have none."""

from typing import Any

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.bundle import Header

KEY = "step_grids"
"""Key in the meta: timesteps by sampler, and then by their number as a text."""


def step_grid(unet: Header, sampler: str, steps: int) -> list[int] | None:
    """Return the timesteps that were chosen for a sampler and a number of steps, noisiest first.

    None where the file has none; a BadBundle where they are not so many of the training schedule.
    """
    found: Any = unet.meta.get(KEY)
    for name in (sampler, str(steps)):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        return None
    grid: list[int] = found
    assert unet.diffusion is not None  # a U-Net's header has one
    most = unet.diffusion.train_steps - 1
    in_range = isinstance(grid, list) and all(type(t) is int and 0 <= t <= most for t in grid)
    if not in_range or len(grid) != steps or grid != sorted(set(grid), reverse=True):
        raise BadBundle(
            f"The U-Net's timesteps for {steps} steps of {sampler} are {grid!r:.40}; they must be "
            f"{steps} falling whole numbers from {most} to 0. Get or train it again."
        )
    return grid

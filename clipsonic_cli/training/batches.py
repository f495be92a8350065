"""What a trainer asks of training material: random batches as dictionaries of tensors.

Does not know where clips come from: recipes and readers supply the :class:`Dataset`.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
"""Tensors with B as their first axis. ``clip`` (B,) int64 numbers the clips; the other names are
those the objective asks for."""


class Dataset(Protocol):
    """Clips to draw from.

    All randomness comes from the generator, so that its state is the whole position in the data.
    """

    def __len__(self) -> int:
        """The number of clips."""
        ...

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws a batch, on the CPU."""
        ...

    def name(self, clip: int) -> str:
        """The id of a clip, for messages."""
        ...


def crop(values: Tensor, starts: Tensor, size: int) -> Tensor:
    """Cuts a window out of every row.

    Args:
        values: (B, ..., T).
        starts: (B,) int64 first index of each row's window.
        size: Length of the windows.

    Returns:
        (B, ..., size).
    """
    rows = zip(values, starts.tolist(), strict=True)
    return torch.stack([row[..., start : start + size] for row, start in rows])


def random_starts(values: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draws where windows of a size begin, uniformly over all that fit.

    Args:
        values: (B, ..., T).
        size: Length of the windows.
        generator: On the CPU.

    Returns:
        (B,) int64.

    Raises:
        ValueError: The values are shorter than a window.
    """
    spare = values.shape[-1] - size
    if spare < 0:
        raise ValueError(f"a window of {size} does not fit into {values.shape[-1]}")
    return torch.randint(spare + 1, (len(values),), generator=generator)

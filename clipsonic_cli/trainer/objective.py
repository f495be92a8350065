"""What the loop asks of anything it trains: networks, draws and losses.

:meth:`Objective.draw` has all the randomness, a clip at a time and on the CPU;
:meth:`Objective.loss` computes, on any rows of a batch. So a batch may be divided among processes,
or computed in pieces, and remains the same batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from clipsonic_cli.trainer.batches import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of one network on some clips."""

    mean: Tensor
    """Scalar, the mean over the clips."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Values to log, by name: scalars, or one value for each clip concerned."""


class Objective(Protocol):
    """A training objective: networks, randomness and losses."""

    networks: dict[str, nn.Module]
    """The networks to train, by name. In a training the loop puts wrappers here that exchange
    gradients between processes: a loss that trains a network calls it by this table."""
    main: str
    """The network that is kept: its weights are averaged."""
    criterion: str
    """What the validation judges weights by: ``main``, for its loss, or one of the loss's parts."""

    def draw(self, batch: Batch, generator: torch.Generator, /) -> Batch:
        """Draw what the losses need on the CPU: crop, noise, time; all randomness but dropout's."""

    def turns(self, step: int, /) -> Sequence[str]:
        """Return the names of the networks a step updates, in this order."""

    def loss(self, network: str, batch: Batch, step: int, /) -> Loss:
        """Compute the loss of the network to update; those before it in the step have been.

        The batch is rows of what :meth:`draw` returned, on the networks' device; integers stay on
        the CPU, where tables are indexed.
        """


@runtime_checkable
class Phased(Objective, Protocol):
    """An objective whose networks go on from averages of their own."""

    def begin(self, step: int, average: Callable[[], Mapping[str, Tensor]], /) -> None:
        """Prepare for a step; called before each, with what returns main's averaged weights."""

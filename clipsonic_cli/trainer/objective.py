"""What the loop asks of anything it trains: networks, draws and losses.

Randomness and computation are apart: :meth:`Objective.draw` draws, a clip at a time and on the
CPU; :meth:`Objective.loss` computes, on any rows of a batch. So a batch may be divided among
processes, or done piece by piece, and remains the same batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from clipsonic_cli.trainer.batches import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a network is to lower.

    Args:
        mean: Scalar, a mean over the clips.
        parts: Values worth logging, by name: scalars, or one value for each clip concerned.
    """

    mean: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What to lower, by turning a batch into losses.

    Attributes:
        networks: The networks to train, by name: a GAN has discriminators too. During a training
            the loop puts wrappers here that exchange gradients between processes: a loss that
            trains a network calls it by this table.
        main: The name of the network that is kept: its weights are averaged.
        criterion: The value by which held-out clips judge the weights: ``main``, for its loss, or
            the name of one of the loss's parts.
    """

    networks: dict[str, nn.Module]
    main: str
    criterion: str

    def draw(self, batch: Batch, generator: torch.Generator, /) -> Batch:
        """Gives what the losses need: the data's crop, noise, time.

        Args:
            batch: From the data set, on the CPU.
            generator: On the CPU; all the randomness there is but dropout's.
        """
        ...

    def turns(self, step: int, /) -> Sequence[str]:
        """Gives the names of the networks a step updates, in this order."""
        ...

    def loss(self, network: str, batch: Batch, step: int, /) -> Loss:
        """Gives the loss of one network.

        Args:
            network: Whose turn it is; those before it have been updated.
            batch: Rows of what :meth:`draw` gave, on the networks' device; integers stay on the
                CPU, where tables are looked up.
            step: Steps done before this one.
        """
        ...

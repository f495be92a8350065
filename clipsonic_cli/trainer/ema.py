"""Exponential moving average of weights, which are sampled from and published."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clipsonic_cli.trainer.config import TrainConfig


class Ema:
    """An average of a network's parameters, in float32, which starts as a copy; buffers are copied.

    The decay is in [0, 1). With a warm-up it is min(decay, (1 + n) / (10 + n)) at step n: a plain
    0.9999 remembers the random start for tens of thousands of steps.
    """

    def __init__(self, network: nn.Module, decay: float, *, warmup: bool = True) -> None:
        self.network, self.decay, self.warmup = network, decay, warmup
        self._parameters = {k: v.detach().clone() for k, v in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the network, after ``step`` updates before this one."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        now = [parameter.detach() for parameter in self.network.parameters()]
        torch._foreach_lerp_(list(self._parameters.values()), now, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network compute with the average while the block runs; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self.network.named_parameters():
            average = self._parameters[name]
            parameter.data, average.data = average.data, parameter.data

    def state_dict(self) -> dict[str, Tensor]:
        """Return averaged parameters and copied buffers under the network's own names."""
        return {
            k: self._parameters.get(k, v.detach()) for k, v in self.network.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the average from a state dict."""
        for name, average in self._parameters.items():
            average.copy_(state[name])


def share_of_start(config: TrainConfig) -> float:
    """Return the share of the initial weights in the average after all steps, 0 to 1.

    With a warm-up it is below 1e-12 after a hundred steps, and returned as 0.
    """
    return 0.0 if config.ema_warmup else config.ema_decay**config.steps

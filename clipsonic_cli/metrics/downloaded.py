"""The base of backbones with one network, whose published weights are downloaded."""

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store import bundle
from clipsonic_cli.store.assets import file_of
from clipsonic_cli.store.manifest import find


class DownloadedBackbone:
    """A network in evaluation mode, on its device, and the identity of its file, if it has one."""

    name: str
    dim: int
    kind: bundle.Kind
    make: type[nn.Module]

    def __init__(self, network: nn.Module, identity: str = "") -> None:
        self.network, self.identity = network, identity

    @classmethod
    def load(cls, device: torch.device) -> Self:
        """Load the published weights.

        Raises:
            MissingWeights: They were not downloaded; names the command that gets them.
            BadBundle: Their file is damaged.
        """
        path = file_of(find(cls.name))
        weights = bundle.load(path, kind=cls.kind).weights
        network = build(cls.make, weights, cls.make.__name__, device=device)
        return cls(network, bundle.identity(path))

    def _features(self, mels: Iterable[Tensor]) -> Tensor:
        """Compute the network's rows of batches, one after the other: (W, D) float32 on the CPU."""
        device = next(self.network.parameters()).device
        rows = [torch.empty(0, self.dim)]
        with torch.inference_mode():
            for mel in mels:
                rows.append(self.network(mel.to(device)).float().cpu())
        return torch.cat(rows).clone()

"""What CLIP and CLAP have in common: a network with its configuration and tokenizer."""

from typing import Any, Generic, Self, TypeVar

import torch
from torch import nn

from clipsonic_cli.encoders.tokenizers import Tokenize

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


class EmbeddingModel(Generic[Network, Config]):
    """A network with its tokenizer.

    Args:
        network: With its weights.
        config: The network's.
        tokenize: Texts to ids (B, L), cut to L tokens.
        identity: Name that changes with the weights. Scores by different networks cannot be
            compared, and models trained on the vectors store it.
    """

    def __init__(self, network: Network, config: Config, tokenize: Tokenize, identity: str) -> None:
        self.network = network
        self.config = config
        self.tokenize = tokenize
        self.identity = identity

    @property
    def dim(self) -> int:
        """Size D of the embeddings."""
        config: Any = self.config
        dim: int = config.dim
        return dim

    def to(self, device: torch.device | str) -> Self:
        """Move the weights, and return itself."""
        self.network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

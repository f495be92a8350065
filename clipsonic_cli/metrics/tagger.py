"""Taggers: backbones whose rows are the probabilities of classes.

Any network that tags sounds is one, by giving its probabilities from ``embed``. Here is the one
that needs no other weights: a network of sounds and texts, asked which text fits best.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.features import Features, of_vectors
from clipsonic_cli.types import AudioTextBackbone

ROUNDING = 1e-4
"""How far the sum of a row's probabilities may be from 1."""


class ZeroShotTagger:
    """Tags sounds with texts: the softmax of their scaled cosines.

    Args:
        backbone: Hears and reads. Its name is the tagger's.
        classes: The texts, each once.

    Raises:
        UsageError: There are less than two, or one has no words.
        ValueError: One is given twice.

    Source:
        Radford et al. 2021 (of pictures); Wu et al. 2023 (of sounds).
    """

    def __init__(self, backbone: AudioTextBackbone, classes: Sequence[str]) -> None:
        if len(set(classes)) < 2:
            raise UsageError(
                f"'accuracy' and 'kl' need two or more different prompts, got {len(set(classes))}; "
                f"give --prompts, a csv of file and prompt."
            )
        if len(set(classes)) != len(classes):
            raise ValueError("a class is given twice")
        self.backbone = backbone
        self.name, self.identity = backbone.name, backbone.identity
        self.classes = tuple(classes)
        self._texts = backbone.embed_text(self.classes)  # (K, D)

    @property
    def dim(self) -> int:
        """Number K of classes."""
        return len(self.classes)

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives the probabilities (W, K) of the classes, as the backbone hears a sound."""
        cosines = self.backbone.embed(samples, sample_rate) @ self._texts.T  # (W, K)
        return (self.backbone.logit_scale * cosines).softmax(1)

    def labels(self, classes: Mapping[str, str]) -> Features:
        """Gives what "accuracy" compares with: certainty of each sound's own class.

        Args:
            classes: Name of a sound to its class.

        Raises:
            UsageError: There is none, or a class is not one of the tagger's.
        """
        if not classes:
            raise UsageError("There are no labels; give a class for each sound.")
        place = {label: index for index, label in enumerate(self.classes)}
        if strange := sorted(set(classes.values()) - set(place)):
            raise UsageError(
                f"The tagger knows no class '{strange[0]}'; it has {len(place)}, such as "
                f"'{self.classes[0]}'."
            )
        picked = [place[label] for label in classes.values()]
        return of_vectors(list(classes), torch.eye(self.dim)[picked], backbone=self.name)


def probabilities(tags: Features) -> Tensor:
    """Gives the mean class probabilities of each sound: (C, K) float64.

    Raises:
        ValueError: The rows are none.
    """
    rows = tags.means()
    if (rows < 0).any() or ((rows.sum(1) - 1).abs() > ROUNDING).any():
        raise ValueError(f"the rows of '{tags.backbone}' are no class probabilities")
    return rows

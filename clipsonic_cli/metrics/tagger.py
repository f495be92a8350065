"""Class probabilities of sounds, for "kl" and "accuracy"."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.features import Features, from_vectors
from clipsonic_cli.types import AudioTextBackbone, TaggingBackbone

ROUNDING = 1e-4
"""How far the sum of a row's probabilities may be from 1."""


class ZeroShotTagger:
    """Class probabilities of a backbone's embeddings: the softmax of scaled cosines with texts.

    Raises:
        UsageError: There are fewer than two classes, or one has no words.
        ValueError: A class is given twice.

    Source:
        Radford et al. 2021 (images); Wu et al. 2023 (audio).
    """

    def __init__(self, backbone: AudioTextBackbone, classes: Sequence[str]) -> None:
        if len(set(classes)) < 2:
            raise UsageError(
                f"'accuracy' and 'kl' need two or more different prompts, got {len(set(classes))}; "
                f"give `prompts`, a csv of file and prompt."
            )
        if len(set(classes)) != len(classes):
            raise ValueError("a class is given twice")
        self.classes = tuple(classes)
        self._name, self._scale = backbone.name, backbone.logit_scale
        self._texts = backbone.embed_text(self.classes)  # (K, D)

    def tag(self, rows: Tensor) -> Tensor:
        """Return the class probabilities (W, K) of embeddings (W, D)."""
        return (self._scale * (rows @ self._texts.T)).softmax(1)

    def labels(self, classes: Mapping[str, str]) -> Features:
        """Return probability 1 for the class of each sound, by its name, for "accuracy"."""
        if not classes:
            raise UsageError("There are no labels; give a class for each sound.")
        position = {label: index for index, label in enumerate(self.classes)}
        if unknown := sorted(set(classes.values()) - set(position)):
            raise UsageError(
                f"The tagger knows no class '{unknown[0]}'; it has {len(position)}, such as "
                f"'{self.classes[0]}'."
            )
        rows = torch.eye(len(position))[[position[label] for label in classes.values()]]
        return from_vectors(list(classes), rows, backbone=self._name)


def tagged(features: Features, tagger: ZeroShotTagger | TaggingBackbone) -> Features:
    """Return features with class probabilities in place of embeddings."""
    return replace(features, rows=tagger.tag(features.rows))


def probabilities(tags: Features) -> Tensor:
    """Compute each sound's mean class probabilities, (C, K) float64; ValueError for others."""
    rows = tags.means()
    if (rows < 0).any() or ((rows.sum(1) - 1).abs() > ROUNDING).any():
        raise ValueError(f"the rows of '{tags.backbone}' are not class probabilities")
    return rows

"""How well single sounds fit their words, to keep the best of several.

Knows: who hears, and how a score is called. Does not know: how sounds are made, or what becomes of
them.
"""

from collections.abc import Iterable
from typing import cast

import torch

from clipsonic_cli.evaluation.backbones import choose, load, notes_of
from clipsonic_cli.metrics.features import of_prompts, of_sounds
from clipsonic_cli.types import AudioTextBackbone, Score, Waveform


class Ranking:
    """Scores sounds one by one, by CLAP where it was downloaded, else by the embedded network.

    CLAP was trained on pairs of texts and sounds; what is kept by it owes something to those,
    though the model that made the sounds does not.

    Args:
        texts: What sounds are to be; all are read at once.
        device: Where the network runs.

    Attributes:
        notes: What a person must know of who hears.

    Raises:
        UsageError: A text has no words that the network knows.
        ClipsonicError: Weights are damaged, or a package is missing.
    """

    def __init__(self, texts: Iterable[str], device: torch.device) -> None:
        hearings = choose(["clap"])
        (self._hearing,) = hearings
        self.notes = notes_of(hearings)
        self._backbone = cast(AudioTextBackbone, load(self._hearing.backbone, device))
        self._read = {text: of_prompts({"": text}, self._backbone) for text in dict.fromkeys(texts)}

    def __call__(self, sound: Waveform, text: str) -> Score:
        """Gives the CLAP score of one sound, the same as an evaluation of it alone.

        Args:
            sound: At any sample rate.
            text: One of the texts.

        Raises:
            UsageError: The sound has no samples.
        """
        heard = of_sounds([("", sound)], self._backbone)
        score, *_ = self._hearing.metric(
            heard, self._read[text], generator=torch.Generator().manual_seed(0)
        )
        return score

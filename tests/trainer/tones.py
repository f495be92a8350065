"""A data set of two sines, as a vocoder's training reads it."""

import math
from collections.abc import Sequence

import torch

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec


class Tones:
    """One clip of ``samples`` samples for each frequency."""

    def __init__(self, spec: MelSpec, samples: int, frequencies: Sequence[float]) -> None:
        time = 2 * math.pi * torch.arange(samples) / spec.sample_rate
        self.wave = torch.stack([0.5 * torch.sin(hz * time) for hz in frequencies])
        self.mel = LogMel(spec)(self.wave)

    def __len__(self) -> int:
        return len(self.wave)

    def name(self, clip: int) -> str:
        return str(clip)

    def sample(self, batch_size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        clip = torch.randint(len(self), (batch_size,), generator=generator)
        return {"clip": clip, "wave": self.wave[clip], "mel": self.mel[clip]}

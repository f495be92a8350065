"""CLAP as a backbone: audio and prompts in one space."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.encoders.clap import ClapModel, load_clap
from clipsonic_cli.metrics.windows import spread
from clipsonic_cli.models.clap_mel import HOP_LENGTH, SAMPLE_RATE, SAMPLES
from clipsonic_cli.store import bundle
from clipsonic_cli.store.assets import file_of, part_here
from clipsonic_cli.store.manifest import find
from clipsonic_cli.types import Waveform


class ClapBackbone:
    """CLAP of LAION: a unit vector for a sound, or for every 10 s of a longer one."""

    name = "clap"

    def __init__(self, clap: ClapModel) -> None:
        self.clap = clap

    @classmethod
    def load(cls, device: torch.device) -> "ClapBackbone":
        """Load the published weights, in whichever form they were downloaded.

        Raises:
            MissingWeights: They were not; names the command that gets them.
            BadBundle: Their file is damaged.
            ClipsonicError: transformers is missing.
        """
        path = part_here("clap") or file_of(find("clap"))
        return cls(load_clap(bundle.load(path, kind="clap")).to(device))

    @property
    def identity(self) -> str:
        """Changes with the weights."""
        return self.clap.identity

    @property
    def dim(self) -> int:
        """Size D of the vectors."""
        return self.clap.dim

    @property
    def logit_scale(self) -> float:
        """Factor of cosines in LAION's training."""
        return float(self.clap.network.clap.logit_scale_a.detach().exp())

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Embed a sound, at once up to 10 s: (W, D) float32 on the CPU, rows of unit norm.

        A longer sound, of which LAION's code draws excerpts at random, is cut into as few windows
        of 10 s as cover it, evenly spread. One beyond [-1, 1], where that clips, is attenuated.
        """
        samples, _ = peak_guard(samples, ceiling=1.0)
        windows = [samples]
        length = SAMPLES * sample_rate // SAMPLE_RATE
        # Less than half a frame more than 10 s is no reason for a second window.
        if len(samples) * SAMPLE_RATE > (SAMPLES + HOP_LENGTH // 2) * sample_rate:
            windows = spread(samples, length, math.ceil(len(samples) / length))
        waveforms = [Waveform(samples=window, sample_rate=sample_rate) for window in windows]
        return self.clap.embed_audio(waveforms)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: (M, D) float32 on the CPU, of unit norm; UsageError without words."""
        return self.clap.embed_text(texts)

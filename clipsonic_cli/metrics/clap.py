"""CLAP as a backbone: sounds and prompts in one space.

Knows: how a sound longer than CLAP's 10 s is heard. Does not know: CLAP itself
(``encoders/clap.py``).
"""

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
    """CLAP of LAION: a unit vector a sound, or one for every 10 s of a longer one.

    Args:
        clap: The weights at work.
    """

    name = "clap"

    def __init__(self, clap: ClapModel) -> None:
        self.clap = clap

    @classmethod
    def load(cls, device: torch.device) -> "ClapBackbone":
        """Reads the published weights that lie on this machine, in either form.

        Raises:
            MissingWeights: None do; names the command that gets them.
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
        """What LAION's training multiplied cosines by."""
        return float(self.clap.network.clap.logit_scale_a.detach().exp())

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives the embeddings of a sound.

        A sound of up to 10 s is heard at once, as in LAION's code. Of a longer one, of which that
        draws excerpts at random, as many windows of 10 s are heard as cover it, evenly spread.

        Args:
            samples: (N,) mono. CLAP's own front end clips at full scale: a sound that exceeds
                [-1, 1] is made quieter instead.
            sample_rate: In Hz.

        Returns:
            (W, D) float32 on the CPU, rows of unit norm.

        Raises:
            ValueError: The samples are empty, not (N,) or not finite.
        """
        samples, _ = peak_guard(samples, ceiling=1.0)
        whole = SAMPLES * sample_rate // SAMPLE_RATE
        # Less than half a frame more than 10 s is no reason for a second window.
        if len(samples) * SAMPLE_RATE <= (SAMPLES + HOP_LENGTH // 2) * sample_rate:
            return self.clap.embed_audio([Waveform(samples=samples, sample_rate=sample_rate)])
        windows = spread(samples, whole, math.ceil(len(samples) / whole))
        return self.clap.embed_audio(
            [Waveform(samples=window, sample_rate=sample_rate) for window in windows]
        )

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Gives the embeddings of texts: (M, D) float32 on the CPU, rows of unit norm.

        Raises:
            UsageError: A text has no words.
        """
        return self.clap.embed_text(texts)

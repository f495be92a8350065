"""VGGish as a backbone, for the Frechet audio distance of the paper."""

import torch
from torch import Tensor

from clipsonic_cli.metrics.downloaded import DownloadedBackbone
from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.vggish import BATCH, DIM, SAMPLE_RATE, VGGish, log_mel_windows


class VGGishBackbone(DownloadedBackbone):
    """VGGish: 128 numbers for every 0.96 s of sound."""

    name = "vggish"
    dim = DIM
    kind = "vggish"
    make = VGGish

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute the features of every whole window of a sound.

        Windows do not overlap, and what is left after the last is not used. A sound under 0.975 s
        has none and adds nothing to a set. That is torchvggish's front end; frechet-audio-distance
        fails on a sound without windows, and silently leaves out this one and all that follow.

        Returns:
            (W, 128) float32 on the CPU, before the last rectification; W is
            floor((N - 240) / 15360) for N >= 240 samples at 16 kHz: 4 for 4.096 s, 10 for 10 s.
        """
        windows = log_mel_windows(at_rate(samples, sample_rate, SAMPLE_RATE))
        return self._features(torch.split(windows, BATCH))

"""PANNs as a backbone that also has classes, for the Frechet and KL scores of later papers."""

import math

import torch
from torch import Tensor

from clipsonic_cli.audio.mel import mel_filters
from clipsonic_cli.metrics.downloaded import DownloadedBackbone
from clipsonic_cli.metrics.windows import at_rate, spread
from clipsonic_cli.models.panns import DIM, FEWEST_FRAMES, SPEC, Cnn14, log_mel

MOST_SAMPLES = 10 * SPEC.sample_rate
"""Longest input: clips of AudioSet last 10 s."""
LEAST_SAMPLES = (FEWEST_FRAMES - 1) * SPEC.hop_length
"""Shortest input, 0.31 s."""


class PannsBackbone(DownloadedBackbone):
    """CNN14 of PANNs at 16 kHz: 2048 numbers for a sound, or for every 10 s of a longer one."""

    name = "panns"
    dim = DIM
    kind = "panns"
    make = Cnn14
    network: Cnn14

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute the features of a sound, at once up to 10 s.

        A longer sound is cut into as few windows of 10 s as cover it, evenly spread. (AudioLDM's
        evaluation, which later papers use, takes longer ones at once too, and pads those under 2 s
        with silence.)

        Returns:
            (W, 2048) float32 on the CPU, none negative; W is 1 up to 10 s, and 0 under 0.31 s.

        Source:
            Liu et al. 2023 (AudioLDM).
        """
        samples = at_rate(samples, sample_rate, SPEC.sample_rate)
        if len(samples) < LEAST_SAMPLES:
            return torch.empty(0, DIM)
        # Less than half a frame more, as resampling may leave, is no reason for another window.
        count = max(math.ceil((len(samples) - SPEC.hop_length // 2) / MOST_SAMPLES), 1)
        windows = spread(samples, min(len(samples), MOST_SAMPLES), count)
        filters = mel_filters(SPEC)
        return self._features(log_mel(window, filters) for window in windows)

    def tag(self, rows: Tensor) -> Tensor:
        """Compute (W, 527) float32 on the CPU: the softmax over AudioSet's classes, of features.

        Source:
            Liu et al. 2023 (AudioLDM).
        """
        with torch.inference_mode():
            logits = self.network.classify(rows.to(self.network.fc1.weight.device))
        return logits.softmax(1).cpu().clone()

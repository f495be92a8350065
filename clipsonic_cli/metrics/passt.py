"""PaSST as a backbone that also has classes, for the scores of video-to-sound papers since 2024."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.metrics.downloaded import DownloadedBackbone
from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.passt import DIM, SAMPLES, SPEC, Passt, log_mel, mel_filters

HOP = SAMPLES // 2
"""Samples from one window to the next: 5 s."""


class PasstBackbone(DownloadedBackbone):
    """PaSST-S at 32 kHz: 768 numbers for every window of 10 s."""

    name = "passt"
    dim = DIM
    kind = "passt"
    make = Passt
    network: Passt

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute the features of a sound without its constant part, silence following to 10 s.

        A longer sound is cut into windows of 10 s, 5 s apart, up to its end. (MMAudio's evaluation
        takes the first 10 s alone.)

        Returns:
            (W, 768) float32 on the CPU; W is 1 up to 10 s, and 0 for no samples.

        Source:
            Cheng et al. 2025 (MMAudio), whose evaluation later papers use; Evans et al. 2024
            (Stable Audio), whose evaluation has the windows.
        """
        samples = at_rate(samples, sample_rate, SPEC.sample_rate)
        if not len(samples):
            return torch.empty(0, self.dim)
        samples = samples - samples.mean()
        # Half a frame more, as resampling may leave, is no reason for another window.
        starts = range(0, max(len(samples) - HOP - SPEC.hop_length // 2, 1), HOP)
        windows = (samples[start : start + SAMPLES] for start in starts)
        padded = (F.pad(window, (0, SAMPLES - len(window))) for window in windows)
        filters = mel_filters()
        return self._features(log_mel(window, filters) for window in padded)

    def tag(self, rows: Tensor) -> Tensor:
        """Compute (W, 527) float32 on the CPU: the softmax over AudioSet's classes, of features.

        Source:
            Evans et al. 2024; Cheng et al. 2025.
        """
        with torch.inference_mode():
            logits = self.network.classify(rows.to(self.network.norm.weight.device))
        return logits.softmax(1).cpu().clone()

"""Audiobox Aesthetics as a backbone that rates sounds in place of embedding them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.metrics.downloaded import DownloadedBackbone
from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.audiobox import AXES, SAMPLES, Audiobox
from clipsonic_cli.models.wavlm import SAMPLE_RATE


class AudioboxBackbone(DownloadedBackbone):
    """Audiobox Aesthetics at 16 kHz: four scores of a sound of any length."""

    name = "audiobox"
    dim = len(AXES)
    kind = "audiobox"
    make = Audiobox
    network: Audiobox
    ratings = tuple(AXES)
    """What the numbers of a row are."""

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute the scores of a sound: the mean over windows of 10 s, weighted by their length.

        Returns:
            (1, 4) float32 on the CPU, in the order of :attr:`ratings`; (0, 4) for no samples.

        Source:
            The authors' code.
        """
        samples = at_rate(samples, sample_rate, SAMPLE_RATE)
        if not len(samples):
            return torch.empty(0, self.dim)
        device = self.network.mean.device
        total = torch.zeros(1, self.dim)
        with torch.inference_mode():
            for window in torch.split(samples, SAMPLES):
                padded = F.pad(window, (0, SAMPLES - len(window)))[None]
                length = torch.tensor([len(window)], device=device)
                scores = self.network(padded.to(device), length).float().cpu()
                total += scores * (len(window) / len(samples))
        return total

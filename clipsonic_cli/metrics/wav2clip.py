"""Wav2CLIP as a backbone that embeds sounds and images in one space."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipsonic_cli.encoders.clip import BATCH, to_pixels
from clipsonic_cli.images import read_image, square
from clipsonic_cli.metrics.downloaded import DownloadedBackbone
from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.wav2clip import (
    CLIP,
    DIM,
    LEAST_SAMPLES,
    SAMPLE_RATE,
    Wav2Clip,
    spectrogram,
)


class Wav2ClipBackbone(DownloadedBackbone):
    """Wav2CLIP at 16 kHz: 512 numbers for a sound of any length, or for an image."""

    name = "wav2clip"
    dim = DIM
    kind = "wav2clip"
    make = Wav2Clip
    network: Wav2Clip

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute (1, 512) float32 on the CPU of a sound; (0, 512) under 16 ms."""
        samples = at_rate(samples, sample_rate, SAMPLE_RATE)
        return self._features([spectrogram(samples)] if len(samples) >= LEAST_SAMPLES else [])

    def embed_images(self, images: Sequence[Path]) -> Tensor:
        """Compute (M, 512) float32 on the CPU of image files, as OpenAI's CLIP does.

        Raises:
            UsageError: A file cannot be used.
        """
        device = next(self.network.parameters()).device
        rows = [torch.empty(0, DIM)]
        for start in range(0, len(images), BATCH):
            opened = (read_image(path) for path in images[start : start + BATCH])
            squares = np.stack([np.asarray(square(image, CLIP.image_size)) for image in opened])
            with torch.inference_mode():
                pixels = to_pixels(squares, CLIP).to(device)
                rows.append(self.network.encode_image(pixels).float().cpu())
        return torch.cat(rows).clone()

"""Where texts enter a diffusion bridge: chosen by frames, without labels."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.encoders.bridge import KEY, BridgeEncoder

TENTHS = range(2, 9)
"""Entries that are compared, in tenths of the process."""


def choose_entry(encoder: BridgeEncoder, texts: Tensor, frames: Tensor) -> Mapping[str, Any]:
    """Choose the entry from which text vectors become most like frames that they fit; set it.

    A text fits a frame if it is the one most like it once both are centred, as they are where
    nothing is denoised. The half of the frames counts that are most like theirs: a bank has no text
    for every frame.

    Args:
        encoder: Encoder that has the bridge.
        texts: (M, D) vectors of a bank of texts.
        frames: (N, D) vectors of unit norm.

    Returns:
        The meta of a bridge: the entry, and the mean cosine of each that was compared.
    """
    bridge = encoder.bridge
    centred = F.normalize(texts - bridge.text_mean.cpu(), dim=1)
    likeness, fitting = (F.normalize(frames - bridge.frame_mean.cpu(), dim=1) @ centred.T).max(1)
    fitted = likeness >= likeness.median()
    frames, fitting = frames[fitted], fitting[fitted]
    fits = {}
    for tenths in TENTHS:
        encoder.entry = tenths * len(encoder.process) // 10
        moved = encoder.move(texts)[fitting]
        fits[encoder.entry] = round(float((moved * frames).sum(1).mean()), 4)
    encoder.entry = max(fits, key=lambda entry: fits[entry])
    return {KEY: encoder.entry, "cosines": {str(entry): fit for entry, fit in fits.items()}}

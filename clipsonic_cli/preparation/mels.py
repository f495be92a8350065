"""Compute mels of audio of any length in pieces, without artefacts at the joins."""

import math

import torch
from torch import Tensor

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec

PIECE = 2048
"""Frames of mel computed at once, about a minute."""


def margin(spec: MelSpec) -> int:
    """Return how many frames at either end depend on how the audio is padded."""
    return math.ceil((spec.n_fft - spec.hop_length) / 2 / spec.hop_length)


def mel_of(wave: Tensor, log_mel: LogMel) -> Tensor:
    """Compute the mel (T, F) of audio (N,) in [-1, 1] as ``log_mel`` of the whole, in pieces.

    T = floor(N / hop_length), or 0 if N is too small for reflection padding.
    """
    spec = log_mel.spec
    hop, total, edge = spec.hop_length, len(wave) // spec.hop_length, margin(spec)
    if not total or len(wave) <= (spec.n_fft - hop) // 2:
        return wave.new_zeros(0, spec.n_mels)
    pieces, start = [], 0
    while start < total:
        # The last piece may be twice as long, so that none is too short to be reflected.
        stop = start + PIECE if total - start >= 2 * PIECE else total
        left, end = max(0, start - edge), len(wave) if stop == total else (stop + edge) * hop
        mel = log_mel(wave[None, left * hop : end])[0, 0]  # (F, T)
        pieces.append(mel[:, start - left : stop - left].T)
        start = stop
    return torch.cat(pieces)

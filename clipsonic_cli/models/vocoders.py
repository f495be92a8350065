"""Vocoders ready for use: with their weights, and in pieces where mels are long."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clipsonic_cli.config import MelSpec, VocoderConfig, VocosConfig
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.models.state_dict import build


def build_vocoder(
    name: str,
    spec: MelSpec,
    config: VocoderConfig | VocosConfig | None = None,
    weights: Mapping[str, Tensor] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Build a vocoder, in float32, as half precision is audible in one.

    Args:
        name: A row of ``VOCODERS``.
        spec: The geometry of the mels it reads.
        config: Sizes of its network, where it needs a part of a model.
        weights: The same part's.
        device: Where it is to run.

    Raises:
        BadBundle: The configuration describes no network, or the weights do not fit it.
    """
    kind = VOCODERS.load(name)
    if kind.part is None:
        network: Any = kind(spec=spec).to(device)
    else:
        network = build(lambda: kind(spec=spec, config=config), weights, kind.part, device=device)
    return InPieces(network, margin=network.context)


class InPieces(nn.Module):
    """A vocoder that computes long mels in pieces, so that only the waveform grows with them.

    Pieces overlap by the vocoder's context, so that what is kept of each equals, but for rounding,
    what the vocoder makes of the whole. A mel of one piece is not touched.

    Args:
        vocoder: A row of ``VOCODERS``.
        margin: Its context: frames to either side of a frame that its samples depend on.
        frames: Frames kept of a piece: by default 512, which are 16 s, or six margins if that is
            more, so that computing margins twice adds a third at most.
    """

    def __init__(self, vocoder: nn.Module, *, margin: int, frames: int | None = None) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.margin = margin
        self.frames = frames or max(512, 6 * margin)

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, hop_length * T) for a natural-log mel (B, 1, F, T)."""
        total = mel.shape[-1]
        pieces = []
        for start in range(0, total, self.frames):
            left = max(start - self.margin, 0)
            waveform = self.vocoder(mel[..., left : start + self.frames + self.margin])
            hop = waveform.shape[-1] // (min(start + self.frames + self.margin, total) - left)
            pieces.append(waveform[:, (start - left) * hop :][:, : self.frames * hop])
        return torch.cat(pieces, dim=-1)

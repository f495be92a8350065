"""Images with audio, an encoder that sees their colours, and what is kept of them."""

from pathlib import Path

import torch
from make_media import tone, write_media
from PIL import Image

from clipsonic_cli.data.check import Rules
from clipsonic_cli.preparation.catalogue import Catalogue, collect
from clipsonic_cli.preparation.prepare import indices


def write_pair(path: Path, seconds: float, hz: float) -> tuple[Path, Path]:
    """Write an image and its audio file, both of which tell the pitch."""
    image, sound = path.with_suffix(".png"), path.with_suffix(".wav")
    shade = int(hz) % 256
    Image.new("RGB", (40, 30), (shade, 255 - shade, 90)).save(image)
    samples = tone(seconds, 16_000, hz)
    return image, write_media(sound, video=None, audio="pcm_s16le", samples=samples)


class Shades(torch.nn.Module):
    """Embeds colours, which random weights cannot tell apart; encodes texts as the CLIP given."""

    def __init__(self, network):
        super().__init__()
        self.clip = network

    def encode_text(self, ids):
        return self.clip.encode_text(ids)

    def encode_image(self, pixels):
        colours = pixels.mean((2, 3)) @ torch.tensor([0.5, 0.7, 1.1])  # (B,)
        return torch.nn.functional.normalize(torch.cos(colours[:, None] * torch.arange(32)), dim=-1)


def gathered(folder, clips, config, rules=None) -> Catalogue:
    catalogue, findings = collect(clips, indices(folder), folder, config, rules or Rules())
    catalogue.findings = list(findings)
    return catalogue

"""What a page holds instead of fetching it: sounds and pictures as data, texts that stay texts.

Knows: how bytes and words lie inside HTML. Does not know: any page.
"""

import base64
import hashlib
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image

from clipsonic_cli.audio import files
from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.images import read_image

JPEG_QUALITY = 90


def escaped(value: object) -> str:
    """Gives a text as HTML shows it, in an element or in quotes, whatever it holds."""
    # File names may hold halves of characters, which UTF-8 has no bytes for.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def sound_uri(samples: torch.Tensor, sample_rate: int) -> str:
    """Gives a sound as an address: FLAC of 16 bit, without metadata, quieter if it would clip.

    Args:
        samples: (N,) float32, mono, finite.
        sample_rate: In Hz.
    """
    sound = files.encode(peak_guard(samples)[0], sample_rate, ".flac", "PCM_16", None)
    return _uri("audio/flac", sound)


def photo_uri(path: Path, pixels: int) -> str:
    """Gives a picture file as an address: JPEG, upright, without its name and metadata.

    Args:
        path: The file.
        pixels: Its longer side at most; smaller pictures stay as they are.

    Raises:
        UsageError: The file is no picture that can be read.
    """
    picture = read_image(path)
    picture.thumbnail((pixels, pixels))
    return _picture_uri(picture, "JPEG", quality=JPEG_QUALITY)


def drawing_uri(picture: Image.Image) -> str:
    """Gives a picture that was drawn as an address: PNG, pixel for pixel."""
    return _picture_uri(picture, "PNG")


def filled(template: Path, blanks: Mapping[str, str]) -> str:
    """Gives a page with the style sheet and the script of its own, and no other allowed to act.

    Args:
        template: HTML, in which every ``{{name}}`` is replaced once. ``{{style}}`` and
            ``{{script}}`` are the files of its name with ``.css`` and ``.js``, ``{{style-hash}}``
            and ``{{script-hash}}`` what its Content-Security-Policy allows them by.
        blanks: What the other names stand for, as HTML.
    """
    parts = dict(blanks)
    for name, suffix in (("style", ".css"), ("script", ".js")):
        if (beside := template.with_suffix(suffix)).exists():
            parts[name] = beside.read_text("utf-8")
            digest = hashlib.sha256(parts[name].encode()).digest()
            parts[f"{name}-hash"] = f"sha256-{base64.b64encode(digest).decode()}"
    return re.sub(r"\{\{([\w-]+)\}\}", lambda blank: parts[blank[1]], template.read_text("utf-8"))


def _picture_uri(picture: Image.Image, kind: str, **how: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return _uri(f"image/{kind.lower()}", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

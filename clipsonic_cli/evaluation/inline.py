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
from typing import Literal

import torch
from PIL import Image

from clipsonic_cli.audio import files


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
    sound = files.encode(files.peak_guard(samples)[0], sample_rate, ".flac", "PCM_16", None)
    return _uri("audio/flac", sound)


def picture_uri(picture: Image.Image, kind: Literal["PNG", "JPEG"]) -> str:
    """Gives a picture as an address, without metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return _uri(f"image/{kind.lower()}", buffer.getvalue())


def filled(template: Path, blanks: Mapping[str, str]) -> str:
    """Gives a template with every ``{{name}}`` in it replaced once, by HTML."""
    return re.sub(r"\{\{([\w-]+)\}\}", lambda blank: blanks[blank[1]], template.read_text("utf-8"))


def csp_hash(text: str) -> str:
    """Gives a script or style as a Content-Security-Policy allows it, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

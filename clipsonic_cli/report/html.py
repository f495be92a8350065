"""Pages without links to other files: sounds and images as data, texts escaped."""

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
    """Return a text escaped for HTML, in an element or in quotes."""
    # File names may hold surrogates, which UTF-8 cannot encode.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def sound_uri(samples: torch.Tensor, sample_rate: int) -> str:
    """Return a sound as a data URI: 16-bit FLAC without metadata, scaled if it would clip.

    Args:
        samples: (N,) float32, mono, finite.
        sample_rate: In Hz.
    """
    sound = files.encode(peak_guard(samples)[0], sample_rate, ".flac", "PCM_16", None)
    return _uri("audio/flac", sound)


def photo_uri(path: Path, pixels: int) -> str:
    """Return an image file as a data URI: JPEG, upright, without its name and metadata.

    Args:
        path: The file.
        pixels: Its longer side at most; smaller images keep their size.

    Raises:
        UsageError: The file is no image that can be read.
    """
    image = read_image(path)
    image.thumbnail((pixels, pixels))
    return _image_uri(image, "JPEG", quality=JPEG_QUALITY)


def drawing_uri(image: Image.Image) -> str:
    """Return a drawn image as a data URI: PNG, pixel for pixel."""
    return _image_uri(image, "PNG")


def filled(template: Path, blanks: Mapping[str, str]) -> str:
    """Fill a page with its own style sheet and script, the only ones that its policy allows.

    Args:
        template: HTML, in which every ``{{name}}`` is replaced once. ``{{style}}`` and
            ``{{script}}`` are the files of its name with ``.css`` and ``.js``, ``{{style-hash}}``
            and ``{{script-hash}}`` their hashes for the Content-Security-Policy.
        blanks: HTML for the other names.
    """
    parts = dict(blanks)
    for name, suffix in (("style", ".css"), ("script", ".js")):
        if (path := template.with_suffix(suffix)).exists():
            parts[name] = path.read_text("utf-8")
            digest = hashlib.sha256(parts[name].encode()).digest()
            parts[f"{name}-hash"] = f"sha256-{base64.b64encode(digest).decode()}"
    return re.sub(r"\{\{([\w-]+)\}\}", lambda blank: parts[blank[1]], template.read_text("utf-8"))


def _image_uri(image: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return _uri(f"image/{kind.lower()}", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

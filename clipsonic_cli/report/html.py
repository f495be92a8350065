"""Pages without links to other files: sounds and images as data, texts escaped."""

import base64
import hashlib
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from clipsonic_cli.audio import files
from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.images import read_image


def escaped(value: object) -> str:
    """Return a text escaped for HTML, in an element or in quotes."""
    # File names may hold surrogates, which UTF-8 cannot encode.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def sound_uri(samples: torch.Tensor, sample_rate: int) -> str:
    """Return (N,) mono samples as a data URI: FLAC of 16 bits, scaled if it would clip."""
    sound = files.encode(peak_guard(samples)[0], sample_rate, ".flac", "PCM_16", None)
    return _uri("audio/flac", sound)


def photo_uri(path: Path, pixels: int) -> str:
    """Return an image file as a data URI: an upright JPEG of ``pixels`` at most, no metadata."""
    image = read_image(path)
    image.thumbnail((pixels, pixels))
    return _image_uri(image, "JPEG", quality=90)


def drawing_uri(image: Image.Image) -> str:
    """Return a drawn image as a data URI: PNG, pixel for pixel."""
    return _image_uri(image, "PNG")


def table(caption: str, head: str, rows: Iterable[str]) -> str:
    """Build a table from the HTML of its cells; if wider than a phone, it scrolls, also by keys."""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    content = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escaped(caption)}">'
        f"<table><caption>{escaped(caption)}</caption>{content}</table></div>"
    )


def text_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], attributes: str = ""
) -> str:
    """Build a table of texts; ``attributes`` are for the cells of all but the first column."""
    first, *others = map(escaped, columns)
    head = "".join(f'<th scope="col"{attributes}>{column}</th>' for column in others)
    lines = []
    for name, *cells in rows:
        shown = "".join(f"<td{attributes}>{escaped(cell)}</td>" for cell in cells)
        lines.append(f'<th scope="row">{escaped(name)}</th>{shown}')
    return table(caption, f'<th scope="col">{first}</th>{head}', lines)


def filled(template: Path, blanks: Mapping[str, str]) -> str:
    """Replace every ``{{name}}`` of a page by the HTML in ``blanks``.

    ``{{style}}`` and ``{{script}}`` are the files of its name with ``.css`` and ``.js``, the only
    ones that its policy allows: by ``{{style-hash}}`` and ``{{script-hash}}``.
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

"""Picture files to upright RGB pixels, whatever people point at.

Knows: PIL, EXIF, transparency, broken files. Does not know: CLIP. Imports no torch, so that a
command can check its pictures before anything slow happens.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clipsonic_cli.errors import UsageError

MAX_PIXELS = 500_000_000
LARGE = 16_000_000
"""Pixels above which a picture is first reduced roughly; below, pixels are exactly CLIP's."""
ROUGH = 1024
"""Pixels of the short side after the rough reduction."""


def check_image(path: Path) -> None:
    """Verifies that a picture can be used, by decoding it.

    Raises:
        UsageError: It cannot; the message names the file and the reason.
    """
    read_image(path)


def read_image(path: Path) -> Image.Image:
    """Gives a picture's first frame, upright, in RGB, transparency on white.

    Args:
        path: Any format PIL reads. Above 16 megapixels the picture comes reduced, its short side
            not under 1024 pixels.

    Returns:
        An RGB image.

    Raises:
        UsageError: The file is missing, empty, no picture, damaged, or over 500 megapixels.
    """
    if not path.exists():
        raise UsageError(f"There is no picture {path}.")
    if not path.is_file():
        raise UsageError(f"{path} is not a file; give one picture file.")
    try:
        if path.stat().st_size == 0:
            raise UsageError(f"The picture {path} is empty (0 bytes).")
        with _own_limit(), Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UsageError(
                    f"The picture {path} has {image.width} x {image.height} pixels, over the limit "
                    f"of {MAX_PIXELS // 1_000_000} million. Scale it down first."
                )
            return to_rgb(image)
    except UsageError:
        raise
    except UnidentifiedImageError:
        raise UsageError(
            f"{path} is no picture this program reads (it reads PNG, JPEG, WebP, GIF, BMP, TIFF)."
        ) from None
    except PermissionError:
        raise UsageError(f"The picture {path} cannot be opened: permission denied.") from None
    except Exception as error:  # a damaged file can make PIL's decoders raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"The picture {path} is damaged: {reason}.") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Gives an opened image upright, in RGB, on white where it is transparent."""
    if image.width * image.height > LARGE:
        # JPEG decodes at a fraction of its size for free; other formats are reduced below.
        shrink = min(image.size) / ROUGH
        image.draft("RGB", (round(image.width / shrink), round(image.height / shrink)))
    image.load()
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits; PIL would clip, not scale
        deep = np.asarray(image, dtype=np.float64)
        full = 65535 if image.mode.startswith("I") and deep.max() > 255 else max(deep.max(), 1)
        image = Image.fromarray((deep.clip(0, full) * (255 / full)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    factor = min(image.size) // ROUGH
    if image.width * image.height > LARGE and factor > 1:
        image = image.reduce(factor)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return ImageOps.exif_transpose(image)


@contextmanager
def _own_limit() -> Iterator[None]:
    """Lifts PIL's own limit of 89 million pixels, and silences its warnings on odd metadata."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit

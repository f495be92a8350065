"""Image files to upright RGB pixels, and the square of them that CLIP embeds.

Imports no torch, so that a command can check its images before anything slow happens.
"""

import functools
import hashlib
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clipsonic_cli.errors import UsageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats of PIL's that are tried; a phone's MPO is opened as JPEG. Others are rare, and some (EPS)
make PIL run a program on what the file says."""
MAX_PIXELS = 200_000_000
"""Those of the largest phone cameras; at the limit up to 2.6 GB are needed."""
LARGE = 16_000_000
"""Pixels above which an image is first reduced roughly; below, pixels are exactly CLIP's."""
ROUGH = 1024
"""Pixels of the short side after the rough reduction."""
SMALLEST_CROP = 0.5
"""Least side of a random crop, as a share of the image's short side."""
LONGEST = 16
"""Long side over short side above which an image's ends are cut off before it is resized."""


def check_image(path: Path) -> None:
    """Check that an image can be used, by decoding it; a UsageError says why it cannot."""
    read_image(path)


def image_digest(image: str | Path) -> str:
    """Check an image and return the first 16 hexadecimal digits of its SHA-256.

    A file is decoded once for each time of change and size; a UsageError says why it cannot be.
    """
    path = Path(image)
    if not path.is_file():
        check_image(path)  # says what is wrong
    return _digest_of(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=256)
def _digest_of(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - keys
    check_image(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_image(path: Path) -> Image.Image:
    """Read an image's first frame, upright, in RGB, transparency on white.

    Args:
        path: PNG, JPEG, WebP, GIF, BMP or TIFF. An image of over 16 megapixels is reduced, its
            short side to no less than 1024 pixels.

    Raises:
        UsageError: The file is missing, empty, no image, damaged, or over 200 megapixels.
    """
    if not path.exists():
        raise UsageError(f"There is no image {path}.")
    if not path.is_file():
        raise UsageError(f"{path} is not a file; give one image file.")
    try:
        if path.stat().st_size == 0:
            raise UsageError(f"The image {path} is empty (0 bytes).")
        with _own_limit(), Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UsageError(
                    f"The image {path} has {image.width} x {image.height} pixels, over the limit "
                    f"of {MAX_PIXELS // 1_000_000} million. Scale it down first."
                )
            return to_rgb(image)
    except UsageError:
        raise
    except UnidentifiedImageError:
        raise UsageError(
            f"{path} is no image this program reads (it reads PNG, JPEG, WebP, GIF, BMP, TIFF); "
            "convert it."
        ) from None
    except OSError as error:
        if error.errno is not None:  # of the system; PIL's own have no number
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"The image {path} cannot be opened: {reason}.") from None
        raise _damaged(path, error) from error
    except Exception as error:  # a damaged file can make PIL's decoders raise nearly anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UsageError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UsageError(f"The image {path} is damaged: {reason}.")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an opened image: upright, in RGB, on white where it is transparent."""
    if image.width * image.height > LARGE:
        # JPEG decodes at a fraction of its size for free; other formats are reduced below.
        shrink = min(image.size) / ROUGH
        image.draft("RGB", (round(image.width / shrink), round(image.height / shrink)))
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # first: what follows forgets the orientation
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits; PIL would clip, not scale
        deep = np.array(image, dtype=np.float32)
        peak = float(deep.max())
        full = max(peak, 1.0)
        if image.mode.startswith("I"):
            full = 65535.0 if peak > 255 else 255.0  # some files hold 8 bits in wider integers
        # In place, as a copy of an image at the limit would take 800 MB.
        np.clip(deep, 0, full, out=deep)
        deep *= 255
        deep /= full
        image = Image.fromarray(deep.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    factor = min(image.size) // ROUGH
    if image.width * image.height > LARGE and factor > 1:
        image = image.reduce(factor)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def square(image: Image.Image, size: int) -> Image.Image:
    """Cut an RGB image to the square of ``size`` pixels that CLIP embeds: resized, then the centre.

    Of an image more than 16 times as long as it is wide, only the middle is resized, as only the
    centre is kept anyway: a line of a million pixels would become 200 gigabytes.

    Source: Radford et al. 2021, the published preprocessing.
    """
    short = min(image.size)
    # As much from either end, so that the centre stays where it is.
    left, top = (max(0, (n - LONGEST * short + 1) // 2) for n in image.size)
    if left or top:
        image = image.crop((left, top, image.width - left, image.height - top))
    # The long side is rounded down, as torchvision does.
    width, height = (size if n == short else max(size, size * n // short) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def random_square(image: Image.Image, size: int, chance: random.Random) -> Image.Image:
    """Cut a random square of an RGB image, its side half to all of the short one's, to ``size``."""
    side = max(1, round(min(image.size) * chance.uniform(SMALLEST_CROP, 1)))
    left, top = (chance.randint(0, n - side) for n in image.size)
    part = image.crop((left, top, left + side, top + side))
    return part.resize((size, size), Image.Resampling.BICUBIC)


@contextmanager
def _own_limit() -> Iterator[None]:
    """Lift PIL's own limit of 89 million pixels, and silences its warnings on odd metadata."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit

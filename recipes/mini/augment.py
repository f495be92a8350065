"""Augmented views of pictures, and the image tower's features of them, cached by content.

The first view of a picture is what the encoder itself sees; the others are flipped, cropped,
shrunk onto a larger canvas, and stand on tinted backgrounds where the picture is transparent.
"""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from clipsonic_cli.encoders.clip import to_pixels
from clipsonic_cli.images import read_image, square
from clipsonic_cli.models.clip import ClipConfig, EfficientNetLite0

SAVE_EVERY = 500


def views(path: Path, count: int) -> list[Image.Image]:
    """Return ``count`` RGB views; the randomness is the file's own, so that views never change."""
    plain = read_image(path)
    with Image.open(path) as image:
        cutout = image.convert("RGBA") if image.has_transparency_data else None
    if cutout is not None:
        cutout.thumbnail((512, 512))
    plain_small = plain.copy()
    plain_small.thumbnail((512, 512))
    chance = random.Random(hashlib.sha256(path.read_bytes()).hexdigest())
    return [plain] + [_augment(cutout or plain_small, chance) for _ in range(count - 1)]


def _augment(image: Image.Image, chance: random.Random) -> Image.Image:
    if image.mode == "RGBA":
        tint = tuple(chance.randint(120, 255) for _ in range(3))
        background = Image.new("RGBA", image.size, (*tint, 255))
        image = Image.alpha_composite(background, image).convert("RGB")
    else:
        tint = (255, 255, 255)
    if chance.random() < 0.5:
        image = ImageOps.mirror(image)
    if chance.random() < 0.5:  # closer
        part = chance.uniform(0.6, 1.0)
        width, height = (max(1, round(n * part)) for n in image.size)
        left = chance.randint(0, image.width - width)
        top = chance.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
    else:  # further, all of it in a square
        side = round(max(image.size) * chance.uniform(1.0, 1.5))
        canvas = Image.new("RGB", (side, side), tint)
        left = chance.randint(0, side - image.width)
        top = chance.randint(0, side - image.height)
        canvas.paste(image, (left, top))
        image = canvas
    image = ImageEnhance.Color(image).enhance(chance.uniform(0.5, 1.3))
    return ImageEnhance.Brightness(image).enhance(chance.uniform(0.75, 1.15))


class FeatureCache:
    """Pooled features (views, 1280) of pictures on disk, found by the digest of their bytes.

    Args:
        path: A safetensors-free torch file of this recipe's own, read with ``weights_only``.
        tower: The image tower.
        config: Its preprocessing.
    """

    def __init__(self, path: Path, tower: EfficientNetLite0, config: ClipConfig) -> None:
        self.path = path
        self.tower = tower.to(memory_format=torch.channels_last)
        self.config = config
        self.rows: dict[str, torch.Tensor] = {}
        if path.exists():
            self.rows = torch.load(path, weights_only=True)

    def __call__(self, paths: Sequence[Path], count: int) -> list[torch.Tensor]:
        """Return (count, 1280) float16 for each picture; what is not cached is computed."""
        keys = [f"{hashlib.sha256(path.read_bytes()).hexdigest()[:24]}" for path in paths]
        fresh = 0
        for n, (path, key) in enumerate(zip(paths, keys, strict=True)):
            if len(self.rows.get(key, ())) >= count:
                continue
            size = self.config.image_size
            squares = np.stack([np.asarray(square(view, size)) for view in views(path, count)])
            pixels = to_pixels(squares, self.config)
            with torch.inference_mode():
                pixels = pixels.to(memory_format=torch.channels_last)
                self.rows[key] = self.tower(pixels).half().clone()
            fresh += 1
            if fresh % SAVE_EVERY == 0:
                self.save()
                print(f"features: {n + 1} of {len(paths)} pictures", flush=True)
        if fresh:
            self.save()
        return [self.rows[key][:count] for key in keys]

    def save(self) -> None:
        """Write the cache under a temporary name and rename it."""
        temporary = self.path.with_suffix(".part")
        torch.save(self.rows, temporary)
        temporary.replace(self.path)

"""ImageHear: 101 photos of 30 kinds of sound, ``ImageHear/accordion1.jpg`` and so on.

Source: Sheffer & Adi 2023 (Im2Wav), whose repository has the files in ``Data/ImageHear``; queries
of CLIPSonic's Table 4.
"""

import re
from pathlib import Path

from clipsonic_cli.data.query_sets import QuerySet

CLASSES = frozenset(
    (
        *("accordion", "bass", "bells", "bird", "bongo", "car", "cat", "chicken", "cow", "cricket"),
        *("dog", "drums", "duck", "flute", "frog", "guitar", "gun", "harmonica", "horse", "lion"),
        *("motorcycle", "people", "piano", "police", "rain", "saxophone", "sheep", "train"),
        *("trumpet", "waterfall"),
    )
)


def label(path: Path) -> str | None:
    """Return the class that an image's name begins with, before its number; None for another."""
    name = re.sub(r"\d+$", "", path.stem)
    return name if name in CLASSES and name != path.stem else None


QUERIES = QuerySet(
    title="ImageHear",
    images=101,
    files="ImageHear, with 'dog1.jpg' and so on: Data/ImageHear of github.com/RoySheffer/im2wav",
    label=label,
)

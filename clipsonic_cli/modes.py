"""Table 1 as data: a mode is which encoder makes the condition and which U-Net reads it.

Standard library only. Adding a mode is adding a row; the help text and the README's table follow.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clipsonic_cli.errors import UsageError
from clipsonic_cli.ranges import shown
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import check_words, printable
from clipsonic_cli.types import Query, Space

Kind = Literal["text", "image"]
"""Kind of a query."""
TAUGHT: Literal["unet"] = "unet"
STUDENT: Literal["student"] = "student"
"""The U-Net that has students, and the part that can stand in for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One row of Table 1."""

    name: str
    """What ``--mode`` takes."""
    title: str
    query: Kind
    """The kind of query it takes."""
    encoder: str
    """A name of ``encoders.ENCODERS``."""
    weights: tuple[str, ...]
    """The parts of a model it needs besides the vocoder, as file stems of a model folder."""
    unet: str = "unet"
    """Which of them is the U-Net."""
    trained_on: Space = "clip-image"
    """The space the U-Net was trained on. Only zero-shot transfer feeds it another."""
    space: Space = "clip-image"
    """The space of the encoder's vectors."""

    def by_student(self) -> "Mode":
        """Return the mode with the student in the place of its U-Net.

        Raises:
            UsageError: Its U-Net is not the one that has students.
        """
        if self.unet != TAUGHT:
            able = ", ".join(mode.name for mode in _ROWS if mode.unet == TAUGHT)
            raise UsageError(
                f"Mode '{self.name}' has a U-Net of its own, for which no student stands in. Modes "
                f"with a student: {able}."
            )
        weights = tuple(STUDENT if name == TAUGHT else name for name in self.weights)
        return replace(self, unet=STUDENT, weights=weights)


_ROWS = (
    Mode(
        name="iq",
        title="image query",
        query="image",
        encoder="clip-image",
        weights=("clip", "unet"),
    ),
    Mode(
        name="zs",
        title="zero-shot modality transfer",
        query="text",
        encoder="clip-text",
        weights=("clip", "unet"),
        space="clip-text",
    ),
    Mode(
        name="ms",
        title="mean shift",
        query="text",
        encoder="mean-shift",
        weights=("clip", "statistics", "unet"),
    ),
    Mode(
        name="ra",
        title="ReAlign: mean, spread and direction",
        query="text",
        encoder="realign",
        weights=("clip", "statistics", "unet"),
    ),
    Mode(
        name="rt",
        title="retrieval of training frames",
        query="text",
        encoder="retrieval",
        weights=("clip", "statistics", "unet"),
    ),
    Mode(
        name="db",
        title="diffusion bridge of training frames",
        query="text",
        encoder="bridge",
        weights=("clip", "bridge", "unet"),
    ),
    Mode(
        name="pd",
        title="pretrained diffusion prior",
        query="text",
        encoder="prior",
        weights=("clip", "prior", "unet"),
    ),
    Mode(
        name="sd",
        title="supervised diffusion prior",
        query="text",
        encoder="prior-sd",
        weights=("clip", "prior-sd", "unet"),
    ),
    Mode(
        name="clip-tta",
        title="text-audio pairs, CLIP text",
        query="text",
        encoder="clip-text",
        weights=("clip", "unet-clip-text"),
        unet="unet-clip-text",
        trained_on="clip-text",
        space="clip-text",
    ),
    Mode(
        name="clap-tta",
        title="text-audio pairs, CLAP text",
        query="text",
        encoder="clap-text",
        weights=("clap", "unet-clap-text"),
        unet="unet-clap-text",
        trained_on="clap-text",
        space="clap-text",
    ),
)
MODES: dict[str, Mode] = {mode.name: mode for mode in _ROWS}
WAYS = tuple(m.name for m in _ROWS if m.query == "text" and m.trained_on == "clip-image")
"""Modes that turn a text into what a U-Net for frames reads."""

DEFAULT_MODE: dict[Kind, str] = {"text": "pd", "image": "iq"}
"""The default mode for a kind of query, unless a model names one (``store/default_mode.py``)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Endings that tell an image from a text on the command line."""
UNREAD_SUFFIXES = {
    ".heic .heif .avif .jxl .jp2 .svg .ico .psd .pdf .eps .raw .dng .cr2 .cr3 .nef .arw .tga": (
        "is no image this program reads; convert it to JPEG or PNG"
    ),
    ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .wmv .flv .3gp": (
        "is a video; save one of its frames as JPEG or PNG, and give that image"
    ),
    ".wav .mp3 .flac .ogg .opus .m4a .aac .aif .aiff .wma": (
        "is a sound, and sounds are made from a text or an image"
    ),
}
"""Endings of files that are no query, and why, so that no name of a file becomes a text."""


def mode_for(name: str | None, kind: Kind) -> Mode:
    """Return the mode of a query, or the default for its kind where no name is given.

    An unknown mode, or one that takes the other kind of query, is a UsageError.
    """
    name = name or DEFAULT_MODE[kind]
    if name not in MODES:
        raise unknown("mode", name, list(MODES))
    mode = MODES[name]
    if mode.query != kind:
        able = ", ".join(row.name for row in MODES.values() if row.query == kind)
        raise UsageError(
            f"Mode '{name}' takes {_a(mode.query)} query, not {_a(kind)}. For {_a(kind)}: {able}."
        )
    return mode


def negative_mode_for(mode: Mode, kind: Kind, default: str | None = None) -> Mode:
    """Return the mode whose encoder turns a negative query into what another's U-Net reads.

    The negative's kind may be the other one ("a cat photo, but no birdsong"); where no encoder for
    it leads to this U-Net, that is a UsageError. ``default`` is the model's mode for that kind.
    """
    negative = mode if mode.query == kind else MODES[default or DEFAULT_MODE[kind]]
    if negative.unet != mode.unet:
        raise UsageError(
            f"Mode '{mode.name}' cannot steer away from {_a(kind)}: its U-Net reads "
            f"{mode.trained_on} vectors only. Give a negative {mode.query}."
        )
    return negative


def _a(kind: str) -> str:
    """Return a kind of query with its article."""
    return f"an {kind}" if kind == "image" else f"a {kind}"


def query_of(value: str | os.PathLike[str]) -> Query:
    """Return a query: a Path, or a name with an image's ending, is an image; all else is text.

    A text without a word, no UTF-8, or the name of another file, and what is neither text nor path,
    are UsageErrors.
    """
    if isinstance(value, os.PathLike):
        return Query(image=Path(value))
    if not isinstance(value, str):
        raise UsageError(
            f"A query is {shown(value)} ({type(value).__name__}); it must be text (str) or the "
            "path of an image file (Path). Save an image in memory to a file first; make several "
            "sounds by one call each."
        )
    text = str(value).strip()
    if text.lower().endswith(IMAGE_SUFFIXES):
        return Query(image=Path(text))
    return Query(text=check_words(check_no_file(text)))


def check_no_file(text: str) -> str:
    """Check that a text is not the name of a file that is no query; return it."""
    for suffixes, why in UNREAD_SUFFIXES.items():
        if text.strip().lower().endswith((*suffixes.split(),)):
            raise UsageError(f"'{printable(text)}' {why}.")
    return text

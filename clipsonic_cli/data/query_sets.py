"""Named sets of labelled images to query a model with, which have no sounds to compare with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clipsonic_cli.data import QUERY_SETS
from clipsonic_cli.data.files import IMAGES, name_of, walk
from clipsonic_cli.errors import UsageError
from clipsonic_cli.images import image_digest
from clipsonic_cli.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySet:
    """A named set of images, whose files a user has in a folder."""

    title: str
    images: int
    """Number of images in the whole set."""
    files: str
    """Where its files are from and how they are named, for messages."""
    label: Callable[[Path], str | None]
    """Returns the class of an image by its path; None for one that is not of the set."""


class LabelledImage(NamedTuple):
    """An image file and its class."""

    path: Path
    label: str


class FoundImages(NamedTuple):
    """The images of a set that are in a folder."""

    title: str
    """Title of the set, for people."""
    images: dict[str, LabelledImage]
    """By file name without suffix."""
    left_out: dict[str, str]
    """Reasons for images that cannot be used, by their path within the folder."""
    missing: int
    """Images of the set that are not used."""


def find_images(name: str, folder: Path) -> FoundImages:
    """Find the images of a set at any depth of a folder; each is decoded once.

    Args:
        name: A key of QUERY_SETS.
        folder: Where a user has its files.

    Raises:
        UsageError: There is no such set or folder, or none of its images can be used.
    """
    known: QuerySet = QUERY_SETS.load(name)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"'{folder}' {what}; give the folder of {known.files}.")
    images: dict[str, LabelledImage] = {}
    left_out: dict[str, str] = {}
    for file in walk(folder):
        if file.suffix not in IMAGES:
            continue
        path, label = file.path, known.label(file.path)
        if label is None:
            fault = f"no image of {known.title} by its name"
        elif path.stem in images:
            fault = "another image has this name"
        elif not (fault := _fault(path)):
            images[path.stem] = LabelledImage(path, label)
        if fault:
            left_out[printable(name_of(path, folder))] = fault
    if not images:
        why = "it has no image files"
        if left_out:
            example, fault = next(iter(left_out.items()))
            why = f"'{example}' is left out: {fault}"
        raise UsageError(
            f"'{folder}' holds no image of {known.title} that can be used ({why}); give the folder "
            f"of {known.files}."
        )
    return FoundImages(known.title, images, left_out, known.images - len(images))


def _fault(path: Path) -> str:
    """Return why an image cannot be used; "" if it can."""
    try:
        image_digest(path)
    except UsageError as error:
        return str(error).rstrip(".")
    return ""

"""Read pairs of an image and an audio file: ``dog.jpg`` and ``dog.wav``.

An image and an audio file of one name in one folder are a clip; the label is the folder's name,
unless it is the data set's own.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import PICTURES, SOUNDS, FoundFiles, label_of, name_of, walk
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip


def detect(source: str) -> bool:
    """Return whether it is a folder; ``data/listing.py`` counts the pairs."""
    return Path(source).is_dir()


def read(source: str) -> Iterator[Clip]:
    """Yield the images below a folder, each with the audio file of its name."""
    root = Path(source)
    if not root.is_dir():
        raise UsageError(f"'{source}' is not a folder of pictures and sounds.")
    for _, files in groupby(walk(root), key=lambda file: file.path.parent):
        yield from _in_folder(list(files), root)


def _in_folder(files: list[FoundFiles], root: Path) -> Iterator[Clip]:
    sounds: dict[str, Path] = {}
    for file in files:
        if file.problem is None and file.suffix in SOUNDS:
            sounds.setdefault(file.path.stem, file.path)
    pictures = {file.path.stem for file in files if file.suffix in PICTURES}
    for file in files:
        path, stem, sound, problem = file.path, file.path.stem, None, file.problem
        if file.suffix in SOUNDS:
            if stem in pictures and sounds.get(stem) == path:
                continue  # it is listed with its pictures
            problem = problem or (
                "another sound has the same name" if stem in pictures else "no picture of its name"
            )
        elif file.suffix not in PICTURES and problem is None:
            continue
        elif (sound := sounds.get(stem)) is None:
            problem = problem or "no sound of its name"
        yield Clip(
            id=name_of(path, root),
            media=path,
            sound=sound,
            label=label_of(path, root),
            problem=problem,
        )


READER = Reader(detect=detect, read=read)

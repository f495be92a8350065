"""Read a folder of videos, nested or not.

The label is the name of the folder that holds a video, unless that is the data set's own. Files
without a video's suffix, and parts of downloads, are not listed; ``data/listing.py`` reports them.
"""

from collections.abc import Iterator
from pathlib import Path

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import VIDEOS, is_part_of_download, label_of, name_of, walk
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip


def detect(source: str) -> bool:
    """Return whether it is a folder."""
    return Path(source).is_dir()


def read(source: str) -> Iterator[Clip]:
    """Yield the videos below a folder, sorted by path within each folder."""
    root = Path(source)
    if not root.is_dir():
        raise UsageError(f"'{source}' is not a folder of videos.")
    for file in walk(root):
        if file.problem is None and (file.suffix not in VIDEOS or is_part_of_download(file.path)):
            continue
        yield Clip(
            id=name_of(file.path, root),
            media=file.path,
            label=label_of(file.path, root),
            problem=file.problem,
        )


READER = Reader(detect=detect, read=read)

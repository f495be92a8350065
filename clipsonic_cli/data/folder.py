"""A folder of videos, nested or not.

The label is the folder a video lies in, unless that is the data set's own; none is needed. Every
file that does not begin with a dot is listed: what is no video by its name is listed with that
problem, so that nothing disappears unseen.
"""

from collections.abc import Iterator
from pathlib import Path

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import VIDEOS, label_of, name_of, walk
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip


def detect(source: str) -> bool:
    """Any folder."""
    return Path(source).is_dir()


def read(source: str) -> Iterator[Clip]:
    """Lists the videos below a folder, sorted by path within each folder."""
    root = Path(source)
    if not root.is_dir():
        raise UsageError(f"'{source}' is no folder of videos.")
    for file in walk(root):
        problem = file.problem
        if problem is None and file.suffix not in VIDEOS:
            problem = f"no video by its name ({file.suffix or 'no suffix'})"
        yield Clip(
            id=name_of(file.path, root),
            media=file.path,
            label=label_of(file.path, root),
            problem=problem,
        )


READER = Reader(detect=detect, read=read)

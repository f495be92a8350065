"""Read a list of clips: CSV, TSV, JSON Lines, JSON, or plain lines (``data/lists.py``).

Columns, of which only the first is needed: ``media`` (a video or image), ``sound`` (where it is
another file), ``label``, ``split`` (train, valid, test), ``start`` and ``seconds``, or their
synonyms. Files are next to or below the list (``data/listed_files.py``).
"""

import difflib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import IMAGES, VIDEOS
from clipsonic_cli.data.list_row import KNOWN, SYNONYMS, BadCell, ListRow
from clipsonic_cli.data.listed_files import ListedFiles
from clipsonic_cli.data.lists import SUFFIXES, read_list
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import has_word
from clipsonic_cli.types import Clip, Split

COLUMNS = ["media", "sound", "label", "split", "start", "seconds"]
SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
NAMES = tuple(f"manifest{suffix}" for suffix in SUFFIXES)


def detect(source: str) -> bool:
    """Return whether it is a list by its ending, or a folder with a ``manifest`` of these."""
    path = Path(source)
    if path.is_dir():
        return any((path / name).is_file() for name in NAMES)
    return path.is_file() and path.suffix.lower() in SUFFIXES


def bare(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the columns of a list without a header: the file, and its label if there are two."""
    is_file = bool(cells) and Path(cells[0].strip()).suffix.lower() in VIDEOS | IMAGES
    return COLUMNS[:1] + COLUMNS[2:3] * (len(cells) - 1) if is_file and len(cells) < 3 else None


def read(source: str) -> Iterator[Clip]:
    """Yield a clip for each row; one with an invalid row has its problem."""
    path = Path(source)
    if path.is_dir():
        names = [name for name in NAMES if (path / name).is_file()]
        if not names:
            raise UsageError(f"'{source}' holds no {' or '.join(NAMES)}.")
        path /= names[0]
    files, checked = ListedFiles(path.parent), set[str]()
    for row in read_list(path, "media", bare=bare):
        for name in row.cells.keys() - checked:
            if name not in KNOWN and difflib.get_close_matches(name, COLUMNS, cutoff=0.79):
                raise unknown("column", name, COLUMNS)  # a misspelling
            checked.add(name)
        yield _clip(row, f"{path.name}:{row.line}", files)


def unused_columns(source: str) -> list[str]:
    """Return the columns of a list's first rows that are not used."""
    rows = list(islice(read_list(Path(source), "media", bare=bare), 1000))
    used = {row.column(role) for row in rows for role in COLUMNS}
    names = dict.fromkeys(name for row in rows for name in row.cells)
    return [name for name in names if name not in used]


def _clip(row: ListRow, line: str, files: ListedFiles) -> Clip:
    """Return the clip of a row; if the row is invalid, one named by its line, with the problem."""
    try:
        if row.problem is not None:
            raise BadCell(row.problem)
        name = row.name("media")
        if name is None:
            raise BadCell(f"there is no file's name under {', '.join(SYNONYMS['media'][:4])}")
        details = clip_details(row)
        media, sound = files.find(name), row.name("sound")
        moment = f"@{details['start']:g}" if details["start"] or details["seconds"] else ""
        return Clip(
            id=unicodedata.normalize("NFC", media) + moment,
            media=files.folder / media,
            sound=files.folder / files.find(sound) if sound else None,
            **details,
        )
    except BadCell as error:
        return Clip(id=line, media=files.folder, problem=str(error))


def clip_details(row: ListRow) -> dict[str, Any]:
    """Return a row's label, split, start and seconds for :class:`Clip`; BadCell for a bad value."""
    label, split = row.text("label"), row.text("split")
    if label and not has_word(label):
        raise BadCell(f"label is {label!r:.40}, which has no word")
    if split and split.casefold() not in SPLITS:
        raise BadCell(f"split is {split!r:.40}, none of train, valid, test")
    start, seconds = row.number("start"), row.number("seconds")
    for role, number in (("start", start), ("seconds", seconds)):
        if number is not None and not 0 <= number < 1e7:
            shown = f"{row.column(role)} is {number:g}"
            raise BadCell(f"{shown}, no number of seconds from 0 to 10,000,000")
    if seconds == 0:
        raise BadCell("seconds is 0")
    split = SPLITS[split.casefold()] if split else None
    return {"label": label or None, "split": split, "start": start or 0.0, "seconds": seconds}


READER = Reader(detect=detect, read=read)

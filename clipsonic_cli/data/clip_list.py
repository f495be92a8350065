"""A list of clips: CSV, TSV, JSON Lines, JSON, or plain lines (``data/lists.py``).

Columns, of which only the first is needed: ``media`` (a video or picture), ``sound`` (where it is
another file), ``label``, ``split`` (train, valid, test), ``start`` and ``seconds``, or their
synonyms. Files are named relative to the list and are next to or below it
(``data/listed_files.py``).
"""

import difflib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import PICTURES, VIDEOS
from clipsonic_cli.data.listed_files import ListedFiles
from clipsonic_cli.data.lists import KNOWN, SUFFIXES, SYNONYMS, BadCell, ListRow, read_list
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import has_word
from clipsonic_cli.types import Clip, Split

COLUMNS = ["media", "sound", "label", "split", "start", "seconds"]
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "eval": "test",
}
LOOKED_AT = 1000
"""Rows in which unused columns are searched."""
NAMES = tuple(f"manifest{suffix}" for suffix in SUFFIXES)


def detect(source: str) -> bool:
    """Return whether it is a list by its ending, or a folder with a ``manifest`` of these."""
    path = Path(source)
    if path.is_dir():
        return any((path / name).is_file() for name in NAMES)
    return path.is_file() and path.suffix.lower() in SUFFIXES


def bare(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the columns of a list without a header: the file, and its label if there are two."""
    is_file = bool(cells) and Path(cells[0].strip()).suffix.lower() in VIDEOS | PICTURES
    return COLUMNS[:1] + COLUMNS[2:3] * (len(cells) - 1) if is_file and len(cells) < 3 else None


def read(source: str) -> Iterator[Clip]:
    """Yield a clip for each row; one with an invalid row has its problem."""
    path = Path(source)
    if path.is_dir():
        here = [path / name for name in NAMES if (path / name).is_file()]
        if not here:
            raise UsageError(f"'{source}' holds no {' or '.join(NAMES)}.")
        path = here[0]
    files, checked = ListedFiles(path.parent), set[str]()
    for row in read_list(path, "media", bare=bare):
        for name in row.cells.keys() - checked:
            _check_column(name)
            checked.add(name)
        yield _clip(row, f"{path.name}:{row.line}", files)


def unused_columns(source: str) -> list[str]:
    """Return the columns of a list's first rows that are not used."""
    path = Path(source)
    roles = ("media", "sound", "label", "split", "start", "seconds")
    used: set[str | None] = set()
    there: dict[str, None] = {}
    for row in islice(read_list(path, "media", bare=bare), LOOKED_AT):
        there |= dict.fromkeys(row.cells)
        used |= {row.column(role) for role in roles}
    return [name for name in there if name not in used]


def _check_column(name: str) -> None:
    """Check that an unknown column is not a misspelling of a known one.

    Raises:
        UsageError: It looks like one.
    """
    if name not in KNOWN and difflib.get_close_matches(name, COLUMNS, cutoff=0.79):
        raise unknown("column", name, COLUMNS)


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
        start = details["start"]
        id_ = unicodedata.normalize("NFC", media)
        return Clip(
            id=f"{id_}@{start:g}" if start or details["seconds"] else id_,
            media=files.folder / media,
            sound=files.folder / files.find(sound) if sound else None,
            **details,
        )
    except BadCell as error:
        return Clip(id=line, media=files.folder, problem=str(error))


def clip_details(row: ListRow) -> dict[str, Any]:
    """Return ``label``, ``split``, ``start`` and ``seconds`` of a row, as :class:`Clip` takes them.

    Raises:
        BadCell: A value is invalid; says which and why.
    """
    label, split = row.text("label"), row.text("split")
    if label and not has_word(label):
        raise BadCell(f"label is {label!r:.40}, which has no word")
    if split and split.casefold() not in SPLITS:
        raise BadCell(f"split is {split!r:.40}, none of train, valid, test")
    start, seconds = _seconds(row, "start"), _seconds(row, "seconds")
    if seconds == 0:
        raise BadCell("seconds is 0")
    return {
        "label": label or None,
        "split": SPLITS[split.casefold()] if split else None,
        "start": start or 0.0,
        "seconds": seconds,
    }


def _seconds(row: ListRow, role: str) -> float | None:
    number = row.number(role)
    if number is not None and not 0 <= number < 1e7:
        raise BadCell(
            f"{row.column(role)} is {number:g}, no number of seconds from 0 to 10,000,000"
        )
    return number


READER = Reader(detect=detect, read=read)

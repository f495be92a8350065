"""A list of clips: CSV with a header, or JSON Lines.

Columns, of which only the first is needed: ``media`` (a video or picture), ``sound`` (where it is
another file), ``label``, ``split`` (train, valid, test), ``start`` and ``seconds``. Files are named
relative to the list and lie beside or below it. Absolute paths and ``..`` are refused, since a list
may come from elsewhere and name anything on this machine; a link in the list's folder leads out of
it where that is meant.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from clipsonic_cli.data.clips import Reader
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.types import Clip, Split

COLUMNS = ["media", "sound", "label", "split", "start", "seconds"]
SPLITS: dict[str, Split] = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
NAMES = ("manifest.csv", "manifest.jsonl")


def detect(source: str) -> bool:
    """A .jsonl, a .csv with a column ``media``, or a folder with a ``manifest`` of these."""
    path = Path(source)
    if path.is_dir():
        return any((path / name).is_file() for name in NAMES)
    if not path.is_file() or path.suffix.lower() not in (".csv", ".jsonl"):
        return False
    if path.suffix.lower() == ".jsonl":
        return True
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return "media" in next(csv.reader(io.StringIO(file.readline(10_000))), [])
    except (OSError, csv.Error):
        return False


def read(source: str) -> Iterator[Clip]:
    """Lists the rows; one that makes no sense is listed with its problem."""
    path = Path(source)
    if path.is_dir():
        here = [path / name for name in NAMES if (path / name).is_file()]
        if not here:
            raise UsageError(f"'{source}' holds no {' or '.join(NAMES)}.")
        path = here[0]
    rows = _json_rows(path) if path.suffix.lower() == ".jsonl" else _csv_rows(path)
    try:
        for line, row in rows:
            yield _clip(row, f"{path.name}:{line}", path.parent)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"'{path}' is not UTF-8 text; save it as UTF-8.") from None
    except csv.Error as error:
        raise UsageError(f"'{path}' is no CSV: {error}.") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if "media" not in header:
            raise UsageError(f"'{path}' needs a first line with the column 'media'.")
        for name in header:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                yield rows.line_num, f"{len(row)} values for {len(header)} columns"
            else:
                yield rows.line_num, dict(zip(header, row, strict=True))


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                yield line, "no JSON"
                continue
            if not isinstance(row, dict):
                yield line, "no JSON object"
                continue
            for name in row:
                if name not in COLUMNS:
                    raise unknown("column", name, COLUMNS)
            yield line, row


def _clip(row: dict[str, Any] | str, line: str, folder: Path) -> Clip:
    """Gives the clip of a row, or one named after its line that says what is wrong."""
    try:
        if isinstance(row, str):
            raise ValueError(row)
        media, sound = _inside(row.get("media")), row.get("sound")
        details = clip_details(row)
        start = details["start"]
        return Clip(
            id=f"{media}@{start:g}" if start or details["seconds"] else str(media),
            media=folder / media,
            sound=folder / _inside(sound) if sound else None,
            **details,
        )
    except ValueError as error:
        return Clip(id=line, media=folder, problem=str(error))


def clip_details(row: Mapping[str, Any]) -> dict[str, Any]:
    """Gives ``label``, ``split``, ``start`` and ``seconds`` of a row, as :class:`Clip` takes them.

    Raises:
        ValueError: One makes no sense; says which and why.
    """
    label, split = row.get("label"), row.get("split")
    if label and not isinstance(label, str):
        raise ValueError(f"label is {label!r:.40}, no text")
    if split and (not isinstance(split, str) or split.lower() not in SPLITS):
        raise ValueError(f"split is {split!r:.40}, none of train, valid, test")
    start, seconds = _number(row, "start"), _number(row, "seconds")
    if seconds == 0:
        raise ValueError("seconds is 0")
    return {
        "label": label or None,
        "split": SPLITS[split.lower()] if split else None,
        "start": start or 0.0,
        "seconds": seconds,
    }


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number < 1e7:
        raise ValueError(f"{name} is {value!r:.40}, no number of seconds")
    return number


def _inside(name: object) -> PurePosixPath:
    """Gives a file's name relative to the list.

    Raises:
        ValueError: It is none, or leads elsewhere.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"media or sound is {name!r:.40}, no file's name")
    path = PurePosixPath(name)
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise ValueError("the file lies outside the list's folder; put a link to it in there")
    return path


READER = Reader(detect=detect, read=read)

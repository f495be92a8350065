"""What a person wants to hear: words or pictures from the command line, a file, standard input.

Knows text formats. Does not look into pictures, and does not know modes.
"""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import IMAGE_SUFFIXES, query_of
from clipsonic_cli.text import check_words
from clipsonic_cli.types import Query

STDIN = "-"

COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "mode": ("mode", str),
    "guidance": ("guidance_scale", float),
    "sampler": ("sampler", str),
    "steps": ("steps", int),
    "seconds": ("seconds", float),
    "seed": ("seed", int),
    "negative": ("negative", str),
}
"""Columns of a csv or jsonl file that replace the option of that name: recipe field and kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing to sound.

    Args:
        query: The words or the picture.
        choices: Recipe fields that this row sets for itself.
        columns: The row's other columns, which a template may use.
    """

    query: Query
    choices: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


def requests(
    prompts: Sequence[str], images: Sequence[Path], file: Path | None, stdin: TextIO | None
) -> list[Request]:
    """Gathers everything asked for, in the order given.

    Args:
        prompts: The command's arguments; "-" reads lines from standard input. One with a picture's
            ending is a picture, so that ``--image *.jpg`` works as the shell expands it.
        images: What ``--image`` named.
        file: A txt, csv or jsonl file, or "-" for lines from standard input.
        stdin: Standard input; None where it is closed.

    Returns:
        Requests; none if nothing is asked for.

    Raises:
        UsageError: A prompt is empty, a picture is not there, the command line has both texts
            and pictures, or the file cannot be used.
    """
    if list(prompts).count(STDIN) + (str(file) == STDIN) > 1:
        raise UsageError("Standard input ('-') is asked for twice; it can be read once.")
    found = [Request(query=_there(Query(image=path))) for path in images]
    for prompt in prompts:
        found += _stdin(stdin) if prompt == STDIN else [Request(query=_there(query_of(prompt)))]
    if str(file) == STDIN:
        found += _stdin(stdin)
    elif file is not None:
        if found:
            raise UsageError("Both --file and a prompt or picture are given; use one of them.")
        return _read(file)
    if len({request.query.kind for request in found}) > 1:
        raise UsageError(
            "Both a text and an image are given; a sound is made from one of them. "
            "Run clipsonic twice, or list them in a --file."
        )
    return found


def negative_fields(negative: str) -> dict[str, str | None]:
    """Gives the recipe's fields for a negative text or picture.

    Raises:
        UsageError: It is blank, or a picture that is not there.
    """
    query = _there(query_of(negative))
    image = None if query.image is None else str(query.image)
    return {"negative": query.text, "negative_image": image, "negative_image_sha256": None}


def _there(query: Query) -> Query:
    """Gives the query back if its picture is a file."""
    if query.image is not None and not query.image.exists():
        raise UsageError(f"There is no image '{query.image}'. Check the path.")
    if query.image is not None and not query.image.is_file():
        raise UsageError(f"Image '{query.image}' is not a file; name each picture.")
    return query


def _stdin(stdin: TextIO | None) -> list[Request]:
    """Read one prompt, or picture, a line from standard input."""
    if stdin is None or stdin.closed:
        raise UsageError("Standard input is closed; give the prompts by a pipe or --file.")
    try:
        return _lines(stdin)
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}.") from None


def _lines(lines: Iterable[str], path: Path | None = None) -> list[Request]:
    """Reads one prompt, or picture, a line, leaving out blank lines."""
    where = "standard input" if path is None else f"file '{path}'"
    folder = Path() if path is None else path.parent
    try:
        found = [
            _line(line.strip(), f"{where}, line {number}", folder)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    except UnicodeDecodeError:
        raise UsageError(f"What {where} holds is not UTF-8 text. Save it as UTF-8.") from None
    if not found:
        raise UsageError(f"There is no prompt in {where}; give one a line.")
    return found


def _line(text: str, where: str, folder: Path) -> Request:
    """Makes a request of a line; a list's pictures are relative to the list, so it can move."""
    if text.lower().endswith(IMAGE_SUFFIXES):
        return Request(query=_there(Query(image=folder / text)))
    return Request(query=Query(text=_words(text, where)))


def _words(text: str, where: str) -> str:
    """Check that a text of a list can be a prompt."""
    try:
        return check_words(text, "text")
    except UsageError as error:
        raise UsageError(f"In {where}: {error}") from None


def _read(path: Path) -> list[Request]:
    """Reads a txt, csv or jsonl file; the ending says which."""
    readers: dict[str, Callable[[TextIO, Path], list[Request]]] = {
        ".txt": _lines,
        ".csv": _csv,
        ".jsonl": _jsonl,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"File '{path}' must end in {', '.join(readers)}, or be '-'.")
    try:
        # utf-8-sig: spreadsheets begin their csv with a byte order mark
        with path.open(encoding="utf-8-sig", newline="") as file:
            return reader(file, path)
    except UnicodeDecodeError:
        raise UsageError(f"File '{path}' is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"File '{path}' cannot be read: {error.strerror}.") from None


def _csv(file: TextIO, path: Path) -> list[Request]:
    """Reads rows under a header."""
    reader = csv.DictReader(file, strict=True)
    try:
        # The line a row ends on, as a quoted cell may hold line breaks.
        found = [_row(row, f"file '{path}', line {reader.line_num}", path.parent) for row in reader]
    except csv.Error as error:
        raise UsageError(f"File '{path}' is no csv: {error}.") from None
    if not found:
        raise UsageError(f"File '{path}' has no rows under a header such as: text,seed")
    return found


def _jsonl(file: TextIO, path: Path) -> list[Request]:
    """Reads one JSON object a line."""
    found = []
    for number, line in enumerate(file, start=1):
        where = f"file '{path}', line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"In {where}, there is no JSON: {error}.") from None
        if not isinstance(row, dict):
            raise UsageError(f'In {where}, there is no object such as {{"text": "rain"}}.')
        found.append(_row(row, where, path.parent))
    if not found:
        raise UsageError(f'File \'{path}\' is empty; give lines such as {{"text": "rain"}}.')
    return found


def _row(row: dict[Any, Any], where: str, folder: Path) -> Request:
    """Makes a request of a row's columns; empty ones count as absent."""
    if None in row:
        raise UsageError(f"In {where}, there are more cells than the header has names.")
    cells = {str(name).strip(): value for name, value in row.items() if value not in (None, "")}
    asked = [name for name in ("text", "image") if name in cells]
    if len(asked) != 1:
        raise UsageError(
            f"In {where}, there is {'both' if asked else 'neither'} 'text' "
            f"{'and' if asked else 'nor'} 'image'; each row needs one of them."
        )
    value = _cell(str, asked[0], cells.pop(asked[0]), where)
    if asked == ["image"]:
        query = _there(Query(image=folder / value))
    else:
        query = Query(text=_words(value, where))
    choices: dict[str, Any] = {}
    for name, (target, kind) in COLUMNS.items():
        if name in cells:
            choices[target] = _cell(kind, name, cells.pop(name), where)
    if "negative" in choices:
        choices |= negative_fields(choices["negative"])
    return Request(query=query, choices=choices, columns={k: str(v) for k, v in cells.items()})


def _cell(kind: Callable[[Any], Any], name: str, value: Any, where: str) -> Any:
    """Reads a cell as its column's kind: csv has only text, JSON has types of its own."""
    allowed = {int: (int, str), float: (int, float, str)}.get(kind, (str,))  # type: ignore[call-overload]
    try:
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise ValueError
        return kind(value)
    except (ValueError, OverflowError):
        noun = {int: "whole number", float: "number"}.get(kind, "text")  # type: ignore[call-overload]
        raise UsageError(f"In {where}, {name} is {value!r}, not a {noun}.") from None

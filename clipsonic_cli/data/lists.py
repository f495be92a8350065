"""Read lists for any command: CSV, TSV, JSON Lines, JSON or plain lines, as rows of named cells."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TextIO

from clipsonic_cli.data.list_row import KNOWN, ListRow
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import counted, printable

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".txt")

MAX_BYTES = 256 << 20
MAX_JSON = 32 << 20
MAX_LINE = 1 << 20
MAX_COLUMNS = 1000
MAX_ROWS = 5_000_000
"""Bounds of a list: its bytes, those of a JSON document, a line, columns, and rows."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

Bare = Callable[[Sequence[str]], Sequence[str] | None]
"""Takes the first row of a list without known columns; returns its columns if it is data."""


def read_list(
    path: Path,
    plain: str,
    *,
    bare: Bare | None = None,
    suffix: str | None = None,
    comments: bool = False,
) -> Iterator[ListRow]:
    """Yield the rows of a list, those without a cell left out.

    UTF-8, and UTF-16 and UTF-32 with their marks, are read. ``suffix`` is one of :data:`SUFFIXES`,
    None what the name ends in; see :func:`read_rows` for the rest.
    """
    suffix = suffix or path.suffix.lower()
    check_suffix(path)
    if suffix not in SUFFIXES:
        raise UsageError(f"List '{path}' must end in {', '.join(SUFFIXES)}.")
    check_file(path)
    try:
        with path.open("rb") as raw:
            head = raw.read(4)
        encoding = next((name for mark, name in MARKS if head.startswith(mark)), "utf-8")
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        with path.open(encoding=encoding, errors=errors, newline="") as file:
            yield from read_rows(file, path, suffix, plain, bare=bare, comments=comments)
    except UnicodeError as error:
        raise UsageError(f"'{path}' is not {encoding} text ({error.args[-1]}).") from None
    except OSError as error:
        raise UsageError(f"List '{path}' cannot be read: {error.strerror}.") from None


def read_rows(
    file: TextIO,
    path: Path,
    suffix: str,
    plain: str,
    *,
    bare: Bare | None = None,
    comments: bool = False,
) -> Iterator[ListRow]:
    """Yield the rows of an open list, those without a cell left out.

    CSV and TSV have a header whose columns ``SYNONYMS`` knows, in any case; the separator is
    the one by which it does.

    Args:
        file: The list, opened as text.
        path: Its name, for messages.
        suffix: One of :data:`SUFFIXES`.
        plain: The column that the lines of a .txt are, unless the first of them is the header of a
            table, as Excel's "Unicode Text" has one.
        bare: Detects a CSV without a header from its first row.
        comments: Whether lines of a .txt that begin with "#" are left out.
    """
    if suffix == ".json":
        rows = _json(file, path)
    elif suffix == ".jsonl":
        rows = _json_lines(bounded_lines(file, path), path)
    elif suffix == ".txt":
        rows = _text(bounded_lines(file, path), path, plain, bare, comments=comments)
    else:
        rows = _separated(bounded_lines(file, path), path, bare, tabs=suffix == ".tsv")
    for count, row in enumerate(rows):
        if count == MAX_ROWS:
            raise UsageError(f"'{path}' has more than {MAX_ROWS:,} rows; split it.")
        yield row


def _text(
    lines: Iterator[str], path: Path, plain: str, bare: Bare | None, *, comments: bool
) -> Iterator[ListRow]:
    """Return the rows of a .txt: its lines, or those of a table."""
    start: list[str] = []
    for line in lines:
        start.append(line)
        if line.strip():
            break
    head, rest = "".join(start[-1:]), chain(start, lines)
    separator = _separator(head)
    names = {_name(cell) for cell in head.split(separator)}
    known = KNOWN & names
    if len(names) > 1 and (known == names or (known and separator == "\t")):
        return _separated(rest, path, bare, tabs=separator == "\t")
    return _plain(rest, plain, comments)


def _plain(lines: Iterable[str], column: str, comments: bool) -> Iterator[ListRow]:
    """Yield lines that are not blank as rows of one column."""
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix("\ufeff").strip()
        if text and not (comments and text.startswith("#")):
            yield ListRow(line=number, cells={column: text})


def check_suffix(path: Path) -> None:
    """Check that a list is not a file of Office, whose name says so."""
    ending = path.suffix.lower()
    if ending in (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"):
        raise UsageError(
            f"'{path}' is a spreadsheet, which is not read; save it as CSV (in Excel: 'CSV UTF-8') "
            "and give that file."
        )
    if ending in (".docx", ".doc", ".odt", ".rtf", ".pages", ".pdf"):
        raise UsageError(
            f"'{path}' is a document, which is not read; save it as plain text (.txt, UTF-8) and "
            "give that file."
        )


def check_file(path: Path) -> None:
    """Check that a list is a file and not over the limit."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"List '{path}' cannot be read: {reason}.") from None
    if not S_ISREG(status.st_mode):
        what = "a folder" if S_ISDIR(status.st_mode) else "a pipe or device"
        raise UsageError(f"List '{path}' is {what}, not a file; give a file.")
    if status.st_size > MAX_BYTES:
        raise UsageError(
            f"List '{path}' has {status.st_size / 1e6:,.0f} MB; the limit is "
            f"{MAX_BYTES / 1e6:,.0f} MB. Split it."
        )


def bounded_lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield lines with their ends, none of them endless or with NUL characters."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), ""), start=1):
        if len(line) > MAX_LINE:
            raise UsageError(f"'{path}', line {number} has over {MAX_LINE:,} characters.")
        if "\0" in line:
            raise UsageError(
                f"'{path}', line {number} holds a NUL character: it is UTF-16 without its mark, or "
                "not text; save it as UTF-8."
            )
        yield line


def _separated(
    lines: Iterator[str], path: Path, bare: Bare | None, *, tabs: bool
) -> Iterator[ListRow]:
    """Yield the rows under a header."""
    # Skip blank lines.
    separator = None
    for skipped, first in enumerate(lines):  # noqa: B007 - both are used below
        said = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
        if said is not None and separator is None:
            separator = said[1]  # Excel's own
        elif first.strip():
            break
    else:
        return

    # Read the header.
    separator = separator or ("\t" if tabs else _separator(first))
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
    try:
        header = next(reader, [])
        names = [_name(cell) for cell in header]
        _check_columns(names, path)
        start = reader.line_num + 1
        if not any(names):
            return
        if not KNOWN.intersection(names):
            columns = bare(header) if bare is not None else None
            if columns is None:
                shown = ", ".join(f"'{printable(cell)[:40]}'" for cell in header[:8]) or "nothing"
                such = "'prompt' or 'image'" if bare is None else "'text' or 'file'"
                raise UsageError(
                    f"'{path}' needs a first line of column names such as {such}; it reads {shown}."
                )
            names = list(columns)
            yield ListRow(line=skipped + 1, cells=dict(zip(names, header, strict=True)))
        for cells in reader:
            line, start = start + skipped, reader.line_num + 1
            if any(cell.strip() for cell in cells[len(names) :]):
                columns = counted(len(names), "column")
                problem = f"{len(cells)} cells for {columns}; put a text with commas in quotes"
                yield ListRow(line=line, cells={}, problem=problem)
            elif any(cell.strip() for cell in cells):
                pairs = zip(names, cells, strict=False)  # missing cells are empty
                row = {name: cell for name, cell in pairs if name and cell.strip()}
                yield ListRow(line=line, cells=row, decimal_comma=separator == ";")
    except csv.Error as error:
        line = reader.line_num + skipped
        raise UsageError(f"'{path}' is no csv: line {line}: {error}.") from None


def _separator(header: str) -> str:
    """Return the separator that gives a header the most known columns; the first of equal ones."""

    def known(separator: str) -> int:
        try:
            cells = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            return 0
        return len(KNOWN.intersection(map(_name, cells)))

    separators = ",;\t|"
    best = max(separators, key=known)
    return best if known(best) else max(separators, key=header.count)  # else the one that is there


def _json_lines(lines: Iterator[str], path: Path) -> Iterator[ListRow]:
    """Yield one JSON object a line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = " ".join(str(error).split())
                yield ListRow(line=number, cells={}, problem=f"there is no JSON ({reason:.80})")
                continue
            yield _object(number, value, path)


def _json(file: TextIO, path: Path) -> Iterator[ListRow]:
    """Yield the objects of a JSON list."""
    text = file.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise UsageError(
            f"'{path}' has over {MAX_JSON / 1e6:,.0f} MB, the limit of JSON. Give JSON Lines "
            "(.jsonl), an object a line."
        )
    try:
        values = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        hint = "One object a line is called .jsonl."
        raise UsageError(f"'{path}' is no JSON: {error}. {hint}") from None
    if not isinstance(values, list):
        raise UsageError(f"'{path}' must hold a JSON list of objects.")
    for number, value in enumerate(values, start=1):
        yield _object(number, value, path)


def _object(number: int, value: object, path: Path) -> ListRow:
    if not isinstance(value, dict):
        return ListRow(line=number, cells={}, problem='there is no object such as {"text": "rain"}')
    names = [_name(name) for name in value]
    try:
        _check_columns(names, path)
    except UsageError as error:
        return ListRow(line=number, cells={}, problem=str(error).rstrip("."))
    cells = dict(zip(names, value.values(), strict=True))
    return ListRow(line=number, cells={k: v for k, v in cells.items() if v not in (None, "")})


def _name(cell: str) -> str:
    """Return a column's name: stripped, in lower case, with "_" for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", cell.strip().lstrip("\ufeff").strip().casefold())


def _check_columns(names: Sequence[str], path: Path) -> None:
    """Check that the columns are not too many, and all different."""
    if len(names) > MAX_COLUMNS:
        raise UsageError(f"'{path}' has {len(names):,} columns; the limit is {MAX_COLUMNS:,}.")
    if repeated := [name for name, count in Counter(names).items() if name and count > 1]:
        raise UsageError(f"'{path}' has the column '{printable(repeated[0])}' twice; rename one.")

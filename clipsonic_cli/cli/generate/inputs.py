"""What a person wants to hear: words or pictures from the command line, a file, standard input.

Knows text formats. Does not look into pictures, and does not know modes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from clipsonic_cli.data.listed_files import ListedFiles
from clipsonic_cli.data.lists import BadCell, ListRow, plain_rows, read_list
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import IMAGE_SUFFIXES, query_of
from clipsonic_cli.text import check_words, printable
from clipsonic_cli.types import Query

STDIN = "-"
LINE = "line"
"""The column that the lines of a plain list are: texts or pictures."""
MAX_REQUESTS = 100_000
"""Rows of a file, each of which makes a sound or more."""

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
        where: The file and line it is from; empty for the command line.
    """

    query: Query
    choices: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    where: str = ""


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


@contextmanager
def located(where: str) -> Iterator[None]:
    """Let errors of the block name the file and line that a request is from, where it is."""
    try:
        yield
    except BadCell as error:
        raise UsageError(f"In {where}, {error}.") from None
    except UsageError as error:
        raise UsageError(f"In {where}: {error}" if where else str(error)) from None


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
    if query.image is None:
        return query
    try:
        is_there, is_file = query.image.exists(), query.image.is_file()
    except (OSError, ValueError) as error:  # such as a name that is too long
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Image '{query.image!s:.200}' cannot be read: {reason}.") from None
    if not is_there:
        raise UsageError(f"There is no image '{query.image}'. Check the path.")
    if not is_file:
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


def _lines(lines: Iterable[str]) -> list[Request]:
    """Read one prompt, or picture, a line from standard input, leaving out blank lines."""
    where = "standard input"
    try:
        found = [
            _line(row.cells["text"], f"{where}, line {row.line}")
            for row in plain_rows(lines, "text")
        ]
    except UnicodeDecodeError:
        raise UsageError(f"What {where} holds is not UTF-8 text. Save it as UTF-8.") from None
    if not found:
        raise UsageError(f"There is no prompt in {where}; give one a line.")
    return found


def _line(text: str, where: str) -> Request:
    """Make a request of a line, whose picture is named as on the command line."""
    with located(where):
        if text.lower().endswith(IMAGE_SUFFIXES):
            return Request(query=_there(Query(image=Path(text))), where=where)
        return Request(query=Query(text=check_words(text, "text")), where=where)


def _read(path: Path) -> list[Request]:
    """Read a list of any kind that ``data/lists.py`` knows."""
    files = ListedFiles(path.parent)
    found: list[Request] = []
    for row in read_list(path, LINE):
        if len(found) == MAX_REQUESTS:
            raise UsageError(f"File '{path}' has more than {MAX_REQUESTS:,} rows; split it.")
        where = f"file '{path}', line {row.line}"
        with located(where):
            if row.problem is not None:
                raise BadCell(row.problem)
            found.append(replace(_row(row, files), where=where))
    if not found:
        plain = path.suffix.lower() == ".txt"
        raise UsageError(
            f"There is no prompt in file '{path}'; give one a line."
            if plain
            else f"File '{path}' has no rows with a text or image; give columns such as: text,seed"
        )
    return found


def _row(row: ListRow, files: ListedFiles) -> Request:
    """Make a request of a row; empty cells count as absent.

    Raises:
        BadCell: A cell is of no use.
        UsageError: A text has no word, or a picture is not there.
    """
    if (line := row.cells.get(LINE)) is not None and line.lower().endswith(IMAGE_SUFFIXES):
        row = ListRow(line=row.line, cells={"image": line})  # as on the command line
    elif line is not None:
        row = ListRow(line=row.line, cells={"text": line})
    text, image = row.column("text"), row.column("image")
    if text == "label" and image is not None:
        text = None  # of a picture, not a query of its own
    if (text is None) == (image is None):
        both = f"both '{text}' and '{image}'" if text else "neither 'text' nor 'image'"
        columns = ", ".join(printable(name) for name in list(row.cells)[:8])
        raise BadCell(f"there is {both}; each row needs one of them (found: {columns})")
    if image is not None:
        query = _there(Query(image=_listed(row.name("image") or "", files)))
    else:
        query = Query(text=check_words(row.text("text") or "", "text"))
    used, choices = {text, image}, dict[str, Any]()
    for name, (target, kind) in COLUMNS.items():
        if (column := row.column(name)) is not None:
            used.add(column)
            choices[target] = row.text(name) if kind is str else row.number(name, whole=kind is int)
    if "negative" in choices:
        negative = choices["negative"]
        if negative.lower().endswith(IMAGE_SUFFIXES):
            negative = str(_listed(negative, files))
        choices |= negative_fields(negative)
    extra = {name: str(value) for name, value in row.cells.items() if name not in used}
    return Request(query=query, choices=choices, columns=extra)


def _listed(name: str, files: ListedFiles) -> Path:
    """Return the path of a picture that a list names; relative to the list, so it can move."""
    return files.folder / files.find(name)

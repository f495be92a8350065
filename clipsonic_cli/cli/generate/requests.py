"""The queries of a run: text or images from the command line, a file or standard input."""

from collections.abc import Callable, Iterator, Sequence
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
"""The column of a plain list: texts or images."""
MAX_REQUESTS = 100_000
"""Rows of a file, each of which makes one sound or more."""

COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "mode": ("mode", str),
    "guidance": ("guidance", float),
    "sampler": ("sampler", str),
    "steps": ("steps", int),
    "seconds": ("seconds", float),
    "seed": ("seed", int),
    "negative": ("negative", str),
}
"""Columns of a list that replace the option of that name: field of a recipe, and type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A query, and what its row of a list says of its sounds."""

    query: Query
    choices: dict[str, Any] = field(default_factory=dict)
    """Fields of the recipe."""
    columns: dict[str, str] = field(default_factory=dict)
    """The row's other columns, which the name of the file may use."""
    where: str = ""
    """The file and line; empty for the command line."""


def read_requests(
    prompts: Sequence[str], images: Sequence[Path], file: Path | None, stdin: TextIO | None
) -> list[Request]:
    """Read all queries, in the order given.

    Args:
        prompts: Texts; "-" reads lines from standard input. One that ends as an image file does is
            an image, so that ``--image *.jpg`` works as the shell expands it.
        images: Image files.
        file: A list (see ``data/lists.py``), or "-" for lines from standard input.
        stdin: Standard input; None where it is closed.

    Raises:
        UsageError: A text is empty, an image is missing, the command line has both texts and
            images, or the list cannot be used.
    """
    if list(prompts).count(STDIN) + (str(file) == STDIN) > 1:
        raise UsageError("Standard input ('-') is given twice; it can be read once.")
    requests = [Request(query=_checked(Query(image=path))) for path in images]
    for prompt in prompts:
        if prompt == STDIN:
            requests += _read_stdin(stdin)
        else:
            requests.append(Request(query=_checked(query_of(prompt))))
    if str(file) == STDIN:
        requests += _read_stdin(stdin)
    elif file is not None:
        if requests:
            raise UsageError("Both --file and a prompt or image are given; use one of them.")
        return _read_file(file)
    if len({request.query.kind for request in requests}) > 1:
        raise UsageError(
            "Both a text and an image are given; a sound is made from one of them. "
            "Run clipsonic twice, or list them in a --file."
        )
    return requests


@contextmanager
def located(where: str) -> Iterator[None]:
    """Name the file and line of a request, where it has them, in errors of the block."""
    try:
        yield
    except BadCell as error:
        raise UsageError(f"In {where}, {error}.") from None
    except UsageError as error:
        raise UsageError(f"In {where}: {error}" if where else str(error)) from None


def negative_fields(negative: str) -> dict[str, str | None]:
    """Return the recipe's fields for a negative text or image, which must exist."""
    query = _checked(query_of(negative))
    return {"negative": query.text, "negative_image": query.path, "negative_image_sha256": None}


def _checked(query: Query) -> Query:
    """Return a query whose image, if any, is a file."""
    if query.image is None:
        return query
    try:
        exists, is_file = query.image.exists(), query.image.is_file()
    except (OSError, ValueError) as error:  # such as a name that is too long
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Image '{query.image!s:.200}' cannot be read: {reason}.") from None
    if not exists:
        raise UsageError(f"There is no image '{query.image}'. Check the path.")
    if not is_file:
        raise UsageError(f"Image '{query.image}' is not a file; name each image.")
    return query


def _read_stdin(stdin: TextIO | None) -> list[Request]:
    """Read a text or an image a line, leaving out blank lines."""
    if stdin is None or stdin.closed:
        raise UsageError("Standard input is closed; give the prompts by a pipe or --file.")
    requests = []
    try:
        for row in plain_rows(stdin, LINE):
            where = f"standard input, line {row.line}"
            with located(where):
                requests.append(Request(query=_query_of_line(row.cells[LINE]), where=where))
    except UnicodeDecodeError:
        raise UsageError("What standard input holds is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}.") from None
    if not requests:
        raise UsageError("There is no prompt in standard input; give one a line.")
    return requests


def _query_of_line(text: str) -> Query:
    """Return the query of a line, whose image is named as on the command line."""
    if text.lower().endswith(IMAGE_SUFFIXES):
        return _checked(Query(image=Path(text)))
    return Query(text=check_words(text, "text"))


def _read_file(path: Path) -> list[Request]:
    """Read a list of any kind that ``data/lists.py`` knows."""
    files = ListedFiles(path.parent)
    requests: list[Request] = []
    for row in read_list(path, LINE):
        if len(requests) == MAX_REQUESTS:
            raise UsageError(f"File '{path}' has more than {MAX_REQUESTS:,} rows; split it.")
        where = f"file '{path}', line {row.line}"
        with located(where):
            if row.problem is not None:
                raise BadCell(row.problem)
            requests.append(replace(_request_of_row(row, files), where=where))
    if not requests:
        plain = path.suffix.lower() == ".txt"
        raise UsageError(
            f"There is no prompt in file '{path}'; give one a line."
            if plain
            else f"File '{path}' has no rows with a text or image; give columns such as: text,seed"
        )
    return requests


def _request_of_row(row: ListRow, files: ListedFiles) -> Request:
    """Build a request from a row; empty cells count as absent."""
    # Find the query's column.
    if (line := row.cells.get(LINE)) is not None:
        kind = "image" if line.lower().endswith(IMAGE_SUFFIXES) else "text"
        row = ListRow(line=row.line, cells={kind: line})
    text, image = row.column("text"), row.column("image")
    if text == "label" and image is not None:
        text = None  # of an image, not a query of its own
    if (text is None) == (image is None):
        both = f"both '{text}' and '{image}'" if text else "neither 'text' nor 'image'"
        columns = ", ".join(printable(name) for name in list(row.cells)[:8])
        raise BadCell(f"there is {both}; each row needs one of them (found: {columns})")
    # Read the query.
    if image is not None:
        query = _checked(Query(image=_listed(row.name("image") or "", files)))
    else:
        query = Query(text=check_words(row.text("text") or "", "text"))
    # Read what replaces options.
    used, choices = {text, image}, dict[str, Any]()
    for name, (target, kind_of) in COLUMNS.items():
        if (column := row.column(name)) is not None:
            used.add(column)
            whole = kind_of is int
            choices[target] = row.text(name) if kind_of is str else row.number(name, whole=whole)
    if "negative" in choices:
        negative = choices["negative"]
        if negative.lower().endswith(IMAGE_SUFFIXES):
            negative = str(_listed(negative, files))
        choices |= negative_fields(negative)
    others = {name: str(value) for name, value in row.cells.items() if name not in used}
    return Request(query=query, choices=choices, columns=others)


def _listed(name: str, files: ListedFiles) -> Path:
    """Return the path of an image that a list names, relative to the list."""
    return files.folder / files.find(name)

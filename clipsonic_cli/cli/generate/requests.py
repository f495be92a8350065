"""The queries of a run: text or images from the command line, a file or standard input."""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from clipsonic_cli.data.list_row import SYNONYMS, BadCell, ListRow
from clipsonic_cli.data.listed_files import ListedFiles
from clipsonic_cli.data.lists import SUFFIXES, check_suffix, read_list, read_rows
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import IMAGE_SUFFIXES, check_no_file, query_of
from clipsonic_cli.text import check_words, printable
from clipsonic_cli.types import Query

STDIN = "-"
STANDARD_INPUT = "standard input"
FILE_FORMATS = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
"""Values of ``--file-format``."""
LINE = "line"
"""The column of a plain list: texts or images."""
MAX_REQUESTS = 100_000
"""Rows of a file, each of which makes one sound or more."""

COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "mode": ("mode", str),
    "guidance": ("guidance", float),
    "guidance_rule": ("guidance_rule", str),
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
    prompts: Sequence[str],
    images: Sequence[Path],
    file: Path | None,
    stdin: TextIO | None,
    file_format: str | None = None,
) -> list[Request]:
    """Read all queries, in the order given.

    Args:
        prompts: Texts; "-" is standard input. One that ends as an image file does is an image, so
            that ``--image *.jpg`` works as the shell expands it.
        images: Image files.
        file: A list (see ``data/lists.py``), or "-" for standard input.
        stdin: Standard input; None where it is closed.
        file_format: One of :data:`FILE_FORMATS`; None is what the file's name says, and lines of
            text for standard input.

    Raises:
        UsageError: A text is empty, an image is missing, the command line has both texts and
            images, or words that could be one prompt, or the list cannot be used.
    """
    uses_stdin = list(prompts).count(STDIN) + (str(file) == STDIN)
    if uses_stdin > 1:
        raise UsageError("Standard input ('-') is given twice; it can be read once.")
    if file_format is not None and file is None and not uses_stdin:
        raise UsageError("--file-format is the format of a list; give one by --file, or '-'.")
    suffix = None if file_format is None else f".{file_format}"
    for prompt in prompts:
        _check_is_text(prompt)
    _check_quotes(prompts)
    requests = [Request(query=_checked(Query(image=path))) for path in images]
    for prompt in prompts:
        if prompt == STDIN:
            requests += _read_stdin(stdin, suffix)
        else:
            requests.append(Request(query=_checked(query_of(prompt))))
    if str(file) == STDIN:
        requests += _read_stdin(stdin, suffix)
    elif file is not None:
        if requests:
            raise UsageError("Both --file and a prompt or image are given; use one of them.")
        return _read_file(file, suffix)
    given = {request.query.kind: request.query for request in requests if not request.where}
    if len(given) > 1:
        text, image = given["text"].text, given["image"].image
        raise UsageError(
            f"Both a text ({text!r:.80}) and an image ('{image}') are given; a sound is made from "
            "one of them. Run clipsonic twice, or list them in a --file."
        )
    return requests


def _check_is_text(prompt: str) -> None:
    """Check that a prompt names no file or folder but an image."""
    if prompt.lower().endswith(IMAGE_SUFFIXES):
        return
    check_no_file(prompt)
    if not any(sign in prompt for sign in "./\\"):
        return  # "dog" is a text, also where a folder has that name
    if os.path.isdir(prompt):  # noqa: PTH112 - never raises
        raise UsageError(f"'{prompt}' is a folder; {_images_of(Path(prompt))}.")
    if os.path.isfile(prompt):  # noqa: PTH113
        raise UsageError(
            f"'{prompt}' is a file; give a list of prompts by --file, an image by --image."
        )


def _images_of(folder: Path) -> str:
    """Format how the images of a folder are given."""
    return f"name its images, such as: --image {folder / '*.jpg'}"


def _check_quotes(prompts: Sequence[str]) -> None:
    """Check that several prompts are not the words of one whose quotes were forgotten."""
    words = [prompt for prompt in prompts if len(prompt.split()) == 1 and prompt != STDIN]
    images = [word for word in words if word.lower().endswith(IMAGE_SUFFIXES)]
    if len(words) == len(prompts) > 1 and not images:
        # In cmd.exe single quotes are part of words.
        shown = [printable(word.strip("'")) for word in words[:8]] + ["..."] * (len(words) > 8)
        raise UsageError(
            f"{len(words)} prompts of one word each: {', '.join(shown)}. Put one prompt in quotes: "
            f'clipsonic generate "{" ".join(shown)}"; list several in a --file, one a line, or '
            "pipe them to: clipsonic generate -"
        )


def unused_columns(columns: Iterable[str]) -> list[str]:
    """Describe columns that nothing uses, with the known ones that they may be meant to be."""
    known = [name for role in ("text", "image", *COLUMNS) for name in SYNONYMS[role]]
    shown = []
    for column in sorted(columns):
        near = [] if column in known else difflib.get_close_matches(column, known, n=1, cutoff=0.75)
        shown.append(f"{column} (did you mean '{near[0]}'?)" if near else column)
    return shown


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
        raise UsageError(f"Image '{query.image}' is not a file; {_images_of(query.image)}.")
    return query


def _read_stdin(stdin: TextIO | None, suffix: str | None) -> list[Request]:
    """Read a list from standard input, whose lines name images as the command line does."""
    if stdin is None or stdin.closed:
        raise UsageError("Standard input is closed; give the prompts by a pipe or --file.")
    suffix = suffix or ".txt"
    rows = read_rows(stdin, Path(STANDARD_INPUT), suffix, LINE, comments=True)
    try:
        files = None if suffix == ".txt" else ListedFiles(Path())
        requests = _requests_of(rows, STANDARD_INPUT, files)
    except UnicodeDecodeError:
        raise UsageError("What standard input holds is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}.") from None
    if not requests:
        raise UsageError("There is no prompt in standard input; give one a line.")
    return requests


def _read_file(path: Path, suffix: str | None) -> list[Request]:
    """Read a list of any kind that ``data/lists.py`` knows."""
    check_suffix(path)
    suffix = suffix or path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(FILE_FORMATS)
        raise UsageError(f"'{path}' does not end in {known}; say which it is by --file-format.")
    rows = read_list(path, LINE, suffix=suffix, comments=True)
    requests = _requests_of(rows, f"file '{path}'", ListedFiles(path.parent))
    if not requests:
        raise UsageError(
            f"There is no prompt in file '{path}'; give one a line."
            if suffix == ".txt"
            else f"File '{path}' has no rows with a prompt or image; give columns such as: "
            "prompt,seed"
        )
    return requests


def _requests_of(rows: Iterable[ListRow], name: str, files: ListedFiles | None) -> list[Request]:
    """Build the requests of a list's rows."""
    requests: list[Request] = []
    for row in rows:
        if len(requests) == MAX_REQUESTS:
            raise UsageError(f"There are more than {MAX_REQUESTS:,} rows in {name}; split it.")
        where = f"{name}, line {row.line}"
        with located(where):
            if row.problem is not None:
                raise BadCell(row.problem)
            requests.append(replace(_request_of_row(row, files), where=where))
    return requests


def _request_of_row(row: ListRow, files: ListedFiles | None) -> Request:
    """Build a request from a row; empty cells count as absent."""
    # Find the query's column.
    if (line := row.cells.get(LINE)) is not None:
        kind = "image" if line.lower().endswith(IMAGE_SUFFIXES) else "text"
        row = ListRow(line=row.line, cells={kind: line})
    text, image = row.column("text"), row.column("image")
    if text == "label" and image is not None:
        text = None  # of an image, not a query of its own
    if (text is None) == (image is None):
        both = f"both '{text}' and '{image}'" if text else "neither 'prompt' nor 'image'"
        columns = ", ".join(printable(name) for name in list(row.cells)[:8])
        raise BadCell(f"there is {both}; each row needs one of them (found: {columns})")
    # Read the query.
    if image is not None:
        query = _checked(Query(image=_listed(row.name("image") or "", files)))
    else:
        query = Query(text=check_words(check_no_file(row.text("text") or ""), "text"))
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


def _listed(name: str, files: ListedFiles | None) -> Path:
    """Return the path of an image that a list names, relative to the list; any where it is None."""
    return Path(name) if files is None else files.folder / files.find(name)

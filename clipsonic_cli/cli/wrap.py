"""Break messages into lines between words; what is there to be copied stays whole."""

import re

from rich.cells import cell_len
from rich.console import Console

COMMANDS = "clipsonic (?:generate|train|eval|download|info|models)|pip install|torchrun"
PIECE = re.compile(rf"\s*(?:\(?\b(?:{COMMANDS})\b\S*(?:(?<![.,;:)])\s(?:'[^']*'\S*|\S+))*|\S+)")
"""A word, or a command up to the punctuation behind it, with the space before it."""
INDENT = "  "
"""What the second line of a message and all that follow begin with."""


def width_of(console: Console) -> int | None:
    """Return the width that a console's messages are wrapped at; None where it is no terminal."""
    return console.width if console.file.isatty() else None


def wrapped(text: str, width: int | None, *, indent: str = INDENT) -> str:
    """Break a line between words into lines of at most so many cells.

    A word, such as a path, or a command that is longer gets a line of its own, which the terminal
    folds: it can be copied as it is.

    Args:
        text: One line.
        width: In cells of a terminal; None leaves the line as it is.
        indent: What all lines but the first begin with.
    """
    if width is None:
        return text
    lines = [""]
    for piece in PIECE.findall(text):
        if not lines[-1].strip() or cell_len(lines[-1] + piece) <= width:
            lines[-1] += piece
        else:
            lines.append(indent + piece.lstrip())
    return "\n".join(lines)

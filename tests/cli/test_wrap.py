"""Messages on terminals of several widths."""

import io
import sys

import pytest
from rich.cells import cell_len

from clipsonic_cli.cli.console import Console, complain
from clipsonic_cli.cli.wrap import INDENT, wrapped

WIDTHS = (40, 80, 120)
COMMAND = "clipsonic generate --model ./runs/music/model 'a photo of a blue triangle, turning'"
PATH = f"/{'long/' * 30}violin.wav"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", ["word " * 60 + "end", "日本語 " * 40 + "end", "é " * 200 + "end"])
def test_lines_end_between_words_and_fit(text, width):
    lines = wrapped(text, width).split("\n")
    assert len(lines) > 1
    assert all(cell_len(line) <= width for line in lines)
    assert all(cell_len(line) > width - 10 for line in lines[:-1])
    assert " ".join(line.strip() for line in lines) == text
    assert all(line.startswith(INDENT) for line in lines[1:])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("whole", [COMMAND, PATH, "pip install 'clipsonic[train]'"])
@pytest.mark.parametrize("after", ["", ". And this is next.", ") and more", "; or not"])
def test_what_is_copied_is_on_one_line_at_every_width(whole, after, width):
    lines = wrapped(f"To do this and that and another thing: {whole}{after}", width).split("\n")
    assert sum(whole in line for line in lines) == 1
    rest = [line.replace(whole, "") for line in lines]
    assert all(cell_len(line) <= width for line in rest)


def test_without_a_terminal_a_line_stays_one():
    assert wrapped(f"{'word ' * 100}{PATH} ", None) == f"{'word ' * 100}{PATH} "


@pytest.mark.parametrize("width", WIDTHS)
def test_notes_and_errors_are_wrapped_on_a_terminal(monkeypatch, width):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("COLUMNS", str(width))
    Console(quiet=False).note("[red]note[/red] " + "word " * 50)
    complain("wrong " * 40)
    lines = sys.stderr.getvalue().splitlines()
    assert len(lines) > 3
    assert all(len(line) <= width for line in lines)
    assert sys.stderr.getvalue().count("[red]note[/red]") == 1

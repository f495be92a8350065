"""Tables for other programs: what is read back is what was there."""

import csv
import io
import re

import pytest

from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.formats import LATEX, latex, markdown, tsv

COLUMNS = ("system", "fad[mini] ↓", "paper: MUSIC")
ROWS = [
    ("a|b_c*d & 50 % {x} \\ ~ ^ # $1$", "0.12 (-0.10 to 0.30)", "3.04 ± 0.20"),
    ("[x](y) <b> `c`", "-0.50", "-"),
]


def test_tsv_is_a_line_a_row_with_headings_and_no_title():
    lines = tsv("title", COLUMNS, ROWS, ("system",)).split("\n")
    assert [tuple(line.split("\t")) for line in lines] == [COLUMNS, *ROWS]


@pytest.mark.parametrize("form", [None, "markdown", "latex"])
def test_what_is_piped_has_no_boxes_and_is_not_folded(capfd, form):
    rows = [("x" * 300 + "\ty\n", "1", "2")]
    left_out = Console(quiet=False, form=form).table("a title", COLUMNS, rows, words=("system",))
    out = capfd.readouterr().out
    assert left_out == ()
    assert "x" * 300 in out
    assert not set(out) & set("┃│━─")
    if form is None:
        assert list(csv.reader(io.StringIO(out), delimiter="\t")) == [
            [*COLUMNS],
            ["x" * 300 + "\\ty\\n", "1", "2"],
        ]


@pytest.mark.parametrize("form", ["tsv", "markdown", "latex"])
def test_papers_get_no_details_that_are_the_same_in_all_rows(capfd, form):
    columns, console = ("system", "fad", "bias", "Hz", "s"), Console(quiet=False, form=form)
    rows = [("a", "1", "-", "16000", "1.00"), ("b", "1", "-", "16000", "2.00")]
    left_out = console.table("", columns, rows, words=("system",), details=("Hz", "s"))
    out = capfd.readouterr().out
    assert left_out == (() if form == "tsv" else ("Hz",))
    assert [name in out for name in columns] == [True, True, form == "tsv", form == "tsv", True]


def test_markdown_shows_every_sign_as_it_is():
    title, blank, *lines = markdown("A_title", COLUMNS, ROWS, ("system",)).split("\n")
    assert (title, blank) == (r"A\_title", "")
    assert lines[1] == "| --- | ---: | ---: |"
    cells = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in (lines[0], *lines[2:])]
    plain = [tuple(re.sub(r"\\(.)", r"\1", cell) for cell in row) for row in cells]
    assert plain == [COLUMNS, *ROWS]
    for sign in "`*_[<|~$&":  # each would act, were it not escaped
        assert not re.search(rf"(?<!\\)(?:\\\\)*{re.escape(sign)}", "".join(map("".join, cells)))


def test_latex_shows_every_sign_as_it_is():
    text = latex("Table 1. A_title", COLUMNS, ROWS, ("system",))
    _, caption, begin, _, *lines, _, end = text.split("\n")
    assert caption == r"% \caption{A\_title}"
    assert (begin, end) == (r"\begin{tabular}{lrr}", r"\end{tabular}")
    read = {shown: sign for sign, shown in LATEX.items()} | {"$-$": "-"}
    signs = re.compile("|".join(re.escape(text) for text in sorted(read, key=len, reverse=True)))
    rows = [line.removesuffix(r" \\").split(" & ") for line in lines if line != r"\midrule"]
    assert [tuple(signs.sub(lambda m: read[m[0]], c) for c in row) for row in rows] == [
        COLUMNS,
        *(tuple(row) for row in ROWS),
    ]
    assert r"\\" not in text.replace(" \\\\\n", "")
    assert "0.12 ($-$0.10 to 0.30)" in text
    assert "$-$0.50 & -" in text

"""Tables as text for other programs: tab-separated values, Markdown, LaTeX."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

Rows = Sequence[Sequence[str]]
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # an option of \\ at the start of a row
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
}
"""What stands for a character that LaTeX would act on, or that its usual fonts lack."""


def tsv(title: str, columns: Sequence[str], rows: Rows, words: Collection[str]) -> str:  # noqa: ARG001 - as the others
    """Format a table as tab-separated values: a line of headings, a line a row, no title."""
    return "\n".join("\t".join(cells) for cells in (columns, *rows))


def markdown(title: str, columns: Sequence[str], rows: Rows, words: Collection[str]) -> str:
    """Format a table for Markdown with pipes, as GitHub reads it; the title is a line above."""
    rule = ["---" if column in words else "---:" for column in columns]
    heads, *others = [[_markdown(cell) for cell in cells] for cells in (columns, *rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rule, *others)]
    return "\n".join([_markdown(title), "", *lines])


def latex(title: str, columns: Sequence[str], rows: Rows, words: Collection[str]) -> str:
    """Format a table as a LaTeX tabular with the rules of booktabs, and a caption in a comment."""
    caption = re.sub(r"^Table \d+\. ", "", title)  # LaTeX counts tables itself
    heads, *others = [
        f"{' & '.join(map(_latex, cells))} \\\\" for cells in (columns, *rows)
    ]  # fmt: skip
    places = "".join("l" if column in words else "r" for column in columns)
    return "\n".join(
        [
            f"% {title}; it takes \\usepackage{{booktabs}}",
            f"% \\caption{{{_latex(caption)}}}",
            f"\\begin{{tabular}}{{{places}}}",
            *("\\toprule", heads, "\\midrule", *others, "\\bottomrule"),
            "\\end{tabular}",
        ]
    )


def _markdown(text: str) -> str:
    return re.sub(r"[\\`*_\[<|~$&]", r"\\\g<0>", text)


def _latex(text: str) -> str:
    text = "".join(LATEX.get(sign, sign) for sign in text)
    return re.sub(r"(?<![^\s(])-(?=\d)", "$-$", text)  # a minus sign, not a hyphen


FORMATS: Mapping[str, Callable[[str, Sequence[str], Rows, Collection[str]], str]] = {
    "tsv": tsv,
    "markdown": markdown,
    "latex": latex,
}

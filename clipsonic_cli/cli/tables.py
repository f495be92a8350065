"""Fit a table of numbers to a terminal: what is folded, what is left out; no number is cut."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text


def telling(
    columns: Sequence[str], rows: Sequence[Sequence[str]], details: Collection[str] = ()
) -> list[int]:
    """Return the positions of all but empty columns, and details that are the same in all rows."""
    kept = []
    for place, name in enumerate(columns):
        cells = {row[place] for row in rows}
        shared = cells <= {"", "-"} or (name in details and len(cells) == 1)
        if place == 0 or not rows or not shared:
            kept.append(place)
    return kept


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table of numbers fits a terminal."""

    widths: Mapping[int, int]
    """Widths of the columns that are shown, by position."""
    roomy: bool
    """Whether there is space for lines between them."""

    @classmethod
    def choose(
        cls,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        words: Collection[str],
        details: Collection[str],
        width: int,
    ) -> "Layout":
        """Choose the first layout that fits: all; no details; no lines; cells folded at spaces.

        Where none fits, choose the narrowest: words can be folded and details left out, but a
        number is never folded or cut.
        """
        # Measure the columns.
        cells = [[row[place] for row in rows] for place in range(len(columns))]
        whole = [max(map(cell_len, some), default=0) for some in cells]
        split = [" ".join(some).split() for some in zip(columns, *rows, strict=True)]
        folded = [max(map(cell_len, parts), default=0) for parts in split]
        full = [max(cell_len(head), size) for head, size in zip(columns, whole, strict=True)]
        texts = [place for place, name in enumerate(columns) if name in words]
        figures = [place for place, name in enumerate(columns) if name not in words]
        # Choose a layout.
        for detailed, roomy, folds in (
            (True, True, False),
            (False, True, False),
            (False, False, False),
            (False, False, True),
        ):
            shown = [p for p, name in enumerate(columns) if detailed or name not in details]
            widths = {p: folded[p] if folds else max(folded[p], whole[p]) for p in shown}
            widths |= {p: min(folded[p], 24) for p in texts if p in shown}  # legible when folded
            layout = cls(widths, roomy=roomy)
            if layout.total <= width:
                break
        spare = width - layout.total
        # Spend what is left: on unfolded numbers, then on words, then on whole headings.
        for places, ideal in ((figures, whole), (texts, full), (figures, full)):
            for place in [place for place in places if place in widths]:
                more = max(ideal[place] - widths[place], 0)
                if more > spare:
                    more = max(spare, 0) if places is texts else 0
                widths[place] += more
                spare -= more
        return layout

    @property
    def total(self) -> int:
        """Width of the table."""
        between = 3 * len(self.widths) + 1 if self.roomy else len(self.widths) - 1
        return sum(self.widths.values()) + between

    def draw(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        words: Collection[str],
    ) -> Table:
        """Build the table; a blank line parts rows if the first cell of any is folded."""
        folded = any(cell_len(row[0]) > self.widths[0] for row in rows)
        table = Table(
            title=Text(title) if title else None,
            title_justify="left",
            box=box.HEAVY_HEAD if self.roomy else box.SIMPLE_HEAD,
            show_edge=self.roomy,
            padding=(0, int(self.roomy)),
            leading=int(folded),
        )
        for place, width in self.widths.items():
            justify: Literal["left", "right"] = "left" if columns[place] in words else "right"
            head = Text(columns[place])
            table.add_column(head, justify=justify, width=width, overflow="fold")
        for row in rows:
            table.add_row(*(Text(row[place]) for place in self.widths))
        return table

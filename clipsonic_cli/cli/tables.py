"""How a table of numbers fits a screen: what is folded, what is left out; no number is ever cut."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

UNFOLDED = 24
"""Columns that no word of a narrow table is folded below."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table of numbers fits a screen.

    Args:
        widths: Of the columns that are shown, by place.
        roomy: Whether there is room for lines between them.
    """

    widths: Mapping[int, int]
    roomy: bool

    @classmethod
    def choose(
        cls,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        words: Collection[str],
        details: Collection[str],
        width: int | None,
    ) -> "Layout":
        """Chooses what fits: all, or without details, then lines, then numbers beside each other.

        Args:
            columns: Headings.
            rows: Cells.
            words: Columns that can be folded.
            details: Columns that can be left out.
            width: Of the screen; None has no end.

        Returns:
            The narrowest where none fits: a number is never folded, nor cut.
        """
        cells = [[row[place] for row in rows] for place in range(len(columns))]
        whole = [max(map(cell_len, some), default=0) for some in cells]
        folded = [max(_longest(text) for text in some) for some in zip(columns, *rows, strict=True)]
        full = [max(cell_len(head), size) for head, size in zip(columns, whole, strict=True)]
        if width is None:
            return cls(dict(enumerate(full)), roomy=True)
        texts = [place for place, name in enumerate(columns) if name in words]
        figures = [place for place, name in enumerate(columns) if name not in words]
        for detailed, roomy, below in (
            (True, True, False),
            (False, True, False),
            (False, False, False),
            (False, False, True),
        ):
            shown = [p for p, name in enumerate(columns) if detailed or name not in details]
            widths = {p: folded[p] if below else max(folded[p], whole[p]) for p in shown}
            widths |= {p: min(folded[p], UNFOLDED) for p in texts if p in shown}
            layout = cls(widths, roomy=roomy)
            if layout.total <= width:
                break
        spare = width - layout.total
        # What is left goes to numbers that fit beside each other, to words, and to whole headings.
        for places, most in ((figures, whole), (texts, full), (figures, full)):
            for place in [place for place in places if place in widths]:
                more = max(most[place] - widths[place], 0)
                if more > spare:
                    more = max(spare, 0) if places is texts else 0
                widths[place] += more
                spare -= more
        return layout

    @property
    def total(self) -> int:
        """Columns of the screen that the table takes."""
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
        """Gives the table; rows that are folded are apart from each other."""
        apart = any(cell_len(row[p]) > width for row in rows for p, width in self.widths.items())
        table = Table(
            title=Text(title),
            title_justify="left",
            box=box.HEAVY_HEAD if self.roomy else box.SIMPLE_HEAD,
            show_edge=self.roomy,
            padding=(0, int(self.roomy)),
            leading=int(apart),
        )
        for place, width in self.widths.items():
            justify: Literal["left", "right"] = "left" if columns[place] in words else "right"
            head = Text(columns[place])
            table.add_column(head, justify=justify, width=width, overflow="fold")
        for row in rows:
            table.add_row(*(Text(row[place]) for place in self.widths))
        return table


def _longest(text: str) -> int:
    """Gives the width of the longest word."""
    return max(map(cell_len, text.split()), default=0)

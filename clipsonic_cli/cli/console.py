"""What commands print: results on standard output, everything else on standard error."""

import json
import logging
import re
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from clipsonic_cli.cli.formats import FORMATS
from clipsonic_cli.cli.tables import Layout, telling
from clipsonic_cli.cli.wrap import width_of, wrapped
from clipsonic_cli.text import printable

Facts = tuple[Mapping[str, str], Mapping[str, Any]]
"""Values to show by name, and the same and more as a JSON object."""


class Console:
    """Results to standard output, messages to standard error.

    Args:
        quiet: Print only results and errors.
        as_json: Print results as JSON objects instead of plain lines.
        form: Form of tables, one of :data:`FORMATS`; None suits what standard output is.
        options: The command's options by setting, for :func:`name_options`.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        as_json: bool = False,
        form: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.quiet = quiet
        self.form = form
        self.options = options or {}
        logging.getLogger("clipsonic_cli").setLevel(logging.ERROR if quiet else logging.WARNING)
        self.as_json = as_json
        # Built per command, so that it uses the current standard error; Rich heeds NO_COLOR,
        # TERM=dumb and whether it is a terminal. No markup: any text may hold brackets.
        self.console = RichConsole(
            stderr=True, quiet=quiet, highlight=False, markup=False, emoji=False
        )

    def note(self, text: str) -> None:
        """Print a message, unless quiet: a line, which a terminal gets wrapped at words."""
        text = printable(name_options(text, self.options))
        text = wrapped(text, width_of(self.console))
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def noting_warnings(self) -> Iterator[None]:
        """Print Python's warnings in the block, and logged ones, as notes, a line each."""

        def note(message: object) -> None:
            self.note(f"note: {' '.join(str(message).split())}")

        logger, handler = logging.getLogger("clipsonic_cli"), logging.Handler()
        handler.emit = lambda record: note(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(handler)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_: note(message)
                yield
        finally:
            logger.removeHandler(handler)

    def result(self, line: str, details: Mapping[str, Any]) -> None:
        """Print a result for the next program: the line, or the details as JSON."""
        # Escaped to ASCII, as a path may hold bytes that no encoding has.
        text = json.dumps(details, allow_nan=False) if self.as_json else line
        print(text, file=sys.stdout, flush=True)  # noqa: T201 - this is where printing is done

    def facts(self, shown: Mapping[str, str], details: Mapping[str, Any]) -> None:
        """Print values by name as result: in two columns on a terminal, else tab-separated."""
        console = RichConsole(highlight=False, markup=False, emoji=False)
        column = max(map(len, shown)) + 2
        lines = []
        for name, value in shown.items():
            if (width := width_of(console)) is None:
                lines.append(f"{name}\t{printable(value)}")
            else:
                text = wrapped(printable(value), max(width - column, 20), indent="")
                lines.append(f"{name:<{column}}" + text.replace("\n", "\n" + " " * column))
        blank = [] if width_of(console) is None else [""]
        self.result("\n".join(lines + blank), details)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        words: Collection[str] = (),
        details: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Print a table as result, and return the columns that were left out.

        A terminal gets lines and, where it is narrow, folded columns of words, then no details; no
        number is cut. Other programs get tab-separated values, or the form that was requested: for
        papers (Markdown, LaTeX) without details that are the same in all rows. Columns that are
        empty are in tab-separated values alone.
        """
        title, columns = printable(title), [printable(column) for column in columns]
        rows = [[printable(cell) for cell in row] for row in rows]
        console = RichConsole(highlight=False, markup=False, emoji=False)
        form = self.form or (None if console.is_terminal else "tsv")
        left_out: tuple[str, ...] = ()
        if form != "tsv":
            filled = telling(columns, rows)
            shown = telling(columns, rows, details) if form else filled
            left_out = tuple(columns[place] for place in filled if place not in shown)
            columns, *rows = ([row[place] for place in shown] for row in (columns, *rows))
        if form:
            self.result(FORMATS[form](title, columns, rows, words), {})
            return left_out
        layout = Layout.choose(columns, rows, words=words, details=details, width=console.width)
        console.width = max(console.width, layout.total)
        console.print(layout.draw(title, columns, rows, words=words))
        return tuple(name for place, name in enumerate(columns) if place not in layout.widths)

    def bars(self, title: str = "", *, of_bytes: bool = False) -> "Bars":
        """Build progress bars (see :class:`Bars`), which are drawn on a terminal only."""
        shown = self.console.is_terminal and not self.quiet
        return Bars(self.console, title, shown=shown, of_bytes=of_bytes)


class _Count(MofNCompleteColumn):
    """The count of a stage, without a total that is not known."""

    def render(self, task: Task) -> Text:
        """Draw the count."""
        if task.total is None:
            return Text(f"{int(task.completed)}" if task.completed else "")
        return super().render(task)


class _TimeLeft(TimeRemainingColumn):
    """The time left, as the stage states it, else as estimated from its steps."""

    def render(self, task: Task) -> Text:
        """Draw hours, minutes and seconds."""
        if (end := task.fields["end"]) is None:
            return super().render(task)
        left = max(0, int(end - task.get_time()))
        return Text(f"{timedelta(seconds=left)}", style="progress.remaining")


class Bars(Progress):
    """A progress bar a stage with the time left; a :data:`~clipsonic_cli.types.Report`.

    A bar is erased when its stage is done, and all at the end. Print no results while they are
    drawn, but when they are paused.

    Args:
        title: Put before the name of every stage.
        of_bytes: Whether progress is counted in bytes: show megabytes and their speed.
    """

    def __init__(
        self, console: RichConsole, title: str, *, shown: bool, of_bytes: bool = False
    ) -> None:
        self.title = title
        self._stages: dict[str, TaskID] = {}
        counts: list[ProgressColumn] = (
            [DownloadColumn(), TransferSpeedColumn()] if of_bytes else [_Count()]
        )
        super().__init__(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(bar_width=None, table_column=Column(max_width=40)),
            *counts,
            TextColumn("{task.fields[note]}", markup=False),
            _TimeLeft(),
            console=console,
            transient=True,
            disable=not shown,
            # What others print goes where they print it, which may be a file.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Erase the bars in the block, which may print results."""
        shown = [task.id for task in self.tasks if task.visible]
        for task in shown:  # Rich would otherwise erase as many lines again when it starts
            self.update(task, visible=False)
        self.stop()
        try:
            yield
        finally:
            self.start()
            for task in shown:
                self.update(task, visible=True)

    def __call__(
        self, stage: str, done: float, total: int, *, note: str = "", left: float | None = None
    ) -> None:
        """Move the bar of a stage, and erase it when it is done.

        Args:
            stage: Its name.
            done: What is done of it, also between whole numbers.
            total: What there is to do; 0 is unknown.
            note: Shown next to it.
            left: Seconds left; None estimates them.
        """
        if 0 < total <= done:
            if stage in self._stages:
                self.remove_task(self._stages.pop(stage))
            return
        if stage not in self._stages:
            title = printable(f"{self.title}{stage}")
            self._stages[stage] = self.add_task(title, total=None, note="", end=None)
        end = None if left is None else self.get_time() + left
        self.update(self._stages[stage], completed=done, total=total or None, note=note, end=end)


def name_options(message: str, options: Mapping[str, str]) -> str:
    """Replace the settings that a message names, such as `batch_size`, by their options."""
    return re.sub(r"`(\w+)`", lambda match: options.get(match[1], match[0]), message)


def complain(message: str) -> None:
    """Print an error on standard error: a line, which a terminal gets wrapped at words."""
    line = f"clipsonic: {printable(' '.join(message.split()))}"
    text = wrapped(line, width_of(RichConsole(stderr=True)))
    print(text, file=sys.stderr, flush=True)  # noqa: T201

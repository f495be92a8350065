"""The scores of a page: tables of systems by metrics, the best marked, the paper's own beside.

Knows: which scores stand in one table, and how they are written in HTML. Does not know: the rest of
the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report import paper
from clipsonic_cli.report.html import escaped
from clipsonic_cli.report.tables import (
    ARROWS,
    NONE,
    Table,
    guidance,
    interval,
    number,
)
from clipsonic_cli.types import Score


@dataclass(frozen=True, slots=True)
class _Board:
    """Rows that share scores, and the labels of those."""

    rows: list[ScoreRow] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def scoreboard(results: Results) -> str:
    """Gives the scores as HTML: a table for all systems that were scored by the same metrics.

    Every number is in a ``data`` element, whose value is exact. The paper's are in columns of their
    own, as :func:`~clipsonic_cli.report.paper.number_beside` gives them.
    """
    notes: dict[str, int] = {}
    boards = [
        _board(results, board, index, notes)
        for index, board in enumerate(_boards(results), start=1)
    ]
    listed = "".join(f'<li id="note-{n}">{escaped(note)}</li>' for note, n in notes.items())
    return "".join(boards) + (f'<ol class="soft notes">{listed}</ol>' if listed else "")


def plain_table(table: Table, caption: str) -> str:
    """Gives a table of texts as HTML."""
    head = "".join(f'<th scope="col">{escaped(column)}</th>' for column in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{escaped(row[0])}</th>'
        + "".join(f"<td>{escaped(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    content = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return framed(f"<table><caption>{escaped(caption)}</caption>{content}</table>", caption)


def framed(table: str, name: str) -> str:
    """Puts a table where it can be wider than a phone, and be moved by keys."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escaped(name)}">{table}</div>'
    )


def _boards(results: Results) -> list[_Board]:
    """Sorts rows into tables: those that share a label are in one."""
    boards: list[_Board] = []
    for row in results.rows:
        labels = [score.label for score in row.scores]
        if not labels:
            continue
        board = next((b for b in boards if set(b.labels) & set(labels)), None)
        if board is None:
            boards.append(board := _Board())
        board.rows.append(row)
        board.labels.extend(label for label in labels if label not in board.labels)
    return boards


def _board(results: Results, board: _Board, index: int, notes: dict[str, int]) -> str:
    """Gives one table; its notes are added to those that there are."""
    first = {score.label: score for row in reversed(board.rows) for score in row.scores}
    best = {label: _best(board.rows, label) for label in board.labels}
    theirs = [
        (metric, data)
        for metric in dict.fromkeys(first[label].metric for label in board.labels)
        for data in paper.DATASETS
        if any(paper.number_beside(results, row, metric, data) is not None for row in board.rows)
    ]
    caption = f"Scores {index}: " + ", ".join(board.labels)
    groups = f'<th scope="colgroup" colspan="{len(board.labels)}">measured here</th>'
    heads = [
        f"{escaped(label)} {ARROWS[first[label].better]}"
        f"<small>{first[label].better} is better</small>"
        for label in board.labels
    ]
    if theirs:
        groups += f'<th scope="colgroup" class="paper" colspan="{len(theirs)}">the paper’s own</th>'
    head = (
        '<th scope="col" rowspan="2">system</th><th scope="col" rowspan="2">w</th>'
        f"{groups}</tr><tr>"
        + "".join(f'<th scope="col">{text}</th>' for text in heads)
        + "".join(
            f'<th scope="col" class="paper">{metric}<small>{data}</small></th>'
            for metric, data in theirs
        )
    )
    body = "".join(
        f'<tr><th scope="row">{_title(results, row)}</th><td>{guidance(row)}</td>'
        + "".join(_cell(row, label, best[label], notes) for label in board.labels)
        + "".join(_paper_cell(results, row, *column) for column in theirs)
        + "</tr>"
        for row in board.rows
    )
    table = (
        f"<table><caption>{escaped(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    return framed(table, caption)


def _title(results: Results, row: ScoreRow) -> str:
    name = paper.TITLES.get(row.system) if paper.of_model(results) else None
    return escaped(row.system) + (f"<small>{escaped(name)}</small>" if name else "")


def _cell(row: ScoreRow, label: str, best: float | None, notes: dict[str, int]) -> str:
    """Gives a score: value, mark and footnotes, and below it what is needed to judge it."""
    score = next((score for score in row.scores if score.label == label), None)
    if score is None:
        return f"<td>{NONE}</td>"
    value = f'<data value="{score.value!r}">{number(score)}</data>'
    if score.value == best and row.system != paper.RECONSTRUCTION:
        value = f'<b>{value} <span role="img" aria-label="best">★</span></b>'
    for note in score.notes:
        n = notes.setdefault(note, len(notes) + 1)
        value += f'<sup><a href="#note-{n}" aria-label="note {n}">{n}</a></sup>'
    size = f"n {score.n}" + ("" if score.bias is None else f" · bias {score.bias:.2g}")
    spread = f"<small>[{interval(score)}]</small>" if score.interval else ""
    return f"<td>{value}{spread}<small>{size}</small></td>"


def _best(rows: Sequence[ScoreRow], label: str) -> float | None:
    """Gives the best value of those that compete, for which a reconstruction is a bound.

    Returns:
        None where fewer than two compete, or not with as many sounds each.
    """
    scores: list[Score] = [
        score
        for row in rows
        if row.system != paper.RECONSTRUCTION
        for score in row.scores
        if score.label == label
    ]
    if len(scores) < 2 or len({score.n for score in scores}) > 1:
        return None
    return (min if scores[0].better == "lower" else max)(score.value for score in scores)


def _paper_cell(results: Results, row: ScoreRow, metric: str, data: str) -> str:
    value = paper.number_beside(results, row, metric, data)
    shown = NONE
    if value is not None:
        digits = 2 if metric == "fad" else 3
        shown = f'<data value="{value!r}">{value:.{digits}f}</data>'
    return f'<td class="paper">{shown}</td>'

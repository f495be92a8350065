"""The scores of a page as HTML tables, the best marked, next to the paper's own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report import paper
from clipsonic_cli.report.html import escaped
from clipsonic_cli.report.tables import ARROWS, NONE, Table, guidance, interval, number
from clipsonic_cli.types import Score


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that share labels of scores, for one table."""

    rows: list[ScoreRow] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def score_tables(results: Results) -> str:
    """Format the scores as HTML: a table for each group of systems with the same metrics.

    Every number is in a ``data`` element, whose value is exact.
    """
    notes: dict[str, int] = {}
    tables = [_table(results, g, index, notes) for index, g in enumerate(_groups(results), start=1)]
    listed = "".join(f'<li id="note-{n}">{escaped(note)}</li>' for note, n in notes.items())
    return "".join(tables) + (f'<ol class="soft notes">{listed}</ol>' if listed else "")


def plain_table(table: Table, caption: str) -> str:
    """Format a table of texts as HTML."""
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
    """Wrap a table so that it can be wider than a phone and scrolled by keys."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escaped(name)}">{table}</div>'
    )


def _groups(results: Results) -> list[_Group]:
    """Group rows that share a label."""
    groups: list[_Group] = []
    for row in results.rows:
        labels = [score.label for score in row.scores]
        if not labels:
            continue
        group = next((g for g in groups if set(g.labels) & set(labels)), None)
        if group is None:
            groups.append(group := _Group())
        group.rows.append(row)
        group.labels.extend(label for label in labels if label not in group.labels)
    return groups


def _table(results: Results, group: _Group, index: int, notes: dict[str, int]) -> str:
    """Format one table; number its notes after those in ``notes``."""
    first = {score.label: score for row in reversed(group.rows) for score in row.scores}
    best = {label: _best(group.rows, label) for label in group.labels}
    paper_columns = [
        (metric, data)
        for metric in dict.fromkeys(first[label].metric for label in group.labels)
        for data in paper.DATASETS
        if any(paper.number_for(results, row, metric, data) is not None for row in group.rows)
    ]
    # Format the head.
    caption = f"Scores {index}: " + ", ".join(group.labels)
    spans = f'<th scope="colgroup" colspan="{len(group.labels)}">measured here</th>'
    heads = [
        f"{escaped(label)} {ARROWS[first[label].better]}"
        f"<small>{first[label].better} is better</small>"
        for label in group.labels
    ]
    if paper_columns:
        span = f'colspan="{len(paper_columns)}"'
        spans += f'<th scope="colgroup" class="paper" {span}>the paper’s own</th>'
    head = (
        '<th scope="col" rowspan="2">system</th><th scope="col" rowspan="2">w</th>'
        f"{spans}</tr><tr>"
        + "".join(f'<th scope="col">{text}</th>' for text in heads)
        + "".join(
            f'<th scope="col" class="paper">{metric}<small>{data}</small></th>'
            for metric, data in paper_columns
        )
    )
    # Format the rows.
    body = "".join(
        f'<tr><th scope="row">{_title(results, row)}</th><td>{guidance(row)}</td>'
        + "".join(_cell(row, label, best[label], notes) for label in group.labels)
        + "".join(_paper_cell(results, row, *column) for column in paper_columns)
        + "</tr>"
        for row in group.rows
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
    """Format a score: value, mark and footnotes; below it interval, number of sounds and bias."""
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
    """Return the best value but for reconstructions, which are an upper bound.

    Returns:
        None for fewer than two values, or different numbers of sounds.
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
    value = paper.number_for(results, row, metric, data)
    shown = NONE
    if value is not None:
        digits = 2 if metric == "fad" else 3
        shown = f'<data value="{value!r}">{value:.{digits}f}</data>'
    return f'<td class="paper">{shown}</td>'

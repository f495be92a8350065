"""The scores of a page as HTML tables, the best marked, next to the paper's own."""

from collections.abc import Sequence

from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report import paper
from clipsonic_cli.report.html import escaped, table
from clipsonic_cli.report.tables import NONE, arrow, guidance, interval, number
from clipsonic_cli.types import Score

_Group = tuple[list[ScoreRow], dict[str, Score]]  # rows that share labels, a score of each label


def score_tables(results: Results) -> str:
    """Format the scores as HTML: a table for each group of systems with the same metrics.

    Every number is in a ``data`` element, whose value is exact.
    """
    groups: list[_Group] = []
    for row in filter(lambda row: row.scores, results.rows):
        scores = {score.label: score for score in row.scores}
        group = next((group for group in groups if group[1].keys() & scores), None)
        if group is None:
            groups.append(group := ([], {}))
        group[0].append(row)
        group[1].update(scores)
    notes: dict[str, int] = {}
    tables = [_table(results, group, n, notes) for n, group in enumerate(groups, start=1)]
    listed = "".join(f'<li id="note-{n}">{escaped(note)}</li>' for note, n in notes.items())
    return "".join(tables) + (f'<ol class="soft notes">{listed}</ol>' if listed else "")


def _table(results: Results, group: _Group, index: int, notes: dict[str, int]) -> str:
    """Format one table; number its notes after those in ``notes``."""
    rows, columns = group
    best = {label: _best(rows, label) for label in columns}
    paper_columns = [
        (metric, data)
        for metric in dict.fromkeys(score.metric for score in columns.values())
        for data in paper.DATASETS
        if any(paper.number_for(results, row, metric, data) is not None for row in rows)
    ]
    # Format two rows of headings.
    head = (
        '<th scope="col" rowspan="2">system</th><th scope="col" rowspan="2">w</th>'
        f'<th scope="colgroup" colspan="{len(columns)}">measured here</th>'
    )
    if paper_columns:
        span = f'colspan="{len(paper_columns)}"'
        head += f'<th scope="colgroup" class="paper" {span}>the paper’s own</th>'
    head += "</tr><tr>"
    for label, score in columns.items():
        hint = f"{score.better} is better" if score.ranks else "orders no systems"
        head += f'<th scope="col">{escaped(label)} {arrow(score)}<small>{hint}</small></th>'
    for metric, data in paper_columns:
        head += f'<th scope="col" class="paper">{metric}<small>{data}</small></th>'
    # Format the scores.
    lines = []
    for row in rows:
        name = paper.TITLES.get(row.role) if paper.of_model(results) else None
        title = escaped(row.system) + (f"<small>{escaped(name)}</small>" if name else "")
        cells = [_cell(row, label, best[label], notes) for label in columns]
        cells += [_paper_cell(results, row, *column) for column in paper_columns]
        lines.append(f'<th scope="row">{title}</th><td>{guidance(row)}</td>{"".join(cells)}')
    return table(f"Scores {index}: {', '.join(columns)}", head, lines)


def _cell(row: ScoreRow, label: str, best: float | None, notes: dict[str, int]) -> str:
    """Format a score: value, mark and footnotes; below it interval, number of sounds and bias."""
    score = next((score for score in row.scores if score.label == label), None)
    if score is None:
        return f"<td>{NONE}</td>"
    value = f'<data value="{score.value!r}">{number(score.value, score)}</data>'
    if score.value == best and row.role != paper.RECONSTRUCTION:
        value = f'<b>{value} <span role="img" aria-label="best">★</span></b>'
    for note in score.notes:
        n = notes.setdefault(note, len(notes) + 1)
        value += f'<sup><a href="#note-{n}" aria-label="note {n}">{n}</a></sup>'
    size = f"n {score.n}" + ("" if score.bias is None else f" · bias {score.bias:.2g}")
    spread = f"<small>[{interval(score)}]</small>" if score.interval else ""
    return f"<td>{value}{spread}<small>{size}</small></td>"


def _best(rows: Sequence[ScoreRow], label: str) -> float | None:
    """Return the best of two values or more, of as many sounds each, if they rank systems."""
    # Reconstructions are an upper bound.
    rows = [row for row in rows if row.role != paper.RECONSTRUCTION]
    scores = [score for row in rows for score in row.scores if score.label == label]
    if len(scores) < 2 or len({score.n for score in scores}) > 1 or not scores[0].ranks:
        return None
    return (min if scores[0].better == "lower" else max)(score.value for score in scores)


def _paper_cell(results: Results, row: ScoreRow, metric: str, data: str) -> str:
    value = paper.number_for(results, row, metric, data)
    shown = NONE
    if value is not None:
        shown = f'<data value="{value!r}">{value:.{2 if metric == "fad" else 3}f}</data>'
    return f'<td class="paper">{shown}</td>'

"""Results as the paper's tables, its own numbers beside: text in rows and columns.

Knows: what belongs into which column. Does not know: how a table is drawn (``cli/``), so that a
terminal and a page can show the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipsonic_cli.evaluation import paper
from clipsonic_cli.evaluation.ratings import QUESTIONS, Mean, OpinionScore
from clipsonic_cli.evaluation.results import Results, Row
from clipsonic_cli.types import Score

NONE = "-"
ARROWS = {"lower": "↓", "higher": "↑"}
DIGITS = {"fad": 2, "fad-infinity": 2}
"""After the point, of the paper's networks; 3 for other metrics, and 4 for distances of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts.

    Args:
        title: Above it.
        columns: Headings; those of the paper's numbers begin with "paper".
        rows: As many cells each.
        notes: Below it, a line each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def table_of(results: Results, number: int | None) -> Table:
    """Gives a table of the paper, or for None one of all scores.

    Raises:
        ValueError: The paper has no such table of scores.
    """
    makers = {None: all_scores, 1: table_1, 2: table_2, 5: table_5}
    if number not in makers:
        raise ValueError(f"need a table of 1, 2, 5 or None, got {number}")
    return makers[number](results)


def all_scores(results: Results) -> Table:
    """Gives a line a score, with all that is needed to compare it."""
    columns = (
        *("system", "w", "metric", "value", "95 % interval", "bias", "n", "windows", "against"),
        *("backbone", "Hz", "s"),
    )
    rows = []
    for row in results.rows:
        for score in row.scores:
            cells = (
                row.system,
                guidance(row),
                f"{score.label} {ARROWS[score.better]}",
                number(score),
                interval(score),
                _shown(score.bias, _digits(score)),
                f"{score.n}",
                f"{score.rows}",
                f"{score.against}",
                score.backbone,
                NONE if score.sample_rate is None else f"{score.sample_rate}",
                NONE if score.seconds is None else f"{score.seconds:.2f}",
            )
            rows.append(cells)
    return Table(
        title=results.name, columns=columns, rows=tuple(rows), notes=tuple(notes_of(results))
    )


def table_1(results: Results) -> Table:
    """Gives FAD and CLAP score of every system, the paper's beside."""
    metrics = ("fad", "clap")
    rows = []
    for row in results.rows:
        theirs = paper.TABLE_1.get(row.system, {})
        title = paper.TITLES.get(row.system, row.system)
        if row.system == "reconstruction":
            title += f" ({results.settings.get('vocoder')})"
        rows.append(
            (
                title,
                guidance(row),
                *(with_interval(row.score(metric)) for metric in metrics),
                *_sizes(row),
                *(
                    _shown(theirs.get(data, {}).get(metric), DIGITS.get(metric, 3))
                    for data in paper.DATASETS
                    for metric in metrics
                ),
            )
        )
    columns = (
        "model",
        "w",
        *(_label(results, metric) for metric in metrics),
        *("n", "Hz", "s"),
        *(f"paper: {data} {name}" for data in paper.DATASETS for name in ("FAD", "CLAP")),
    )
    return _table(1, results, columns, rows)


def table_2(results: Results) -> Table:
    """Gives the similarity of each kind of query with the true picture, the paper's beside."""
    rows = []
    for row in results.rows:
        if (score := row.score("similarity")) is not None:
            theirs = paper.TABLE_2.get(row.system, {})
            title = paper.TITLES.get(row.system, row.system)
            beside = (_shown(theirs.get(data), 3) for data in paper.DATASETS)
            rows.append((title, with_interval(score), f"{score.n}", *beside))
    columns = ("model", _label(results, "similarity"), "n")
    return _table(2, results, (*columns, *(f"paper: {data}" for data in paper.DATASETS)), rows)


def table_5(results: Results) -> Table:
    """Gives CLAP scores of reconstructions by windows of 4 s, the paper's beside."""
    rows = []
    for row in results.rows:
        for metric, theirs in paper.TABLE_5.items():
            if (score := row.score(metric)) is not None:
                windows = metric.rpartition("windows-")[2] if "windows" in metric else NONE
                seconds = score.seconds or 0.0
                size = f"{min(seconds, 4.0) if 'windows' in metric else seconds:.1f} s"
                beside = (_shown(theirs[data], 3) for data in paper.DATASETS)
                rows.append(
                    (row.system, size, windows, with_interval(score), f"{score.n}", *beside)
                )
    columns = ("system", "window size", "mode", _label(results, "clap"), "n")
    return _table(5, results, (*columns, *(f"paper: {data}" for data in paper.DATASETS)), rows)


def opinions(scores: Sequence[OpinionScore]) -> Table:
    """Gives mean opinion scores, those of the paper's tables 3 and 4 beside.

    Args:
        scores: In the order of the systems.
    """
    theirs: Mapping[str, Mapping[str, Mapping[str, paper.Opinion]]] = {
        **paper.TABLE_3,
        **paper.TABLE_4,
    }
    datasets = (*paper.DATASETS, "ImageHear")
    rows = []
    for score in scores:
        # "pd w=1.5" is "pd" of the paper
        own = theirs.get(score.system.partition(" w=")[0], {})
        beside = (own.get(data, {}).get(score.question) for data in datasets)
        rows.append(
            (
                score.system,
                score.question,
                _opinion(score.ratings),
                NONE if score.ratings is None else f"{score.ratings.n}",
                _opinion(score.raters),
                NONE if score.raters is None else f"{score.raters.n}",
                *(NONE if o is None else f"{o.value:.2f} ± {o.half_width:.2f}" for o in beside),
            )
        )
    columns = ("system", "question", "MOS", "ratings", "MOS over raters", "raters")
    return Table(
        title="Listening test: mean opinion scores, 1 to 5, with 95 % intervals",
        columns=(*columns, *(f"paper: {data}" for data in datasets)),
        rows=tuple(sorted(rows, key=lambda row: QUESTIONS.index(row[1]))),
        notes=("The paper's are of 21 raters, of other sounds: tables 3 and 4.",),
    )


def notes_of(results: Results) -> list[str]:
    """Gives what a reader must know of the scores: each note once, with whose it is."""
    told = {"reference": "Compared with", "prompt": "Prompts"}
    known = [
        f"{title}: {text}"
        for name, title in told.items()
        if (text := results.settings.get(name)) is not None
    ]
    whose: dict[str, dict[str, None]] = {}
    for row in results.rows:
        for score in row.scores:
            for note in score.notes:
                whose.setdefault(note, {})[f"{score.label} of {row.system}"] = None
    return known + [
        f"{next(iter(those))}{f' and {len(those) - 1} more' if len(those) > 1 else ''}: {note}"
        for note, those in whose.items()
    ]


def number(score: Score) -> str:
    """Gives a score as it is shown."""
    return _shown(score.value, _digits(score))


def interval(score: Score) -> str:
    """Gives a score's interval as it is shown."""
    if score.interval is None:
        return NONE
    return " to ".join(_shown(end, _digits(score)) for end in score.interval)


def with_interval(score: Score | None) -> str:
    """Gives a score with its interval behind it."""
    if score is None:
        return NONE
    return number(score) + (f" ({interval(score)})" if score.interval else "")


def guidance(row: Row) -> str:
    """Gives a row's w as it is shown."""
    return NONE if row.guidance is None else f"{row.guidance:g}"


def _label(results: Results, metric: str) -> str:
    """Gives a heading such as "fad[mini] ↓"."""
    scores = (one for row in results.rows for one in row.scores if one.metric.startswith(metric))
    score = next(scores, None)
    if score is None:
        return metric
    tail = score.label.removeprefix(score.metric)
    return f"{metric}{tail} {ARROWS[score.better]}"


def _sizes(row: Row) -> tuple[str, str, str]:
    score = next(iter(row.scores), None)
    if score is None:
        return NONE, NONE, NONE
    rate = NONE if score.sample_rate is None else f"{score.sample_rate}"
    return f"{score.n}", rate, NONE if score.seconds is None else f"{score.seconds:.2f}"


def _digits(score: Score) -> int:
    return DIGITS.get(score.metric, 3) if score.as_paper or score.better == "higher" else 4


def _shown(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _opinion(mean: Mean | None) -> str:
    if mean is None:
        return NONE
    return f"{mean.value:.2f}" + ("" if mean.half_width is None else f" ± {mean.half_width:.2f}")


def _table(
    which: int, results: Results, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> Table:
    scores = [score for row in results.rows for score in row.scores]
    beside = "The paper's columns are its own numbers, of its own models and data, for orientation."
    if any(not score.as_paper for score in scores):
        beside += " Scores with another network in brackets compare with none of them."
    return Table(
        title=f"Table {which}. {paper.TABLES[which].title}: {results.name}",
        columns=columns,
        rows=tuple(rows),
        notes=(beside, *notes_of(results)),
    )

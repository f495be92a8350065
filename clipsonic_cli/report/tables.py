"""Results as tables of text, such as the paper's, next to its own numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report import paper
from clipsonic_cli.report.notes import notes_of
from clipsonic_cli.types import Note, Score

NONE = "-"
ARROWS = {"lower": "↓", "higher": "↑"}
DIGITS = {"fad": 2, "fad-infinity": 2}  # the paper's decimals; 3 for other metrics
RANKS = {"label-rank": 2}  # the decimals of ranks, by whatever network
WORDS = ("system", "model", "metric", "backbone", "question", "mode")  # columns that may fold
DETAILS = ("windows", "against", "backbone", "Hz", "s", "ratings")  # a narrow screen may lack them
PAPER = "paper: "  # prefix of the headings of the paper's own numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[Note, ...] = ()


def table_of(results: Results, number: int | None) -> Table:
    """Build a table of the paper, or for None one of all scores."""
    tables = {None: all_scores, 1: table_1, 2: table_2, 5: table_5}
    if number not in tables:
        raise ValueError(f"need a table of 1, 2, 5 or None, got {number}")
    return tables[number](results)


def all_scores(results: Results) -> Table:
    """Build a table with a line for each score, with all that is needed to compare it."""
    columns = (
        *("system", "w", "metric", "value", "95 % interval", "bias", "n", "windows", "against"),
        *("backbone", "Hz", "s"),
    )
    rows = tuple(
        (
            *(row.system, guidance(row), f"{score.label} {arrow(score)}"),
            *(number(score.value, score), interval(score), number(score.bias, score)),
            *(f"{score.n}", f"{score.rows}", f"{score.against}", score.backbone),
            NONE if score.sample_rate is None else f"{score.sample_rate}",
            _shown(score.seconds, 2),
        )
        for row in results.rows
        for score in row.scores
    )
    return Table(title=results.name, columns=columns, rows=rows, notes=tuple(notes_of(results)))


def table_1(results: Results) -> Table:
    """Build Table 1: those of FAD and CLAP score that were requested, and the paper's."""
    metrics = _requested(results, 1)
    shown = [_Column.choose(results, metric) for metric in metrics]
    rows = []
    for row in results.rows:
        scores = [column.of(row, column.title) for column in shown]
        cells = (_title(results, row), guidance(row), *map(with_interval, scores), *_sizes(scores))
        rows.append((*cells, *_paper_cells(results, row, *metrics)))
    columns = ("model", "w", *(column.heading for column in shown), "n", "Hz", "s")
    suffixes = [f" {metric.upper()}" for metric in metrics]
    return _table("Table 1. Evaluation results", results, shown, columns, rows, suffixes)


def table_2(results: Results) -> Table:
    """Build Table 2: the similarity of each kind of query with the true image, and the paper's.

    Next to it are the other scores of query vectors that were requested.
    """
    metrics = _requested(results, 2)
    shown = [_Column.choose(results, metric) for metric in metrics]
    rows = []
    for row in results.rows:
        scores = [column.of(row, column.title) for column in shown]
        if any(scores):
            cells = (_title(results, row), *map(with_interval, scores), _sizes(scores)[0])
            rows.append((*cells, *_paper_cells(results, row, "similarity")))
    title = "Table 2. Cosine similarity of query and true image embedding"
    columns = ("model", *(column.heading for column in shown), "n")
    return _table(title, results, shown, columns, rows)


def table_5(results: Results) -> Table:
    """Build Table 5: CLAP scores of reconstructions by windows of 4 s, and the paper's."""
    column = _Column.choose(results, "clap", *paper.TABLE_5)
    rows = []
    for row in results.rows:
        for metric in paper.TABLE_5:
            if (score := column.of(row, metric)) is not None:
                _, windows, mode = metric.rpartition("windows-")
                size = min(score.seconds or 0.0, 4.0) if windows else score.seconds or 0.0
                numbers = _paper_cells(results, row, metric)
                if row.role != paper.RECONSTRUCTION:  # the paper's Table 5 has no other system
                    numbers = [NONE for _ in numbers]
                cells = (row.system, f"{size:.1f} s", mode if windows else NONE)
                rows.append((*cells, with_interval(score), f"{score.n}", *numbers))
    columns = ("system", "window size", "mode", column.heading, "n")
    title = "Table 5. CLAP scores of reconstructions, by a sliding window"
    return _table(title, results, [column], columns, rows)


def number(value: float | None, score: Score) -> str:
    """Format a value with the decimals of a score: the paper's, but 4 for other distances."""
    is_other = score.better == "lower" and not score.as_paper
    digits = 4 if is_other else DIGITS.get(score.metric, 3)
    return _shown(value, RANKS.get(score.metric, digits))


def arrow(score: Score) -> str:
    """Return the arrow to what is better; "?" where the network may not know the labels."""
    return ARROWS[score.better] if score.ranks else "?"


def interval(score: Score) -> str:
    """Format the interval of a score."""
    return " to ".join(number(end, score) for end in score.interval or ()) or NONE


def with_interval(score: Score | None) -> str:
    """Format a score with its interval."""
    if score is None:
        return NONE
    return number(score.value, score) + (f" ({interval(score)})" if score.interval else "")


def guidance(row: ScoreRow) -> str:
    """Format the w of a row."""
    return NONE if row.guidance is None else f"{row.guidance:g}"


@dataclass(frozen=True, slots=True)
class _Column:
    """Scores that can share a column: by one network, which the heading names."""

    title: str
    metrics: tuple[str, ...]
    first: Score | None

    @classmethod
    def choose(cls, results: Results, title: str, *metrics: str) -> "_Column":
        """Choose the metrics' own network where it scored any system, else the first that did."""
        metrics = metrics or (title,)
        scores = [s for row in results.rows for s in row.scores if s.metric in metrics]
        return cls(title, metrics, min(scores, key=lambda s: not s.as_paper, default=None))

    @property
    def heading(self) -> str:
        """The label with an arrow: "fad[mini] ↓"."""
        if self.first is None:
            return self.title
        tail = self.first.label.removeprefix(self.first.metric)
        return f"{self.title}{tail} {arrow(self.first)}"

    def of(self, row: ScoreRow, metric: str) -> Score | None:
        """Return the score of a row, by this network."""
        wanted = (metric, self.first and self.first.backbone)
        return next((s for s in row.scores if (s.metric, s.backbone) == wanted), None)


def _requested(results: Results, number: int) -> tuple[str, ...]:
    """Return the metrics of a table that were requested."""
    metrics = paper.TABLES[number].metrics
    requested = {name.partition(":")[0] for name in results.settings.get("metrics", metrics)}
    return tuple(metric for metric in metrics if metric in requested)


def _title(results: Results, row: ScoreRow) -> str:
    """Return the paper's title of a mode."""
    if not paper.of_model(results):
        return row.system
    vocoder = f" ({results.settings.get('vocoder')})" if row.role == paper.RECONSTRUCTION else ""
    model = f"{row.model}: " if row.model is not None else ""
    return f"{model}{paper.TITLES.get(row.role, row.role)}{vocoder}"


def _sizes(scores: Sequence[Score | None]) -> list[str]:
    """Format number, sample rate and length of the sounds of scores."""
    known = [score for score in scores if score is not None]
    columns = (
        [f"{score.n}" for score in known],
        [f"{score.sample_rate}" for score in known if score.sample_rate is not None],
        [f"{score.seconds:.2f}" for score in known if score.seconds is not None],
    )
    return [", ".join(dict.fromkeys(texts)) or NONE for texts in columns]


def _paper_cells(results: Results, row: ScoreRow, *metrics: str) -> list[str]:
    """Format the paper's numbers next to a row, by data set and then metric."""
    return [
        _shown(paper.number_for(results, row, metric, data), DIGITS.get(metric, 3))
        for data in paper.DATASETS
        for metric in metrics
    ]


def _shown(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _table(
    title: str,
    results: Results,
    shown: Sequence[_Column],
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    suffixes: Sequence[str] = ("",),
) -> Table:
    """Build a table of the paper; ``suffixes`` end the headings of its numbers per data set."""
    scores = [(row, score) for row in results.rows for score in row.scores]
    about = "The paper's columns are its own numbers, of its own models and data, for orientation."
    if any(not score.as_paper for _, score in scores):
        about += " Scores with another network in brackets compare with none of them."
    others = dict.fromkeys(
        score.label
        for row, score in scores
        for column in shown
        if score.metric in column.metrics and column.of(row, score.metric) is not score
    )
    notes = notes_of(results)
    if others:
        by_others = f"By other networks, and in the report alone: {', '.join(others)}"
        notes.insert(0, Note(by_others, rank=3))
    title = f"{title}: {results.name}"
    heads = (f"{PAPER}{data}{suffix}" for data in paper.DATASETS for suffix in suffixes)
    table = Table(title=title, columns=(*columns, *heads), rows=tuple(rows), notes=tuple(notes))
    return without_blanks(table, Note(about, rank=3))


def without_blanks(table: Table, about_paper: Note) -> Table:
    """Leave out the paper's columns that are empty; put a note on any others first."""
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not column.startswith(PAPER) or any(row[place] != NONE for row in table.rows)
    ]
    heads, *rows = (tuple(row[place] for place in kept) for row in (table.columns, *table.rows))
    has_paper = any(head.startswith(PAPER) for head in heads)
    notes = (about_paper, *table.notes) if has_paper else table.notes
    return Table(title=table.title, columns=heads, rows=tuple(rows), notes=notes)

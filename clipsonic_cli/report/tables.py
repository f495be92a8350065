"""Results as tables of text, such as the paper's, next to its own numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipsonic_cli.evaluation.results import Results, ScoreRow, heading
from clipsonic_cli.report import paper
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.types import Score

NONE = "-"
ARROWS = {"lower": "↓", "higher": "↑"}
DIGITS = {"fad": 2, "fad-infinity": 2}
"""Decimals, by the paper's networks; 3 for other metrics, and 4 for distances by others."""
WORDS = ("system", "model", "metric", "backbone", "question", "mode")
"""Columns of text, which may be folded; the others hold numbers."""
DETAILS = ("windows", "against", "backbone", "Hz", "s")
"""Columns that a narrow screen may leave out."""
PAPER = "paper: "
"""Prefix of the headings of the paper's own numbers."""
INTERVAL = (
    "95 % confidence intervals are of the mean over sounds; those of distances are for this number "
    "of sounds."
)
BIAS = (
    "Bias is about how far two draws of as many sounds from one distribution would be from each "
    "other by their number alone. Sounds made from the clips they are compared with share their "
    "kinds, and can be nearer."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    """Headings; those of the paper's numbers begin with :data:`PAPER`."""
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def table_of(results: Results, number: int | None) -> Table:
    """Build a table of the paper, or for None one of all scores.

    Raises:
        ValueError: The paper has no such table of scores.
    """
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
    rows = []
    for row in results.rows:
        for score in row.scores:
            cells = (
                *(row.system, guidance(row), f"{score.label} {ARROWS[score.better]}"),
                *(number(score), interval(score)),
                _shown(score.bias, _digits(score)),
                f"{score.n}",
                f"{score.rows}",
                f"{score.against}",
                score.backbone,
                NONE if score.sample_rate is None else f"{score.sample_rate}",
                NONE if score.seconds is None else f"{score.seconds:.2f}",
            )
            rows.append(cells)
    notes = notes_of(results)
    if any(score.bias is not None for row in results.rows for score in row.scores):
        notes.insert(0, BIAS)
    return Table(title=results.name, columns=columns, rows=tuple(rows), notes=tuple(notes))


def table_1(results: Results) -> Table:
    """Build Table 1: those of FAD and CLAP score that were requested, and the paper's."""
    columns = paper.TABLES[1].metrics
    requested = {name.partition(":")[0] for name in results.settings.get("metrics", columns)}
    metrics = [metric for metric in columns if metric in requested]
    shown = [_Column.choose(results, metric) for metric in metrics]
    rows = []
    for row in results.rows:
        scores = [column.of(row, column.title) for column in shown]
        paper_cells = (
            _shown(paper.number_for(results, row, metric, data), DIGITS.get(metric, 3))
            for data in paper.DATASETS
            for metric in metrics
        )
        sizes = _sizes([score for score in scores if score is not None])
        cells = (_title(results, row), guidance(row), *map(with_interval, scores))
        rows.append((*cells, *sizes, *paper_cells))
    heads = (f"{PAPER}{data} {metric.upper()}" for data in paper.DATASETS for metric in metrics)
    columns = ("model", "w", *(column.heading for column in shown), "n", "Hz", "s", *heads)
    return _table(1, results, shown, columns, rows)


def table_2(results: Results) -> Table:
    """Build Table 2: the similarity of each kind of query with the true image, and the paper's."""
    column = _Column.choose(results, "similarity")
    rows = []
    for row in results.rows:
        if (score := column.of(row, "similarity")) is not None:
            numbers = (paper.number_for(results, row, "similarity", d) for d in paper.DATASETS)
            cells = (_title(results, row), with_interval(score), f"{score.n}")
            rows.append((*cells, *(_shown(value, 3) for value in numbers)))
    columns = ("model", column.heading, "n", *(f"{PAPER}{data}" for data in paper.DATASETS))
    return _table(2, results, [column], columns, rows)


def table_5(results: Results) -> Table:
    """Build Table 5: CLAP scores of reconstructions by windows of 4 s, and the paper's."""
    column = _Column.choose(results, "clap", *paper.TABLE_5)
    rows = []
    for row in results.rows:
        for metric in paper.TABLE_5:
            if (score := column.of(row, metric)) is not None:
                windows = metric.rpartition("windows-")[2] if "windows" in metric else NONE
                seconds = score.seconds or 0.0
                size = f"{min(seconds, 4.0) if 'windows' in metric else seconds:.1f} s"
                numbers: list[float | None] = [None for _ in paper.DATASETS]
                if row.system == paper.RECONSTRUCTION:  # the paper's Table 5 has no other system
                    numbers = [paper.number_for(results, row, metric, d) for d in paper.DATASETS]
                cells = (row.system, size, windows, with_interval(score), f"{score.n}")
                rows.append((*cells, *(_shown(value, 3) for value in numbers)))
    heads = (f"{PAPER}{data}" for data in paper.DATASETS)
    columns = ("system", "window size", "mode", column.heading, "n", *heads)
    return _table(5, results, [column], columns, rows)


def notes_of(results: Results) -> list[str]:
    """Return what a reader must know of the scores: each note once, with its first score."""
    notes = []
    for name, title in {"reference": "Compared with", "prompt": "Prompts"}.items():
        if results.settings.get(name) is not None:
            notes.append(f"{title}: {results.settings[name]}")
    if (sampling := sampling_note(results)) is not None:
        notes.append(sampling)
    scores = [(row, score) for row in results.rows for score in row.scores]
    if any(score.interval is not None for _, score in scores):
        notes.append(INTERVAL)
    notes += one_window(results)
    labels: dict[str, dict[str, None]] = {}
    for row, score in scores:
        for note in score.notes:
            labels.setdefault(note, {})[f"{score.label} of {row.system}"] = None
    for note, (first, *others) in labels.items():
        notes.append(f"{first}{f' and {len(others)} more scores' if others else ''}: {note}")
    return notes


def one_window(results: Results) -> list[str]:
    """Return a note on systems whose sounds all have one window of 4 s at a hop of 0.5 s."""

    def values(row: ScoreRow, end: str) -> list[float]:
        ends = (score for score in row.scores if score.metric == f"clap-windows-{end}")
        return [score.value for score in ends if (score.seconds or 0.0) < 4.5]

    names = [
        heading(row.system, row.guidance)
        for row in results.rows
        if values(row, "max") and values(row, "max") == values(row, "min")
    ]
    if not names:
        return []
    return [
        f"No sound of {', '.join(names)} has room for a second window of 4 s: max, mean and min "
        "are the same, and tell nothing. The paper's are of 10 s."
    ]


def number(score: Score) -> str:
    """Format the value of a score."""
    return _shown(score.value, _digits(score))


def interval(score: Score) -> str:
    """Format the interval of a score."""
    if score.interval is None:
        return NONE
    return " to ".join(_shown(end, _digits(score)) for end in score.interval)


def with_interval(score: Score | None) -> str:
    """Format a score with its interval."""
    if score is None:
        return NONE
    return number(score) + (f" ({interval(score)})" if score.interval else "")


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
        return f"{self.title}{tail} {ARROWS[self.first.better]}"

    def of(self, row: ScoreRow, metric: str) -> Score | None:
        """Return the score of a row, by this network."""
        if self.first is None:
            return None
        backbone = self.first.backbone
        scores = (s for s in row.scores if (s.metric, s.backbone) == (metric, backbone))
        return next(scores, None)


def _title(results: Results, row: ScoreRow) -> str:
    """Return the paper's title of a mode."""
    if not paper.of_model(results):
        return row.system
    title = paper.TITLES.get(row.system, row.system)
    is_vocoded = row.system == paper.RECONSTRUCTION
    return f"{title} ({results.settings.get('vocoder')})" if is_vocoded else title


def _sizes(scores: Sequence[Score]) -> tuple[str, str, str]:
    """Format number, sample rate and length of the sounds of scores."""
    known = (
        [f"{score.n}" for score in scores],
        [f"{score.sample_rate}" for score in scores if score.sample_rate is not None],
        [f"{score.seconds:.2f}" for score in scores if score.seconds is not None],
    )
    n, rate, seconds = (", ".join(dict.fromkeys(values)) or NONE for values in known)
    return n, rate, seconds


def _digits(score: Score) -> int:
    return DIGITS.get(score.metric, 3) if score.as_paper or score.better == "higher" else 4


def _shown(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _table(
    which: int,
    results: Results,
    shown: Sequence[_Column],
    columns: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
) -> Table:
    scores = [(row, score) for row in results.rows for score in row.scores]
    about = "The paper's columns are its own numbers, of its own models and data, for orientation."
    if any(not score.as_paper for _, score in scores):
        about += " Scores with another network in brackets compare with none of them."
    if odd := differences(results):
        about += f" Not as in the paper: {'; '.join(odd)}."
    title = f"Table {which}. {paper.TABLES[which].title}: {results.name}"
    others = dict.fromkeys(
        score.label
        for row, score in scores
        for column in shown
        if score.metric in column.metrics and column.of(row, score.metric) is not score
    )
    notes = notes_of(results)
    if others:
        notes.insert(0, f"By other networks, and in the report alone: {', '.join(others)}")
    return without_blanks(title, columns, rows, about_paper=about, notes=notes)


def without_blanks(
    title: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *,
    about_paper: str,
    notes: Sequence[str] = (),
) -> Table:
    """Build a table without the paper's columns that are empty, and a note on those left."""
    kept = [
        place
        for place, column in enumerate(columns)
        if not column.startswith(PAPER) or any(row[place] != NONE for row in rows)
    ]
    heads, *lines = (tuple(row[place] for place in kept) for row in (columns, *rows))
    if any(head.startswith(PAPER) for head in heads):
        notes = (about_paper, *notes)
    return Table(title=title, columns=heads, rows=tuple(lines), notes=tuple(notes))

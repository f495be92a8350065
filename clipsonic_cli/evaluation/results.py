"""The results of an evaluation, and the JSON and CSV files they are kept in."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import written
from clipsonic_cli.bounded import read_json
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.text import digest, slug
from clipsonic_cli.types import Score

FORMAT = "clipsonic-eval/1"
SAMPLING = ("sampler", "steps", "student", "dtype")
"""Settings of a model's sounds, repeated in every row of them."""
COLUMNS = (
    *("system", "guidance", "metric", "value", "low", "high", "better", "n", "rows", "against"),
    *("backbone", "as_paper", "ranks", "sample_rate", "seconds", "bias", "notes", "model"),
    *SAMPLING,
)
"""Columns of ``report.csv``, which has a line for each score."""
NAMED = {
    **dict.fromkeys(("generated", "model", "modes", "queries", "split"), ""),
    **{
        "guidance": "w",
        "guidance_rule": "",
        "sampler": "",
        "n": "n",
        "steps": "steps",
        "seconds": "s",
        "seed": "seed",
    },
}
"""Settings that the name of a report states where another has its name, with a prefix each."""
MAX_REPORT = 1 << 28
"""Most bytes of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The scores of one system at one guidance scale."""

    system: str
    """A mode or "reconstruction", with the model first if there are several; or a folder's name."""
    model: str | None = None
    """Which of several models it is of."""
    guidance: float | None = None
    """The paper's w; None where nothing was guided."""
    scores: tuple[Score, ...] = ()
    """In the order of the metrics requested."""
    outliers: Mapping[str, float] = field(default_factory=dict)
    """Sounds farthest from the reference, and their own distances by the first "fad"; only the
    order of these means anything."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sounds that could not be embedded, with the reason; notes name a few."""

    @property
    def role(self) -> str:
        """The system without the name of its model."""
        return self.system if self.model is None else self.system.removeprefix(f"{self.model} ")

    def score(self, metric: str) -> Score | None:
        """Return the first score of a metric, by any backbone."""
        return next((score for score in self.scores if score.metric == metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One query, and the sounds made from it."""

    name: str
    prompt: str | None = None
    image: Path | None = None
    paths: Mapping[str, Path] = field(default_factory=dict)
    """The sound of each system, by :func:`heading`; the clip's own is "truth"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All results of an evaluation."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What decided the numbers, as JSON can hold it."""
    rows: tuple[ScoreRow, ...] = ()
    """A row for each system and guidance scale."""
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    """Differences from the request, a line each; scores have notes of their own."""
    label_checks: Mapping[str, Any] = field(default_factory=dict)
    """Whether the network of scores by labels knows these labels, by its name, as JSON."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sounds of the reference that could not be embedded, with the reason."""
    files_left_out: Mapping[str, str] = field(default_factory=dict)
    """Files of the folders given that are not scored, with the reason."""


def heading(system: str, guidance: float | None) -> str:
    """Format a system at a guidance scale: "pd w=1.5", or "reconstruction"."""
    return system if guidance is None else f"{system} w={guidance:g}"


def sampling_of(results: Results, row: ScoreRow) -> dict[str, Any]:
    """Return the fields of :data:`SAMPLING` of a row's sounds; None for sounds not made here."""
    made = "model" in results.settings and row.guidance is not None
    return {name: results.settings.get(name) if made else None for name in SAMPLING}


def details(results: Results, row: ScoreRow) -> dict[str, Any]:
    """Return a row as JSON holds it."""
    return {
        "system": row.system,
        "model": row.model,
        "guidance": row.guidance,
        **sampling_of(results, row),
        "scores": [{"label": score.label, **asdict(score)} for score in row.scores],
        "outliers": dict(row.outliers),
        "left_out": dict(row.left_out),
    }


def report_path(out: Path, stem: str, results: Results) -> Path:
    """Return the file of a report: OUT/STEM.json, unless one of other settings has that name.

    Then what differs and a digest of all settings are in the name, so that no report replaces one
    of other settings, and one of the same settings replaces itself.
    """
    path = out / f"{stem}.json"
    if not path.exists():
        return path
    settings = json.loads(json.dumps(dict(results.settings)))
    try:
        before = read_json(path, MAX_REPORT)["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        before = {}
    if before == settings:
        return path
    differ = {key for key in NAMED if settings.get(key) != before.get(key)}
    parts = [f"{NAMED[key]}{settings[key]}" for key in NAMED if key in differ and key in settings]
    end = digest(json.dumps(settings, sort_keys=True), 4)
    return out / f"{slug('-'.join([stem, *parts]), 100)}-{end}.json"


def write_json(results: Results, path: Path) -> None:
    """Write everything as :func:`save` does; files next to ``path`` are named relative to it."""

    def named(file: Path) -> str:
        inside = file.is_relative_to(path.parent)
        return str(file.relative_to(path.parent) if inside else file)

    content = {
        "format": FORMAT,
        "name": results.name,
        "settings": dict(results.settings),
        "rows": [details(results, row) for row in results.rows],
        "samples": [
            {
                "name": sample.name,
                "prompt": sample.prompt,
                "picture": sample.image and named(sample.image),
                "paths": {system: named(file) for system, file in sample.paths.items()},
            }
            for sample in results.samples
        ],
        "notes": list(results.notes),
        "label_checks": dict(results.label_checks),
        "left_out_of_reference": dict(results.left_out),
        "files_left_out": dict(results.files_left_out),
    }
    save(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_csv(
    results: Results,
    path: Path,
    more: Mapping[str, Callable[[ScoreRow, Score], object]] | None = None,
) -> None:
    """Write the scores as a table of :data:`COLUMNS` and ``more``, as :func:`save` does."""
    more = more or {}
    lines = []
    for row in results.rows:
        for score in row.scores:
            low, high = score.interval or (None, None)
            cells = asdict(score) | {
                "system": row.system,
                "model": row.model or results.settings.get("model"),
                "guidance": row.guidance,
                "metric": score.label,
                "low": low,
                "high": high,
                "notes": " ".join(score.notes),
                **sampling_of(results, row),
            }
            others = [value(row, score) for value in more.values()]
            lines.append([*(cells[column] for column in COLUMNS), *others])
    save(path, csv_text([[*COLUMNS, *more], *lines]))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def save(path: Path, content: str | bytes) -> None:
    """Write a file of a report, whole or not at all.

    Raises:
        ClipsonicError: The file cannot be written.
    """
    try:
        with written(path) as temporary:
            temporary.write_bytes(
                content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
            )
    except OSError as error:
        raise ClipsonicError(
            f"Cannot write '{path}': {error.strerror}; give another `output`."
        ) from error

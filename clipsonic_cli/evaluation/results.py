"""What an evaluation found, and the files it is kept in.

Knows: scores by system, samples to listen to, what a reader must know. Does not know: how they came
about (``run.py``), and how they are laid out (``tables.py``).
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import written
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.types import Score

FORMAT = "clipsonic-eval/1"
SAMPLING = ("sampler", "steps", "dtype")
"""Settings of a model's sounds, which every row of them repeats."""
COLUMNS = (
    *("system", "guidance", "metric", "value", "low", "high", "better", "n", "rows", "against"),
    *("backbone", "as_paper", "sample_rate", "seconds", "bias", "notes"),
    *SAMPLING,
)
"""Of ``report.csv``, a line a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The scores of one system at one guidance scale.

    Args:
        system: A mode, "reconstruction", or the name of a folder.
        guidance: The paper's w; None where nothing was guided.
        scores: In the order the metrics were asked for.
        outliers: The sounds farthest from the reference by themselves, and how far, as the first
            "fad" that was asked for has it; numbers for their order alone.
        left_out: Sounds that could not be heard, by name, and why; notes name a few.
    """

    system: str
    guidance: float | None = None
    scores: tuple[Score, ...] = ()
    outliers: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def score(self, metric: str) -> Score | None:
        """Gives the first score of a metric, whatever the backbone."""
        return next((score for score in self.scores if score.metric == metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One query, and the sounds made of it, to be heard side by side.

    Args:
        name: Of the sounds, as the scores know them.
        prompt: What it was in words; None where there are none.
        picture: What it was to the eye; None where there is none.
        paths: The sound of each system, by :func:`heading`; the clip's own sound is "truth".
    """

    name: str
    prompt: str | None = None
    picture: Path | None = None
    paths: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All of an evaluation.

    Args:
        name: Of what was evaluated.
        settings: All that decided the numbers, as JSON can hold it.
        rows: A row a system and guidance scale.
        samples: Some or all of the queries.
        notes: What is not as was asked, a line each; what concerns one score is in its own notes.
        left_out: Sounds of the reference that could not be heard, by name, and why.
        files_left_out: Files of the folders given that are not scored, with the reason.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[ScoreRow, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    files_left_out: Mapping[str, str] = field(default_factory=dict)


def heading(system: str, guidance: float | None) -> str:
    """Gives what a system at a guidance scale is called: "pd w=1.5", or "reconstruction"."""
    return system if guidance is None else f"{system} w={guidance:g}"


def sampling_of(results: Results, row: ScoreRow) -> dict[str, Any]:
    """Return the fields of :data:`SAMPLING` of a row's sounds; None for sounds not made here."""
    made = "model" in results.settings and row.guidance is not None
    return {name: results.settings.get(name) if made else None for name in SAMPLING}


def details(results: Results, row: ScoreRow) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return {
        "system": row.system,
        "guidance": row.guidance,
        **sampling_of(results, row),
        "scores": [{"label": score.label, **asdict(score)} for score in row.scores],
        "outliers": dict(row.outliers),
        "left_out": dict(row.left_out),
    }


def write_json(results: Results, path: Path) -> None:
    """Writes everything, whole or not at all.

    Args:
        results: What to write.
        path: Its folder must exist; what lies in it is named relative to it.

    Raises:
        ClipsonicError: The file cannot be written.
    """

    def named(file: Path) -> str:
        inside = file.is_relative_to(path.parent)
        return str(file.relative_to(path.parent) if inside else file)

    told = {
        "format": FORMAT,
        "name": results.name,
        "settings": dict(results.settings),
        "rows": [details(results, row) for row in results.rows],
        "samples": [
            {
                "name": sample.name,
                "prompt": sample.prompt,
                "picture": sample.picture and named(sample.picture),
                "paths": {system: named(file) for system, file in sample.paths.items()},
            }
            for sample in results.samples
        ],
        "notes": list(results.notes),
        "left_out_of_reference": dict(results.left_out),
        "files_left_out": dict(results.files_left_out),
    }
    save(path, json.dumps(told, indent=1, allow_nan=False) + "\n")


def write_csv(results: Results, path: Path) -> None:
    """Writes the scores as a table of :data:`COLUMNS`, whole or not at all.

    Raises:
        ClipsonicError: The file cannot be written.
    """
    lines = []
    for row in results.rows:
        for score in row.scores:
            low, high = score.interval or (None, None)
            cells = asdict(score) | {
                "system": row.system,
                "guidance": row.guidance,
                "metric": score.label,
                "low": low,
                "high": high,
                "notes": " ".join(score.notes),
                **sampling_of(results, row),
            }
            lines.append([cells[column] for column in COLUMNS])
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([COLUMNS, *lines])
    save(path, table.getvalue())


def save(path: Path, content: str | bytes) -> None:
    """Writes a file of a report, whole or not at all.

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
            f"Cannot write '{path}': {error.strerror}; give another `out`."
        ) from error

"""Mean opinion scores of a listening test as a table and files, next to the paper's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from clipsonic_cli.evaluation.results import Results, csv_text, heading, report_path, save
from clipsonic_cli.listening.ratings import LEAST_RATERS, QUESTIONS, SCALE, OpinionScore
from clipsonic_cli.report import html, page, paper
from clipsonic_cli.report.tables import NONE, PAPER, Table, without_blanks
from clipsonic_cli.types import Note

FORMAT = "clipsonic-mos/1"
STEM = "mos"
"""Name of the files, without their ends."""
DATASETS = (*paper.DATASETS, "ImageHear")
MODES = {heading(mode, paper.W): mode for mode in paper.TABLE_1}
"""The mode of a system in the paper; its listening tests state no w."""
MEAN = (
    "MOS is the mean of the raters' own means, so that each rater counts once; its 95 % interval "
    f"is over raters, within the scale of {SCALE[0]} to {SCALE[-1]}."
)


def opinion_table(scores: Sequence[OpinionScore], partial: Sequence[str] = ()) -> Table:
    """Build a table of mean opinion scores and those of the paper's tables 3 and 4.

    ``partial`` are the raters who did not rate every sound.
    """
    shown = list(scores)
    if any(score.system.split(" ")[0] == "iq" for score in scores):  # images, as in Table 4
        for name, question in product(paper.BASELINES, QUESTIONS):
            shown.append(OpinionScore(system=name, question=question, ratings=None, raters=None))
    rows = []
    for score in shown:
        theirs = paper_opinions(score)
        texts = ("{:.2f} ± {:.2f}".format(*theirs[d]) if d in theirs else NONE for d in DATASETS)
        rows.append((score.system, score.question, *_shown(score), *texts))
    notes = [Note(MEAN, rank=3)]
    if any(score.raters and score.interval is None for score in scores):
        notes.append(
            Note(f"no interval of MOS below {LEAST_RATERS} raters, as chance could be all")
        )
    if partial:
        notes.append(Note(f"not all sounds were rated by {', '.join(partial)}"))
    columns = ("system", "question", "MOS", "95 % interval", "raters", "ratings")
    table = Table(
        title=f"Listening test: mean opinion scores, {SCALE[0]} to {SCALE[-1]}",
        columns=(*columns, *(f"{PAPER}{data}" for data in DATASETS)),
        rows=tuple(sorted(rows, key=lambda row: QUESTIONS.index(row[1]))),
        notes=tuple(notes),
    )
    about = "The paper's are of 21 raters, of other sounds: tables 3 and 4."
    return without_blanks(table, Note(about, rank=3))


def paper_opinions(score: OpinionScore) -> Mapping[str, tuple[float, float]]:
    """Return the paper's own means with half their intervals, by data set."""
    name = MODES.get(score.system, score.system)
    if name == score.system and name in paper.TABLE_1:  # a folder
        return {}
    found = {data: paper.OPINIONS.get((name, data), {}).get(score.question) for data in DATASETS}
    return {data: pair for data, pair in found.items() if pair is not None}


def details(score: OpinionScore) -> dict[str, Any]:
    """Return a score as JSON holds it."""
    return {**asdict(score), "interval": score.interval, "paper": paper_opinions(score)}


def write_opinions(
    scores: Sequence[OpinionScore], table: Table, folder: Path, *, test: str
) -> list[Path]:
    """Write the table as a page, and the scores as JSON and CSV; return the paths.

    Files of another ``test``, by its id, stay: see
    :func:`~clipsonic_cli.evaluation.results.report_path`.

    Raises:
        ClipsonicError: A file cannot be written.
    """
    settings = {"test": test}
    path = report_path(folder, STEM, Results(name=test, settings=settings))
    content = {"format": FORMAT, "settings": settings, "scores": [*map(details, scores)]}
    content["notes"] = table.notes
    shown = html.text_table(table.title, table.columns, table.rows)
    scores_section = page.section("scores", "Mean opinion scores", shown)
    contents = {
        ".html": page.filled("Listening test", scores=scores_section, notes=table.notes),
        ".json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        ".csv": _csv(scores),
    }
    for suffix, text in contents.items():
        save(path.with_suffix(suffix), text)
    return [path.with_suffix(suffix) for suffix in contents]


def _csv(scores: Sequence[OpinionScore]) -> str:
    """Format scores as CSV, a line each."""
    theirs = [f"paper_{data}{end}" for data in DATASETS for end in ("", "_half_width")]
    columns = ["system", "question", "mos", "low", "high", "raters", "ratings", "mean_of_ratings"]
    lines: list[list[Any]] = [columns + [name.lower() for name in theirs]]
    for score in scores:
        raters, ratings = score.raters, score.ratings
        low, high = score.interval or (None, None)
        pairs = [paper_opinions(score).get(data, (None, None)) for data in DATASETS]
        lines.append(
            [
                *(score.system, score.question, raters and raters.value, low, high),
                *(raters.n if raters else 0, ratings.n if ratings else 0),
                ratings and ratings.value,
                *(number for pair in pairs for number in pair),
            ]
        )
    return csv_text(lines)


def _shown(score: OpinionScore) -> tuple[str, str, str, str]:
    """Format the mean of a score, its interval, and the numbers of raters and ratings."""
    if score.raters is None or score.ratings is None:
        return (NONE,) * 4
    interval = " to ".join(f"{end:.2f}" for end in score.interval or ()) or NONE
    return f"{score.raters.value:.2f}", interval, f"{score.raters.n}", f"{score.ratings.n}"

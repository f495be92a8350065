"""What ``clipsonic eval`` writes and prints in the end: reports, listening tests, ratings."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipsonic_cli.cli.console import Console
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import counted
from clipsonic_cli.types import Note

if TYPE_CHECKING:
    from clipsonic_cli.evaluation.evaluate import Preview
    from clipsonic_cli.evaluation.results import Results
    from clipsonic_cli.report.tables import Table

LINES = 3
"""Most notes below a table."""
LENGTH = 150
"""Most characters of each: two lines of a terminal."""


def write_report(
    results: "Results", out: Path, table: int | None, figure: int | None, console: Console
) -> None:
    """Write the reports of an evaluation, and print its scores."""
    from clipsonic_cli.evaluation.results import details, report_path, write_csv, write_json
    from clipsonic_cli.report import paper
    from clipsonic_cli.report.notes import general_notes
    from clipsonic_cli.report.page import write_html
    from clipsonic_cli.report.tables import table_of

    # Write the files.
    stem = "report" if table is None else f"table-{table}"
    stem = stem if figure is None else f"figure-{figure}"
    kind = "Evaluation" if stem == "report" else stem.replace("-", " ").capitalize()
    title = f"{kind} of {results.name}"
    path = report_path(out, stem, results)
    if path.stem != stem:
        console.note(
            f"note: written to {path} instead of {out / stem}.json, which has other settings"
        )
    write_json(replace(results, notes=(*results.notes, *general_notes(results))), path)
    write_csv(results, path.with_suffix(".csv"), paper.columns(results))
    page = write_html(
        results, path.with_suffix(".html"), title=title, figure=_draw_figure(results, console)
    )
    # Print the scores.
    if console.as_json:
        for row in results.rows:
            console.result("", details(results, row))
    else:
        unsaid = sum(note.rank == 3 for note in map(Note, results.notes))
        print_table(table_of(results, table), console, f"in the report: {page}", unsaid)
    console.note(f"report: {page}, {path}, {path.with_suffix('.csv')}")
    if figure is not None:
        from clipsonic_cli.report.figure import write_figures

        console.note(f"figure: {', '.join(map(str, write_figures(results, path)))}")


def print_preview(preview: "Preview", console: Console) -> None:
    """Print what an evaluation would do."""
    work = preview.work
    lines = [str(work), f"systems: {', '.join(work.systems) or 'none'}"]
    lines.append(f"metrics: {', '.join(preview.metrics) or 'none'}")
    if preview.missing:
        names = " ".join(preview.missing)
        lines.append(f"not on this machine: {names} (clipsonic download {names})")
    for note in preview.notes:
        print_note(console, Note(note))
    details = asdict(preview) | {"work": asdict(work) | {"to_make": work.sounds - work.there}}
    console.result("\n".join(lines), details)
    console.note("nothing was made or written")


def _draw_figure(results: "Results", console: Console) -> str | None:
    """Draw Figure 3 if there are several w to draw it over."""
    if len({row.guidance for row in results.rows if row.guidance is not None}) < 2:
        return None
    from clipsonic_cli.report.figure import figure_3

    try:
        return figure_3(results).decode()
    except UsageError as error:  # matplotlib is not installed
        console.note(f"no Figure 3 in the report: {error}")
        return None


def print_note(console: Console, note: Note) -> None:
    """Print the short form of a note as soon as it is known, unless it is a detail."""
    if note.rank < 3:
        console.note(f"note: {note.brief}")


def print_table(table: "Table", console: Console, others: str, more: int = 0) -> None:
    """Print a table as result, and the most important of its notes as messages.

    ``others`` is where all notes and columns are; ``more`` is the number of notes that are only
    there.
    """
    from clipsonic_cli.report.tables import DETAILS, WORDS

    columns = console.table(table.title, table.columns, table.rows, words=WORDS, details=DETAILS)
    ranked = sorted((note for note in table.notes if note.rank < 3), key=lambda note: note.rank)
    shown = list(dict.fromkeys(note.brief for note in ranked))[:LINES]
    for brief in shown:
        console.note(f"note: {brief if len(brief) <= LENGTH else f'{brief[: LENGTH - 3]}...'}")
    more += len(table.notes) - len(shown)
    rest = [counted(more, "more note")] if more else []
    rest += [f"the column{'s' * (len(columns) > 1)} {', '.join(columns)}"] if columns else []
    if rest:
        console.note(f"note: {' and '.join(rest)} {others}")


def write_listening(
    results: "Results", folder: Path, count: int, seed: int, console: Console
) -> None:
    """Write a listening test of the sounds of an evaluation."""
    from clipsonic_cli.listening.page import key_of, write_listening_test
    from clipsonic_cli.listening.trials import trials_of

    with console.bars() as bars:
        page = write_listening_test(trials_of(results, count), folder, seed=seed, report=bars)
    key = key_of(folder)
    console.note(f"for raters: {page}; keep to yourself: {key}")
    console.note(f"to read their answers: clipsonic eval --ratings *.json --key {key}")
    console.result(str(page), {"page": str(page), "key": str(key)})


def print_ratings(
    ratings: Sequence[Path] | None, key: Path | None, output: Path | None, console: Console
) -> None:
    """Print the mean opinion scores of what raters sent back, and write them into a folder."""
    if not ratings:
        raise UsageError("--key opens the files of --ratings; give both.")
    if key is None:
        raise UsageError("Give --key too, the file that was written with the page.")

    from clipsonic_cli.evaluation.evaluate import held
    from clipsonic_cli.listening.opinions import details, opinion_table, write_opinions
    from clipsonic_cli.listening.ratings import mean_opinion_scores, read_ratings

    # "*.json" matches the key, too, if it is in the folder of the ratings.
    answers = read_ratings([path for path in ratings if path.resolve() != key.resolve()], key)
    scores = mean_opinion_scores(answers)
    table = opinion_table(scores, answers.partial)
    written = []
    if output is not None:
        with held(output):
            written = write_opinions(scores, table, output, test=answers.test)
    if console.as_json:
        for score in scores:
            console.result("", details(score))
    else:
        others = f"in the report: {written[0]}" if written else "in a report: give --output DIR"
        print_table(table, console, others)
    if written:
        console.note(f"report: {', '.join(map(str, written))}")

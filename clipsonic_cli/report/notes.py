"""What people must know of results: every note in full, with a short form and its importance."""

from collections.abc import Iterator

from clipsonic_cli.evaluation.results import Results, heading
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.text import counted, first
from clipsonic_cli.types import Note

INTERVAL = (
    "95 % confidence intervals are of the mean over sounds; those of distances are for this number "
    "of sounds."
)
BIAS = (
    "Bias is about how far two draws of as many sounds from one distribution would be from each "
    "other by their number alone. Sounds made from the clips they are compared with share their "
    "kinds, and can be nearer."
)


def notes_of(results: Results) -> list[Note]:
    """Return what a reader must know of the scores, besides the notes of the evaluation itself."""
    return [*general_notes(results), *_score_notes(results)]


def general_notes(results: Results) -> Iterator[Note]:
    """Yield notes on all scores: how they were made, and what they can be compared with."""
    if odd := differences(results):
        others = f", and {len(odd) - 1} more differences" if len(odd) > 2 else ""
        brief = "; ".join(odd[: 1 if others else 2]) + others
        hint = " (`preset` paper samples as it did)" if " of ddpm" in odd[0] else ""
        brief = f"not as in the paper: {brief}{hint}"
        yield Note(f"Not as in the paper: {'; '.join(odd)}.", brief, 1)
    for name, title in (("reference", "Compared with"), ("prompt", "Prompts")):
        if results.settings.get(name) is not None:
            yield Note(f"{title}: {results.settings[name]}", rank=3)
    if (sampling := sampling_note(results)) is not None:
        yield Note(sampling, rank=3)
    scores = [score for row in results.rows for score in row.scores]
    if any(score.interval is not None for score in scores):
        yield Note(INTERVAL, rank=3)
    if any(score.bias is not None for score in scores):
        yield Note(BIAS, rank=3)
    yield from one_window(results)


def one_window(results: Results) -> Iterator[Note]:
    """Yield a note on systems whose sounds all have one window of 4 s at a hop of 0.5 s."""
    names = []
    for row in results.rows:
        short = [score for score in row.scores if (score.seconds or 0.0) < 4.5]
        highest, lowest = (
            [score.value for score in short if score.metric == f"clap-windows-{end}"]
            for end in ("max", "min")
        )
        if highest and highest == lowest:
            names.append(heading(row.system, row.guidance))
    if names:
        yield Note(
            f"No sound of {', '.join(names)} has room for a second window of 4 s: max, mean and "
            "min are the same, and tell nothing. The paper's are of 10 s.",
            "sounds too short for a second window of 4 s: max, mean and min are the same",
            1,
        )


def _score_notes(results: Results) -> Iterator[Note]:
    """Yield each note of scores once, with the first of them; in short, with their metrics."""
    places: dict[Note, list[str]] = {}
    labels: dict[str, dict[str, None]] = {}
    for row in results.rows:
        for score in row.scores:
            for note in map(Note, score.notes):
                places.setdefault(note, []).append(f"{score.label} of {row.system}")
                labels.setdefault(note.brief, {})[score.label] = None
    for note, (example, *others) in places.items():
        more = f" and {counted(len(others), 'more score')}" if others else ""
        shown = first(list(labels[note.brief]))
        yield Note(f"{example}{more}: {note}", f"{shown}: {note.brief}", note.rank)

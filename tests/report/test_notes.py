"""Notes: all of them in reports, the most important in short on a terminal."""

import copy
import json
from dataclasses import asdict

import pytest
from test_sampling import PAPER, QUICK, results
from test_tables import score

from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.eval.show import LENGTH, LINES, print_note, print_table
from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report.notes import notes_of
from clipsonic_cli.report.tables import Table
from clipsonic_cli.types import Note

FEW = Note("3 windows of 8.", "too few sounds; give 9 or more", 1)


def scored(**notes):
    """Results of systems, each with notes on its FAD and FAD-infinity."""
    rows = tuple(
        ScoreRow(
            system=system,
            scores=tuple(score(m, 1.0, notes=some) for m in ("fad", "fad-infinity")),
        )
        for system, some in notes.items()
    )
    return Results(name="x", rows=rows)


def test_a_note_is_a_text_that_keeps_its_short_form():
    assert (FEW, json.dumps(FEW)) == ("3 windows of 8.", '"3 windows of 8."')
    assert (Note("plain").brief, Note("plain").rank) == ("plain", 2)
    assert Note(FEW) is FEW
    held = asdict(score("fad", 1.0, notes=(FEW,)))["notes"][0]
    assert (held.brief, held.rank, copy.copy(FEW).rank) == (FEW.brief, 1, 1)
    changed = FEW.changed(str.upper)
    assert (changed, changed.brief, changed.rank) == ("3 WINDOWS OF 8.", FEW.brief.upper(), 1)


def test_a_note_of_many_scores_is_one_and_names_their_metrics_in_short():
    other = Note("4 windows of 8.", FEW.brief, 1)
    found = notes_of(scored(pd=(FEW,), zs=(FEW,), sd=(other,)))
    assert found == [
        "fad of pd and 3 more scores: 3 windows of 8.",
        "fad of sd and 1 more score: 4 windows of 8.",
    ]
    assert {note.brief for note in found} == {"fad, fad-infinity: too few sounds; give 9 or more"}


def test_what_differs_from_the_paper_is_of_the_first_rank_and_short():
    assert not any(note.rank == 1 for note in notes_of(results(**PAPER)))
    first = notes_of(results(4.1, **QUICK))[0]
    assert (first.rank, first.brief) == (
        1,
        "not as in the paper: 25 steps of dpmpp instead of 1000 of ddpm, and 2 more differences "
        "(`preset` paper samples as it did)",
    )
    assert "reconstructions of 4.1 s instead of 10" in first


THIRD = "third" + "d" * 400
NOTES = (
    Note("A detail.", rank=3),
    Note("b" * 500, "second", 2),
    Note("c" * 500, "first", 1),
    Note("other words, same in short", "first", 1),
    Note("d" * 500, THIRD, 2),
    Note("e" * 500, "fourth", 2),
)


@pytest.mark.parametrize("count", range(len(NOTES) + 1))
def test_a_terminal_has_a_few_lines_and_where_the_others_are(capsys, count):
    table = Table(title="", columns=("a",), rows=(("1",),), notes=NOTES[:count])
    print_table(table, Console(quiet=False), "in the report: here", more=2)
    lines = [line.removeprefix("note: ") for line in capsys.readouterr().err.splitlines()]
    briefs = {note.brief for note in NOTES[:count]}
    shown = [text for text in ("first", "second", THIRD) if text in briefs]
    assert [line[:9] for line in lines[:-1]] == [text[:9] for text in shown]
    assert lines[-1] == f"{count + 2 - len(shown)} more notes in the report: here"
    assert max(map(len, lines)) <= LENGTH
    assert len(shown) <= LINES


def test_nothing_more_is_said_where_nothing_is_left_out(capsys):
    print_table(Table(title="", columns=("a",), rows=(("1",),)), Console(quiet=False), "there")
    assert capsys.readouterr() == ("a\n1\n", "")


def test_details_are_not_printed_while_work_goes_on(capsys):
    for note in NOTES[:2]:
        print_note(Console(quiet=False), note)
    assert capsys.readouterr().err == "note: second\n"

"""Mean opinion scores as a table and as files, next to the paper's."""

import csv
import json
import re

import pytest

from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.eval.show import print_table
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.listening.opinions import opinion_table, write_opinions
from clipsonic_cli.listening.ratings import Mean, OpinionScore

QUESTIONS = ("fidelity", "relevance")


def rated(*systems, raters=3, half_width=0.5):
    return [
        OpinionScore(
            system=system,
            question=question,
            ratings=Mean(n=6, value=2.5, half_width=0.25),
            raters=Mean(n=raters, value=3.0, half_width=half_width if raters > 2 else None),
        )
        for system in systems
        for question in QUESTIONS
    ]


def cells(table, row):
    return dict(zip(table.columns, table.rows[row], strict=True))


def test_opinions_stand_next_to_those_of_the_same_mode_at_its_w():
    table = opinion_table(rated("pd w=1.5", "pd"))
    assert [row[1] for row in table.rows] == ["fidelity", "fidelity", "relevance", "relevance"]
    row = cells(table, 0)
    assert [row[name] for name in ("MOS", "95 % interval", "raters", "ratings")] == [
        *("3.00", "2.50 to 3.50"),
        *("3", "6"),
    ]
    assert row["paper: VGGSound"] == "3.04 ± 0.20"
    assert cells(table, 1)["paper: VGGSound"] == "-"  # a folder
    assert "paper: ImageHear" not in table.columns


def test_other_authors_systems_stand_below_a_listening_test_of_images():
    table = opinion_table(rated("iq w=1.5"))
    result = {(row[0], row[1]): row[-1] for row in table.rows}
    assert result == {
        ("iq w=1.5", "fidelity"): "3.29 ± 0.16",
        ("SpecVQGAN", "fidelity"): "2.15 ± 0.17",
        ("IM2WAV", "fidelity"): "2.19 ± 0.15",
        ("iq w=1.5", "relevance"): "3.80 ± 0.19",
        ("SpecVQGAN", "relevance"): "2.54 ± 0.23",
        ("IM2WAV", "relevance"): "3.90 ± 0.22",
    }
    assert cells(table, 1)["MOS"] == "-"
    assert not any("IM2WAV" in row for row in opinion_table(rated("pd w=1.5")).rows)


@pytest.mark.parametrize(("raters", "shown"), [(2, "-"), (3, "2.50 to 3.50")])
def test_an_interval_that_is_missing_is_explained(raters, shown):
    table = opinion_table(rated("pd w=1.5", raters=raters), partial=("Ann",))
    assert cells(table, 0)["95 % interval"] == shown
    assert any("below 3 raters" in note for note in table.notes) == (shown == "-")
    assert any("not all sounds were rated by Ann" in note for note in table.notes)


def test_no_number_is_folded_on_a_narrow_terminal(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    systems = ("zs w=1.5", "pd w=1.5", "sd w=1.5", "reconstruction", "truth")
    print_table(opinion_table(rated(*systems)), Console(quiet=True), "there")
    lines = re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("2.50 to 3.50" in line for line in lines) == 10
    assert any("pd w=1.5" in line and "3.04 ± 0.20" in line for line in lines)


def test_files_have_every_number(tmp_path):
    scores = [*rated("pd w=1.5"), *rated("a <b>", raters=2)]
    scores.append(OpinionScore(system="none", question="fidelity", ratings=None, raters=None))
    page, data, lines = write_opinions(scores, opinion_table(scores), tmp_path, test="t1")
    with lines.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = [rows[0][name] for name in ("system", "question", "mos", "low", "high", "raters")]
    assert first == ["pd w=1.5", "fidelity", "3.0", "2.5", "3.5", "3"]
    assert (rows[0]["paper_vggsound"], rows[0]["paper_vggsound_half_width"]) == ("3.04", "0.2")
    assert (rows[2]["low"], rows[4]["mos"], rows[4]["raters"]) == ("", "", "0")
    read = json.loads(data.read_text("utf-8"))
    assert read["format"] == "clipsonic-mos/1"
    assert read["scores"][0]["interval"] == [2.5, 3.5]
    assert read["scores"][0]["paper"]["MUSIC"] == [3.67, 0.18]
    text = page.read_text("utf-8")
    assert "<h1>Listening test</h1>" in text
    assert "a &lt;b&gt;" in text
    assert all(
        note in text for note in ("below 3 raters", "of 21 raters", "each rater counts once")
    )


def test_files_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(ClipsonicError, match="give another `output`"):
        write_opinions(rated("pd"), opinion_table(rated("pd")), tmp_path / "no", test="t1")


def test_scores_of_another_test_stay_and_those_of_the_same_are_replaced(tmp_path):
    def write(system, test):
        return write_opinions(rated(system), opinion_table(rated(system)), tmp_path, test=test)

    first, other, again = write("pd", "t1"), write("zs", "t2"), write("sd", "t1")
    assert (first == again, len(set(first + other))) == (True, 6)
    kept = [
        json.loads(paths[1].read_text("utf-8"))["scores"][0]["system"] for paths in (first, other)
    ]
    assert kept == ["sd", "zs"]

"""Every report says how its sounds were made, and in what that differs from the paper's."""

import csv
import json
import re
from dataclasses import replace

import pytest
from test_tables import score

from clipsonic_cli.evaluation.results import Results, ScoreRow, details, write_csv, write_json
from clipsonic_cli.report.figure import figure_3
from clipsonic_cli.report.page import write_html
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.report.tables import table_of

SETTINGS = {"model": "mine", "vocoder": "bigvgan", "seconds": 4.0}
PAPER = {"sampler": "ddpm", "steps": 1000, "student": False, "dtype": "float32"}
QUICK = {"sampler": "dpmpp", "steps": 25, "student": False, "dtype": "bfloat16"}


def results(seconds=10.0, **settings):
    fad = score("fad", 3.5)
    return Results(
        name="mine",
        rows=(
            ScoreRow(system="pd", guidance=1.0, scores=(replace(fad, value=2.9),)),
            ScoreRow(system="pd", guidance=1.5, scores=(fad,)),
            ScoreRow(system="reconstruction", scores=(replace(fad, seconds=seconds),)),
        ),
        settings=SETTINGS | settings,
    )


def test_the_papers_sampling_differs_in_nothing():
    assert differences(results(**PAPER)) == []
    assert differences(results(9.984, **PAPER)) == []  # a clip of "10 s"
    assert sampling_note(results(**PAPER)) == (
        "Sounds made by ddpm in 1,000 steps, float32, 4 s each; reconstructions of 10 s; "
        "vocoder bigvgan."
    )


def test_each_difference_is_named():
    odd = results(4.1, **QUICK | {"vocoder": "griffin-lim"})
    few = replace(odd.rows[0], scores=(replace(odd.rows[0].scores[0], n=300, seconds=2.0),))
    assert differences(replace(odd, rows=(few, *odd.rows[1:]))) == [
        "25 steps of dpmpp instead of 1000 of ddpm",
        "bfloat16 instead of float32",
        "sounds of 2 s instead of 4",
        "reconstructions of 4.1 s instead of 10",
        "griffin-lim instead of BigVGAN",
        "300 sounds instead of 512",
    ]


def test_a_table_says_what_concerns_its_rows_alone():
    rebuilt = replace(results(4.1, **QUICK), rows=results(4.1).rows[-1:])
    assert differences(rebuilt) == ["reconstructions of 4.1 s instead of 10"]
    assert sampling_note(rebuilt) == "Reconstructions of 4.1 s; vocoder bigvgan."
    similar = ScoreRow(
        system="pd", scores=(score("similarity", 0.6, better="higher", seconds=None),)
    )
    vectors = replace(results(**QUICK), rows=(similar,))
    assert (differences(vectors), sampling_note(vectors)) == ([], None)


def test_a_guidance_rule_of_its_own_is_stated():
    limited = results(guidance_rule="interval", **PAPER)
    assert "guidance by the rule 'interval'" in sampling_note(limited)
    assert differences(limited) == ["guidance by the rule 'interval'"]
    assert differences(results(guidance_rule="constant", **PAPER)) == []


def test_nothing_is_said_of_folders_whose_sounds_may_each_be_made_differently():
    folders = replace(results(), settings={"generated": ["a/pd"]})
    assert (differences(folders), sampling_note(folders)) == ([], None)


@pytest.mark.parametrize("number", [None, 1])
def test_a_table_says_how_its_sounds_were_made(number):
    notes = " ".join(table_of(results(4.1, **QUICK), number).notes)
    assert "Sounds made by dpmpp in 25 steps, bfloat16, 4 s each; reconstructions of 4.1 s" in notes
    text = "Not as in the paper: 25 steps of dpmpp instead of 1000 of ddpm; bfloat16 instead of"
    assert text in notes
    assert "Not as in the paper" not in " ".join(table_of(results(**PAPER), 1).notes)


def test_the_page_says_how_its_sounds_were_made(tmp_path):
    page = write_html(results(4.1, **QUICK), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Sounds made by dpmpp in 25 steps, bfloat16, 4 s each" in page
    assert "Not as in the paper: 25 steps of dpmpp instead of 1000 of ddpm" in page


def test_the_figure_says_how_its_sounds_were_made():
    pytest.importorskip("matplotlib")
    lines = re.findall(r"<text[^>]*>([^<]*)</text>", figure_3(results(4.1, **QUICK)).decode())
    text = " ".join(line.strip() for line in lines)
    assert "Sounds made by dpmpp in 25 steps, bfloat16, 4 s each; reconstructions of 4.1 s" in text
    assert "not as in the paper: 25 steps of dpmpp instead of 1000 of ddpm" in text


def test_csv_and_json_say_it_with_every_row(tmp_path):
    found = results(**QUICK)
    write_csv(found, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    report = [(line["sampler"], line["steps"], line["dtype"]) for line in lines]
    assert report == [("dpmpp", "25", "bfloat16")] * 2 + [("", "", "")]
    write_json(found, tmp_path / "report.json")
    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["rows"]
    assert [row["steps"] for row in rows] == [25, 25, None]
    assert details(found, found.rows[0])["sampler"] == "dpmpp"


def test_sounds_of_a_student_are_said_to_be():
    instant = {**QUICK, "sampler": "ddim", "steps": 4, "student": True}
    assert "made by the student by ddim in 4 steps" in sampling_note(results(**instant))
    assert "4 steps of the student by ddim instead of 1000 of ddpm" in differences(
        results(**instant)
    )
    found = results(**instant)
    assert details(found, found.rows[0])["student"] is True

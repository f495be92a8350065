import csv
import re
import shlex

import pytest
import tables

from clipsonic_cli.cli.eval.options import TABLES
from clipsonic_cli.evaluation.results import COLUMNS


def test_a_table_has_its_command_and_every_score(tmp_path):
    scores = tmp_path / "table-2.csv"
    with scores.open("w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, restval="")
        rows.writeheader()
        rows.writerow({"system": "pd", "guidance": 1.5, "metric": "fad[mini]", "value": 0.12345})
        rows.writerow({"system": "zs", "metric": "x", "value": 1, "low": 0.5, "high": 2, "n": 3})
    assert tables.section("table-2", ["clipsonic", "--output", "a b"], scores).splitlines() == [
        "## Table 2",
        "",
        "    clipsonic --output 'a b'",
        "",
        "| system | w | score | value | 95 % interval | sounds | s each |",
        "|---|---|---|---|---|---|---|",
        "| pd | 1.5 | fad[mini] | 0.123 | - |  | - |",
        "| zs | - | x | 1.000 | 0.500 to 2.000 | 3 | - |",
    ]


def test_every_table_of_scores_is_requested_but_for_windows_longer_than_the_clips():
    assert {f"table-{number}" for number in TABLES} | {"figure-3"} == {*tables.REPORTS, "table-5"}


def test_a_page_is_read_as_the_sections_it_is_made_of():
    sections = {"table-1": "## Table 1\n\n| a |\n", "figure-3": "## Figure 3\n\n| b |\n"}
    assert tables.read_sections("\n".join(sections.values())) == sections
    assert tables.read_sections("") == {}


@pytest.mark.parametrize("name", tables.REPORTS)
def test_the_page_says_what_the_scores_next_to_it_say(name):
    page = (tables.RESULTS / "tables.md").read_text(encoding="utf-8")
    commands = {line for line in page.splitlines() if re.match(r" {4}clipsonic eval ", line)}
    (command,) = (line for line in commands if shlex.join(tables.REPORTS[name]) in line)
    assert tables.section(name, shlex.split(command), tables.RESULTS / f"{name}.csv") in page

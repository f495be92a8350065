"""The changelog keeps the form of Keep a Changelog and knows the released version."""

import re
from pathlib import Path

from clipsonic_cli import __version__

CHANGELOG = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
HEADINGS = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)


def test_unreleased_comes_first_and_every_release_has_a_date():
    assert HEADINGS[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in HEADINGS[1:])


def test_the_version_has_a_section():
    assert HEADINGS[1].startswith(f"[{__version__}] - ")


def test_sections_are_those_of_keep_a_changelog():
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

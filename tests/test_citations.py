"""Everything of the paper that code and documents cite exists in it (Dong et al. 2023)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXISTING = {
    "section": {"1", "2", "3", "4", "4.1", "4.2", "5", "6"},
    "appendix": {"A", "B"},
    "table": {"1", "2", "3", "4", "5"},
    "figure": {"1", "2", "3"},
    "footnote": {"1", "2", "3", "4"},
    "eq": set(),  # the paper numbers no equation
}
PARAGRAPHS = {
    "Data",
    "Baseline models",
    "Implementation details",
    "Evaluation metrics",
    "Subjective test",
}
"""Run-in headings of section 3."""

NUMBER = r"(?:\d+(?:\.\d+)*|[A-H]|I{1,3}-[A-Z])\b"
PLACE = (
    rf"(?:sections?|appendix|tables?|figures?|footnotes?|eqs?\.|algorithm) {NUMBER}"
    rf"(?:(?:, | and | or | to ){NUMBER})*"
)
FOREIGN = re.compile(
    rf"(?:\d{{4}}|Transformer|AudioSet)\)?(?: \([^()]*\))?,? (?:{PLACE}(?:(?:,| and) )?)+", re.I
)
"""Places in other works, which are cited as "Song et al. 2021 (DDIM), eqs. 12 and 16"."""
FILES = sorted(
    path
    for folder in ("clipsonic_cli", "tests", "recipes", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md", ".html", ".js")
    and path.name not in ("LICENSE-WEIGHTS.md", Path(__file__).name)
)
FILES += [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "pyproject.toml"]


def cited(text: str) -> list[tuple[str, str]]:
    """Return what a text cites of the paper: kind and number."""
    text = re.sub(r"\s*\n[\s#>*|]*", " ", text)
    own = FOREIGN.sub(" ", text)
    found = []
    for place in re.findall(PLACE, own, re.I):
        kind = re.match("[a-z]+", place.lower())[0].removesuffix("s")
        found += [(kind, number) for number in re.findall(NUMBER, place.partition(" ")[2])]
    return found


def test_what_is_cited_of_the_paper_exists():
    missing = {}
    for path in FILES:
        places = cited(path.read_text(encoding="utf-8"))
        if wrong := [(kind, n) for kind, n in places if n not in EXISTING.get(kind, set())]:
            missing[str(path.relative_to(ROOT))] = wrong
    assert not missing


def test_paragraphs_cited_of_section_3_exist():
    text = " ".join(path.read_text(encoding="utf-8") for path in FILES)
    cited = set(re.findall(r'CLIPSonic section 3, "([^"]+)"', re.sub(r"\s+", " ", text)))
    assert cited
    assert cited <= PARAGRAPHS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Source: CLIPSonic section 3.1 and 3.2.", [("section", "3.1"), ("section", "3.2")]),
        ("CLIPSonic\n    section 4.1 and Table 2", [("section", "4.1"), ("table", "2")]),
        ("tables 3 and 4, Figure 7", [("table", "3"), ("table", "4"), ("figure", "7")]),
        ("Song et al. 2021 (DDIM), eqs. 12 and 16; CLIPSonic appendix C", [("appendix", "C")]),
        ("Nichol & Dhariwal 2021, section 2 and appendix A; section 3", [("section", "3")]),
        ("the tables of both", []),
    ],
)
def test_citations_are_found(text, found):
    assert cited(text) == found

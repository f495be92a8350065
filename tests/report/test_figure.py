import io
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from example_results import HOSTILE, WS, results, score
from PIL import Image

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.modes import MODES
from clipsonic_cli.report.figure import COLOURS, figure_3

matplotlib = pytest.importorskip("matplotlib")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(found: Results, *metrics: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure_3(found, metrics or ("fad", "clap")))


def curves(svg: ElementTree.Element) -> dict[str, str]:
    """Gives what each line says, by its id."""
    groups = (g for g in svg.iter(f"{SVG}g") if g.get("id", "").startswith("curve-"))
    return {
        g.get("id"): g.find(f"{SVG}title").text for g in sorted(groups, key=lambda g: g.get("id"))
    }


def test_each_panel_has_one_line_a_system_with_its_numbers():
    assert list(curves(drawn(results())).values()) == [
        "zs: 3.143 at w=1, 3.214 at w=1.5, 3.429 at w=3",
        "pd: 2.643 at w=1, 2.714 at w=1.5, 2.929 at w=3",
        "reconstruction: 0.6",
        "zs: 0.1733 at w=1, 0.19 at w=1.5, 0.24 at w=3",
        "pd: 0.1833 at w=1, 0.2 at w=1.5, 0.25 at w=3",
        "reconstruction: 0.21",
    ]


def test_points_lie_where_their_numbers_are():
    svg = drawn(results(), "fad")
    (pd,) = (g for g in svg.iter(f"{SVG}g") if g.get("id") == "curve-1-2")
    places = [(float(use.get("x")), float(use.get("y"))) for use in pd.iter(f"{SVG}use")]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert (x2 - x1) / (x3 - x1) == pytest.approx((WS[1] - WS[0]) / (WS[2] - WS[0]), rel=1e-4)
    assert (y2 - y1) / (y3 - y1) == pytest.approx(0.25, rel=1e-3)
    assert y3 < y1  # upwards is more


def test_axes_say_which_way_is_better_and_which_backbone_was_used():
    words = {text.text for text in drawn(results()).iter(f"{SVG}text")}
    assert {"fad[mini]   ↓ lower is better", "clap[mini]   ↑ higher is better"} <= words
    assert "guidance w" in words


def test_systems_differ_without_colour():
    svg = drawn(results(), "fad")
    groups = [g for g in svg.iter(f"{SVG}g") if g.get("id", "").startswith("curve-")]
    strokes = [g.find(f"{SVG}path").get("stroke-dasharray") for g in groups]
    markers = [m.get("d") for g in groups for m in g.findall(f"{SVG}defs/{SVG}path")]
    assert len(set(strokes)) == 3
    assert len(set(markers)) == 2


def looks(systems) -> dict[str, tuple]:
    """Gives colour, stroke and marker of each system's line."""
    rows = [
        ScoreRow(system=system, guidance=1.0, scores=(score("fad", 1.0),)) for system in systems
    ]
    rows.append(ScoreRow(system="reconstruction", scores=(score("fad", 0.5),)))
    svg = drawn(Results(name="x", rows=tuple(rows)), "fad")
    found = {}
    for g in (g for g in svg.iter(f"{SVG}g") if g.get("id", "").startswith("curve-")):
        line, marker = g.find(f"{SVG}path"), g.find(f"{SVG}defs/{SVG}path")
        look = (line.get("stroke"), line.get("stroke-dasharray"))
        shape = None if marker is None else marker.get("d")
        found[g.find(f"{SVG}title").text.partition(":")[0]] = (*look, shape)
    return found


def test_a_mode_looks_the_same_whichever_others_are_there():
    every = looks([*MODES, "theirs"])
    for part in zip(*(every[mode] for mode in MODES), strict=True):
        assert len(set(part)) == len(MODES)  # each alone tells them apart
    for some in (["pd"], ["sd", "iq"], ["theirs", "clap-tta"]):
        assert looks(some).items() <= every.items()


def words(found: Results) -> str:
    return "|".join(text.text for text in drawn(found).iter(f"{SVG}text"))


def test_intervals_are_explained_where_there_are_any():
    (first, *scores), *others = (row.scores for row in results().rows)
    known = [replace(first, interval=None), *scores], *others
    plain = [[replace(score, interval=None) for score in some] for some in known]
    for some, said in ((known, True), (plain, False)):
        pairs = zip(results().rows, some, strict=True)
        rows = tuple(replace(row, scores=tuple(scores)) for row, scores in pairs)
        assert ("95 % intervals" in words(replace(results(), rows=rows))) is said


def test_what_is_said_below_fits_below_one_panel():
    texts = [text.text for text in drawn(results(paper=True), "fad").iter(f"{SVG}text")]
    below = [text for text in texts if len(text) > 30]
    assert "faint: the paper's own where they fit" in " ".join(below)
    assert max(map(len, below)) * 0.065 < 4.2  # inches a letter, and of the panel


def test_the_number_of_sounds_stands_on_the_figure():
    first, *others = results().rows
    fewer = replace(first, scores=tuple(replace(score, n=7) for score in first.scores))
    assert "n = 16 sounds;" in words(results())
    assert "n = 7 to 16 sounds;" in words(replace(results(), rows=(fewer, *others)))


def test_colours_stand_out_on_a_light_and_on_a_dark_page():
    for colour in COLOURS:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = sum(c * k for c, k in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
        dark = 0.0143  # of #1b2027, the page's
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / (dark + 0.05) >= 3


def test_the_papers_numbers_are_next_to_its_own_networks_scores_alone():
    own, other = (
        {text.text for text in drawn(results(paper=paper)).iter(f"{SVG}text")}
        for paper in (True, False)
    )
    assert "V" in own
    assert any("the paper's own" in text for text in own)
    assert "V" not in other
    assert not any("the paper's own" in text for text in other)


def test_the_same_results_give_the_same_bytes_and_settings_stay():
    before = dict(matplotlib.rcParams)
    for suffix in (".svg", ".png"):
        one, same = (figure_3(results(), ["fad"], suffix=suffix) for _ in range(2))
        assert one == same
    assert dict(matplotlib.rcParams) == before


def test_a_persons_own_settings_change_nothing():
    plain = figure_3(results(), ["fad"])
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        assert figure_3(results(), ["fad"]) == plain


def test_a_page_with_a_strict_policy_can_hold_it():
    svg = drawn(results())
    assert not any("style" in element.attrib or "}style" in element.tag for element in svg.iter())
    assert not any(element.tag.endswith(("metadata", "script")) for element in svg.iter())


def test_a_png_is_a_image():
    with Image.open(io.BytesIO(figure_3(results(), ["fad", "clap"], suffix=".png"))) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 500


@pytest.mark.parametrize("name", [HOSTILE, "$x^", "_hidden", "a\x01b", "half \udce4"])
def test_any_name_can_be_drawn(name):
    row = ScoreRow(system=name, guidance=1.0, scores=(score("fad", 1.0),))
    shown = name.replace("\x01", "�").replace("\udce4", "�").replace("\u2028", "�")
    svg = drawn(replace(results(), rows=(row,)), "fad")
    assert list(curves(svg).values()) == [f"{shown}: 1 at w=1"]
    assert shown in {text.text for text in svg.iter(f"{SVG}text")}


def test_scores_without_w_are_no_figure():
    with pytest.raises(UsageError, match="shows similarity against w, and no such score has one"):
        figure_3(results(), ["similarity"])


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'python -m pip install "matplotlib>=[\d.]+"$'):
        figure_3(results(), ["fad"])

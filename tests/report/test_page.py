"""The report as a page: what is in it, and, in a real browser, whether it can be seen and heard."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from contrast import contrast
from example_results import HOSTILE, NOTE, SECONDS, results, score
from PIL import Image

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.report import page as page_room
from clipsonic_cli.report.figure import figure_3
from clipsonic_cli.report.page import write_html


class Parsed(HTMLParser):
    """Elements of a page with their attributes, and the text in each tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "".join(text for name, text in self.texts if name == tag)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Results:
    return results(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def page_file(found, tmp_path_factory) -> Path:
    pytest.importorskip("matplotlib")
    figure = figure_3(found, ["fad", "clap"]).decode()
    return write_html(found, tmp_path_factory.mktemp("page") / "report.html", figure=figure)


@pytest.fixture(scope="module")
def parsed(page_file) -> Parsed:
    return Parsed(page_file)


def numbers(path: Path, name: str = "data") -> list[float]:
    return [float(one["value"]) for one in Parsed(path).all(name)]


def test_every_score_is_there_with_its_label_interval_and_number(found, page_file, parsed):
    shown = set(numbers(page_file))
    assert {score.value for row in found.rows for score in row.scores} <= shown
    text = page_file.read_text("utf-8")
    for part in (
        "fad[mini] ↓",
        "clap[mini] ↑",
        "[2.3786 to 3.1714]</small><small>n 16 · bias 0.12<",
    ):
        assert part in text
    assert parsed.text("data").startswith("3.1429")


def test_the_papers_numbers_are_apart_and_at_its_w_alone(found, page_file):
    text = page_file.read_text("utf-8")
    theirs = re.findall(r'<td class="paper"><data value="([\d.]+)"', text)
    zs, pd, reconstruction = ["3.43", "19.3", "0.258", "0.284"], ["3.04", "13.51"], ["0.6", "6.21"]
    assert theirs[:6] == zs + pd
    assert theirs[8:10] == reconstruction
    assert theirs[12:] == ["0.647", "0.72"]
    assert "compare with none of the paper’s" in text


def test_the_best_is_marked_by_a_sign_and_reconstructions_do_not_compete(page_file):
    text = page_file.read_text("utf-8")
    best = re.findall(
        r'<b><data value="([\d.]+)">[^<]*</data> <span role="img" aria-label="best">', text
    )
    assert [float(value) for value in best] == pytest.approx([2.5 + 1 / 7, 0.25])


def test_none_is_the_best_by_a_network_that_does_not_know_the_labels(found, tmp_path):
    rows = [
        replace(row, scores=tuple(replace(s, ranks=s.metric != "clap") for s in row.scores))
        for row in found.rows
    ]
    text = write_html(replace(found, rows=tuple(rows)), tmp_path / "x.html").read_text()
    assert text.count('aria-label="best"') == 1
    assert "clap[mini] ?<small>orders no systems</small>" in text
    assert "?: the network may not know the labels" in text


def test_none_is_the_best_of_different_numbers_of_sounds(found, tmp_path):
    first, *others = found.rows
    fewer = replace(first, scores=tuple(replace(score, n=15) for score in first.scores))
    uneven = replace(found, rows=(fewer, *others), samples=())
    text = write_html(uneven, tmp_path / "report.html").read_text("utf-8")
    assert 'aria-label="best"' not in text


def test_a_folder_of_a_modes_name_is_not_the_papers(found, tmp_path):
    folder = replace(found, settings={"generated": ["a/pd"]}, samples=())
    text = write_html(folder, tmp_path / "report.html").read_text("utf-8")
    assert 'class="paper"' not in text
    assert "CLIPSonic" not in text


def test_intervals_and_bias_are_explained(found, tmp_path, page_file):
    text = page_file.read_text("utf-8")
    assert "95 % confidence intervals are of the mean over sounds" in text
    assert "Bias is about how far two draws" in text
    plain = tuple(
        replace(row, scores=tuple(replace(score, bias=None) for score in row.scores))
        for row in found.rows
    )
    other = write_html(replace(found, rows=plain, samples=()), tmp_path / "report.html")
    assert "Bias is" not in other.read_text("utf-8")


def test_windows_that_tell_nothing_are_noted(found, tmp_path):
    ends = [score(f"clap-windows-{end}", 0.5) for end in ("max", "mean", "min")]
    windows = replace(
        found, rows=(ScoreRow(system="reconstruction", scores=tuple(ends)),), samples=()
    )
    text = write_html(windows, tmp_path / "report.html").read_text("utf-8")
    assert "<li>No sound of reconstruction has room for a second window" in text


def test_a_note_of_many_scores_is_one_footnote(page_file, parsed):
    assert page_file.read_text("utf-8").count(f'<li id="note-1">{NOTE}</li>') == 1
    assert [a["href"] for a in parsed.all("a")] == ["#note-1"] * 6


def test_hostile_texts_stay_texts(page_file, parsed):
    assert not parsed.all("script")
    assert not [a for _, a in parsed.elements if any(name.startswith("on") for name in a)]
    assert HOSTILE in parsed.text("h3")
    assert all(one["src"].startswith("data:") for one in parsed.all("img") + parsed.all("audio"))
    assert parsed.text("h1").strip() == "Evaluation of mini & <co>"
    assert "mode <sd> is left out" in parsed.text("li")


def test_sounds_are_those_of_the_files_the_truth_first(found, parsed):
    players = parsed.all("audio")
    assert len(players) == 12
    assert [one["aria-label"].partition(",")[0] for one in players[:4]] == [
        *("truth", "zs w=1.5", "pd w=1.5", "reconstruction")
    ]
    kind, _, packed = players[0]["src"].partition(",")
    assert kind == "data:audio/flac;base64"
    decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(packed)))
    original, _ = soundfile.read(found.samples[0].paths["truth"])
    assert rate == 16_000
    np.testing.assert_array_equal(decoded, original)


def test_images_are_small_and_all_say_what_they_show(parsed):
    pictures = parsed.all("img")
    assert len(pictures) == 3 + 12
    assert all(picture["alt"] for picture in pictures)
    packed = next(p["src"] for p in pictures if p.get("class") == "image").partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(packed))) as image:
        assert image.size == (480, 240)


def test_tables_have_captions_and_heads_for_rows_and_columns(parsed):
    assert len(parsed.all("caption")) == len(parsed.all("table")) == 5
    assert {head["scope"] for head in parsed.all("th")} == {"col", "colgroup", "row"}


def test_queries_are_spread_over_all(tmp_path):
    many = results(tmp_path, queries=5)
    path = write_html(many, tmp_path / "report.html", samples=2)
    assert re.findall(r"query-\d</p>|>query-\d</h3>", path.read_text("utf-8")) == [
        "query-0</p>",
        ">query-2</h3>",
    ]


def test_a_page_that_is_full_says_so(found, tmp_path, monkeypatch):
    monkeypatch.setattr(page_room, "MAX_BYTES", 250_000)
    path = write_html(found, tmp_path / "report.html")
    text = path.read_text("utf-8")
    shown = text.count("<article")
    assert 0 < shown < 3
    assert f"{shown} of 3 queries; 3 were requested, but a page holds 0.25 MB" in text
    assert len(text) < 300_000


def test_a_long_sound_is_cut_and_that_is_said(found, tmp_path, monkeypatch):
    monkeypatch.setattr(page_room, "MAX_SECONDS", SECONDS / 2)
    parsed = Parsed(write_html(found, tmp_path / "report.html", samples=1))
    packed = parsed.all("audio")[0]["src"].partition(",")[2]
    assert soundfile.info(io.BytesIO(base64.b64decode(packed))).duration == SECONDS / 2
    assert parsed.text("span").count("first 0.25 of 0.5 s") == 4


def test_what_cannot_be_read_is_named_in_its_place(found, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"nonsense")
    sample = found.samples[0]
    paths = {**sample.paths, "truth": tmp_path / "bad.wav"}
    broken = replace(sample, paths=paths, image=tmp_path / "absent.png")
    parsed = Parsed(write_html(replace(found, samples=(broken,)), tmp_path / "report.html"))
    assert len(parsed.all("audio")) == 3
    assert "bad.wav' as sound" in parsed.text("p")
    assert "There is no image" in parsed.text("p")


def test_the_same_results_give_the_same_page(found, tmp_path):
    one, same = (write_html(found, tmp_path / f"{i}.html", samples=1).read_bytes() for i in (1, 2))
    assert one == same


def test_nothing_to_show_leaves_no_empty_section(tmp_path):
    text = write_html(Results(name="x"), tmp_path / "report.html").read_text("utf-8")
    assert "<section" not in text
    assert "{{" not in text


def test_a_file_that_cannot_be_written_is_one_line(found, tmp_path):
    with pytest.raises(
        ClipsonicError, match=r"Cannot write '.*': No such file .*; give another `output`"
    ):
        write_html(replace(found, samples=()), tmp_path / "absent" / "report.html")


# In a browser.


@pytest.mark.parametrize(("sounds", "width", "in_a_row"), [(1, 1280, 3), (2, 1280, 2), (1, 390, 1)])
def test_queries_of_few_sounds_stand_next_to_each_other(
    browser, found, tmp_path, sounds, width, in_a_row
):
    samples = [
        replace(sample, paths=dict(list(sample.paths.items())[:sounds])) for sample in found.samples
    ]
    path = write_html(replace(found, samples=tuple(samples)), tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(path.as_uri())
    tops = [article.bounding_box()["y"] for article in page.locator("article").all()]
    page.close()
    assert (len(tops), tops.count(tops[0])) == (3, in_a_row)


@pytest.fixture(params=["light", "dark"])
def opened(request, browser, page_file):
    """The page on a phone; it complains of nothing and asks nobody for anything."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=request.param
    )
    context.set_default_timeout(60_000)
    complaints: list[str] = []
    context.on("console", lambda message: complaints.append(message.text))
    context.on("request", lambda one: complaints.append(one.url))
    page = context.new_page()
    page.goto(page_file.as_uri())
    yield page
    context.close()
    outside = [text for text in complaints if not text.startswith("data:")]
    assert outside == [page_file.as_uri()]


def test_players_play_and_nothing_is_fetched(opened):
    seconds = opened.evaluate("""() => Promise.all([...document.querySelectorAll("audio")].map(
      (player) => new Promise((done) => {
        player.addEventListener("loadedmetadata", () => done(player.duration));
        player.addEventListener("error", () => done(player.error.message));
        player.preload = "metadata";
        player.load();
      })))""")
    assert seconds == [pytest.approx(SECONDS, abs=0.01)] * 12


def test_nothing_is_cut_off_on_a_phone_and_words_stand_out(opened):
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    images = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    assert opened.evaluate(images)
    for place in ("caption", "td small", "td.paper", ".soft", "sup a", "summary", "h3"):
        assert contrast(opened, place) >= 4.5  # WCAG 2.2, 1.4.3
    ink = opened.eval_on_selector("svg text", "(text) => getComputedStyle(text).fill")
    assert ink == opened.eval_on_selector("body", "(body) => getComputedStyle(body).color")


def test_a_table_moved_aside_keeps_the_names_and_w_of_its_rows(opened):
    shown = opened.locator(".wide").first.bounding_box()
    lefts = []
    for moved in (0, 10_000):
        at = opened.eval_on_selector(
            ".wide", f"(one) => (one.scrollLeft = {moved}, one.scrollLeft)"
        )
        lefts.append([one.bounding_box()["x"] for one in cells(opened)])
    assert at > 50  # there was more to see
    assert lefts[0] == pytest.approx(lefts[1], abs=1)
    caption = opened.locator("caption").first.bounding_box()
    assert caption["width"] <= shown["width"]


def cells(page) -> list:
    """Caption, heads and first cells of the first table that stay where they are."""
    table = page.locator("table").first
    places = ("caption", "thead th >> nth=0", "thead th >> nth=1", "tbody th", "tbody th + td")
    return [table.locator(place).first for place in places]

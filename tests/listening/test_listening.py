"""The page of the listening test: what is in it, and, in a real browser, what people do with it."""

import base64
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from contrast import contrast
from PIL import Image

from clipsonic_cli.audio import files
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.listening import page as listening_page
from clipsonic_cli.listening.page import Trial, check_unused, key_of, write_listening_test
from clipsonic_cli.listening.ratings import mean_opinion_scores, read_ratings
from clipsonic_cli.types import Query

HOSTILE = '</script><b onclick="x">rain</b> & {{title}} <img src=x onerror=alert(1)> \u2028 小提琴'
SYSTEMS = ("System-Alpha", "System-Beta")
SECONDS = 0.25


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> dict[str, list[Trial]]:
    """Two systems of two sounds each, for a text and a picture."""
    folder = tmp_path_factory.mktemp("material")
    picture = folder / "Secret-Name.jpg"
    exif = Image.Exif()
    exif[0x010E] = "Secret-Description"
    Image.new("RGB", (2000, 500), "orange").save(picture, exif=exif)
    prompts = [Query(text=HOSTILE), Query(image=picture)]
    made: dict[str, list[Trial]] = {}
    for s, system in enumerate(SYSTEMS):
        for p, prompt in enumerate(prompts):
            path = folder / f"{system}-{p}.wav"
            generator = torch.Generator().manual_seed(10 * s + p)
            samples = torch.rand(int(16_000 * SECONDS), generator=generator) * 0.2 - 0.1
            files.write(path, samples, 16_000, metadata={"comment": system})
            made.setdefault(system, []).append(Trial(prompt=prompt, sound=path))
    return made


@pytest.fixture(scope="module")
def page_file(material, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("listening") / "test"
    return write_listening_test(material, folder, seed=0, title="Dogs & <rain>")


class _Scripts(HTMLParser):
    """Collects what the elements of a page hold, by their ``id`` or tag."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, str] = {}
        self.inside: str = ""

    def handle_starttag(self, tag, attrs):
        self.inside = dict(attrs).get("id") or tag

    def handle_data(self, data):
        self.held[self.inside] = self.held.get(self.inside, "") + data


def held(page: Path) -> dict[str, str]:
    parser = _Scripts()
    parser.feed(page.read_text("utf-8"))
    parser.close()
    return parser.held


def shown(page: Path) -> dict:
    return json.loads(held(page)["test"])


def unpacked(uri: str) -> bytes:
    return base64.b64decode(uri.partition(";base64,")[2], validate=True)


def read_key(page: Path) -> dict:
    return json.loads(key_of(page.parent).read_text("utf-8"))


def test_the_page_names_no_system_nor_file(page_file):
    text = page_file.read_text("utf-8")
    sounds = [unpacked(sample["sound"]) for sample in shown(page_file)["samples"]]
    for secret in (*SYSTEMS, "Secret-Name", "Secret-Description", ".wav"):
        assert secret.lower() not in text.lower()
        assert all(secret.encode() not in sound for sound in sounds)
    assert [path.name for path in page_file.parent.iterdir()] == ["index.html"]


def test_the_key_names_the_system_of_every_sound(page_file, material):
    samples, key = shown(page_file)["samples"], read_key(page_file)
    paths = {trial.sound.name: trial.sound for made in material.values() for trial in made}
    assert len(samples) == len(key["samples"]) == 4
    for sample in samples:
        opened = key["samples"][sample["id"]]
        assert opened["sound"].startswith(opened["system"])
        sound, rate = soundfile.read(io.BytesIO(unpacked(sample["sound"])))
        original, _ = soundfile.read(paths[opened["sound"]])
        assert rate == 16_000
        np.testing.assert_array_equal(sound, original)


def test_prompts_come_through_as_they_are(page_file):
    prompts = shown(page_file)["prompts"]
    assert [prompt["text"] for prompt in prompts if "text" in prompt] == [HOSTILE]
    (picture,) = (prompt["image"] for prompt in prompts if "image" in prompt)
    with Image.open(io.BytesIO(unpacked(picture))) as image:
        assert image.size == (960, 240)
        assert not image.getexif()


def test_the_title_is_escaped(page_file):
    assert held(page_file)["title"].strip() == "Dogs & <rain>"


def test_a_seed_gives_the_same_page_and_another_another(material, tmp_path):
    pages = [
        write_listening_test(material, tmp_path / str(i), seed=seed)
        for i, seed in enumerate((1, 1, 2))
    ]
    one, same, other = (page.read_text("utf-8") for page in pages)
    assert one == same
    assert one != other
    assert read_key(pages[0])["test"] != read_key(pages[2])["test"]


def test_a_test_is_never_overwritten(material, page_file):
    before = page_file.read_bytes()
    with pytest.raises(UsageError, match="is of a listening test already"):
        write_listening_test(material, page_file.parent, seed=3)
    assert page_file.read_bytes() == before


@pytest.mark.parametrize("left", ["a/index.html", "a/key.json", "a-key.json"])
def test_what_is_left_of_a_test_of_any_version_is_kept(tmp_path, left):
    (tmp_path / "a").mkdir()
    (tmp_path / left).touch()
    with pytest.raises(
        UsageError, match=f"'{re.escape(str(tmp_path / left))}' is of a listening test already"
    ):
        check_unused(tmp_path / "a")
    check_unused(tmp_path / "b")


@pytest.mark.parametrize(("folder", "key"), [("a/b", "a/b-key.json"), ("a/b/..", "a-key.json")])
def test_the_key_is_next_to_the_folder_that_raters_get(tmp_path, monkeypatch, folder, key):
    monkeypatch.chdir(tmp_path)
    assert key_of(Path(folder)).resolve() == tmp_path / key


def test_what_cannot_be_shown_is_rejected_and_nothing_written(material, tmp_path, monkeypatch):
    folder = tmp_path / "test"
    with pytest.raises(ValueError, match="one sound or more"):
        write_listening_test({"a": []}, folder, seed=0)
    missing = Trial(prompt=Query(text="x"), sound=tmp_path / "missing.wav")
    with pytest.raises(UsageError, match=r"missing\.wav' does not exist"):
        write_listening_test({"a": [missing]}, folder, seed=0)
    monkeypatch.setattr(listening_page, "MAX_BYTES", 20_000)
    with pytest.raises(UsageError, match="A page of 4 sounds would have"):
        write_listening_test(material, folder, seed=0)
    assert not folder.exists()


def test_a_folder_that_takes_nothing_is_one_line(material, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClipsonicError, match=r"Cannot write in .*; give another"):
        write_listening_test(material, tmp_path / "file" / "test", seed=0)


# In a browser.


@pytest.fixture
def context(browser) -> Iterator:
    """A browser of one person, whose page complains of nothing and asks nobody for anything."""
    made = browser.new_context(viewport={"width": 390, "height": 844})
    made.set_default_timeout(60_000)
    made.complaints = complaints = []
    made.on("console", lambda message: complaints.append(message.text))
    made.on("weberror", lambda error: complaints.append(str(error.error)))
    made.on("dialog", lambda dialog: complaints.append(dialog.message))
    made.on("request", lambda request: complaints.append(request.url))
    yield made
    made.close()
    local = re.compile(r"(file:///[^?#]*/index\.html|blob:null/[-\w]+)$")
    assert [text for text in complaints if not local.match(text)] == []


def begin(context, page_file: Path, rater: str):
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.keyboard.type(rater)
    page.keyboard.press("Enter")
    return page


def rate(page, fidelity: int, relevance: int) -> None:
    """Hears a sound and answers, by keys alone."""
    page.keyboard.press("Space")
    page.wait_for_selector("#play:not(.main)")
    page.keyboard.press(str(fidelity))
    page.keyboard.press(str(relevance))


def save(page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click("#save")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def pass_through(page) -> None:
    for number in range(4):
        rate(page, 1 + number % 5, 5 - number % 5)
        if number < 3:
            page.keyboard.press("Enter")
    for _ in range(2):  # held down, which must not save yet
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    assert page.inner_text("#saved") == ""


def test_a_keyboard_is_enough_and_the_answers_are_read_back(context, page_file, tmp_path):
    page = begin(context, page_file, "Anna")
    pass_through(page)
    assert page.inner_text("#outcome") == "Thank you, that was all"
    assert page.evaluate("document.activeElement.id") == "save"
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    order = json.loads(path.read_text("utf-8"))["order"]
    read = read_ratings([path], key_of(page_file.parent))
    assert path.name == "ratings-Anna.json"
    assert read.answered == {"Anna": 4}
    assert {one.sample: (one.fidelity, one.relevance) for one in read.ratings} == {
        sample: (1 + number % 5, 5 - number % 5) for number, sample in enumerate(order)
    }
    assert {score.ratings.n for score in mean_opinion_scores(read)} == {2}


def test_arrows_and_tab_answer_too(context, page_file):
    page = begin(context, page_file, "Anna")
    page.keyboard.press("Enter")  # on the button that plays, which has the focus
    for key in ("Tab", "Tab", "ArrowRight", "ArrowRight", "Tab", "ArrowLeft"):
        page.keyboard.press(key)
    chosen = page.locator(":checked").evaluate_all("all => all.map(({value}) => value)")
    assert chosen == ["3", "5"]


def test_space_plays_and_answers_nothing(context, page_file):
    page = begin(context, page_file, "Anna")
    page.focus("[name=fidelity]")
    page.keyboard.press("Space")
    page.wait_for_selector("#play:not(.main)")
    assert page.locator(":checked").count() == 0


def test_the_mouse_is_enough_too(context, page_file):
    page = begin(context, page_file, "Anna")
    page.click("#play")
    page.check("[name=fidelity][value='3']")
    page.check("[name=relevance][value='5']")
    page.click("#next")
    assert page.inner_text("#where") == "Sound 2 of 4"


def test_every_rater_has_an_order_of_their_own(context, page_file):
    page = context.new_page()
    page.goto(page_file.as_uri())
    names = [f"rater {number}" for number in range(200)]
    orders = [tuple(order) for order in page.evaluate("names => names.map(shuffled)", names)]
    assert page.evaluate("shuffled('Rater 7')") == list(orders[7])
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}
    assert len(set(orders)) == 24  # all that 4 sounds have


def order(page) -> list[str]:
    return page.evaluate("JSON.parse(answers()).order")


def test_a_closed_tab_loses_nothing(context, page_file, tmp_path):
    page = begin(context, page_file, "Anna")
    rate(page, 4, 2)
    page.keyboard.press("Enter")
    page.keyboard.press("5")
    before = order(page)
    page.close()
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.input_value("#rater") == "Anna"
    page.click("text=Continue")
    assert page.inner_text("#where") == "Sound 2 of 4"
    assert page.locator(":checked").evaluate_all("all => all.map(({value}) => value)") == ["5"]
    assert order(page) == before
    page.reload()
    page.keyboard.press("Enter")
    page.click("text=Stop here")
    answers = json.loads(save(page, tmp_path).read_text("utf-8"))["answers"]
    assert answers == {before[0]: {"fidelity": 4, "relevance": 2}}


def test_two_raters_at_one_computer_are_kept_apart(context, page_file):
    page = begin(context, page_file, "Anna")
    rate(page, 4, 2)
    page = begin(context, page_file, "__proto__")
    assert page.inner_text("#where") == "Sound 1 of 4"
    assert page.locator(":checked").count() == 0
    page = begin(context, page_file, "anna")
    assert page.inner_text("#where") == "Sound 2 of 4"


def test_without_storage_the_page_works_and_says_so(context, page_file, tmp_path):
    denied = "() => { throw new DOMException('denied', 'SecurityError'); }"
    context.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ get: {denied} }})")
    page = begin(context, page_file, "Anna")
    assert page.is_visible("#rate .unkept")
    pass_through(page)
    assert page.is_visible("#end .unkept")
    read = read_ratings([save(page, tmp_path)], key_of(page_file.parent))
    assert read.answered == {"Anna": 4}


def test_nobody_goes_on_without_listening_and_both_answers(context, page_file):
    page = begin(context, page_file, "Anna")
    for key in ("4", "2", "Enter"):
        page.keyboard.press(key)
    assert page.inner_text("#hint") == "Please listen to the sound first."
    page.keyboard.press("Enter")  # the button that plays has the focus now
    page.wait_for_selector("#play:not(.main)")
    page.click("#next")
    page.click("#play")
    page.wait_for_selector("#play:not(.main)")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    assert page.inner_text("#hint") == "Please rate the relevance too."
    assert page.inner_text("#where") == "Sound 2 of 4"


def test_an_answer_can_be_changed_afterwards(context, page_file, tmp_path):
    page = begin(context, page_file, "Anna")
    pass_through(page)
    page.click("text=Look through my answers")
    page.click("#next")
    page.click("#back")
    page.check("[name=fidelity][value='5']")
    for _ in range(4):
        page.click("#next")
    saved = json.loads(save(page, tmp_path).read_text("utf-8"))
    assert saved["answers"][saved["order"][0]] == {"fidelity": 5, "relevance": 5}
    assert json.loads(page.input_value("#copy"))["answers"] == saved["answers"]


def test_a_prompt_is_shown_as_text_whatever_it_holds(context, page_file):
    page = begin(context, page_file, "Anna")
    seen = set()
    for _ in range(4):
        seen.add(page.text_content("#prompt") or page.get_attribute("#prompt img", "src")[:22])
        rate(page, 3, 3)
        page.keyboard.press("Enter")
    assert seen == {HOSTILE, "data:image/jpeg;base64"}


def test_the_page_may_not_reach_anything(context, page_file):
    page = begin(context, page_file, "Anna")
    refused = page.evaluate("""() => new Promise((done) => {
      const refused = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => {
        if (refused.push(violatedDirective) === 3) done(refused);
      });
      fetch("http://127.0.0.1:9/").catch(() => {});
      new Image().src = "http://127.0.0.1:9/x.png";
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
    })""")
    assert sorted(refused) == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.ran === undefined")
    context.complaints.clear()  # the browser logs what it refused


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone_and_words_stand_out(context, page_file, scheme):
    page = begin(context, page_file, "Anna")
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in page.locator(".scale label, button:visible").all():
        bounds = box.bounding_box()
        assert bounds["height"] >= 24
        assert bounds["x"] >= 0
        assert bounds["x"] + bounds["width"] <= 390
    for place in (".caption", "legend .soft", ".scale span", "#play", "#next"):
        assert contrast(page, place) >= 4.5  # WCAG 2.2, 1.4.3

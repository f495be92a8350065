import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.cli.generate import requests
from clipsonic_cli.cli.generate.jobs import plan_recipes, plan_rounds
from clipsonic_cli.cli.generate.outputs import Template
from clipsonic_cli.cli.generate.requests import Request, read_requests
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from clipsonic_cli.text import has_word
from clipsonic_cli.types import Query

EMPTY = io.StringIO()
FILES = (*IMAGE_SUFFIXES, *" ".join(UNREAD_SUFFIXES).split())
"""Endings by which a text is the name of a file."""

prompts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(
    lambda text: has_word(text) and not text.strip().lower().endswith(FILES)
)
lines = prompts.map(lambda text: " ".join(text.split()).lstrip("# ")).filter(has_word)


def read(path: Path, content: str) -> list[Request]:
    path.write_text(content, encoding="utf-8", newline="")
    return read_requests([], [], path, EMPTY)


def texts(found: list[Request]) -> list[str | None]:
    return [request.query.text for request in found]


@given(st.lists(lines, min_size=1), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_a_txt_file_gives_a_prompt_a_line(tmp_path_factory, prompts, newline):
    path = tmp_path_factory.getbasetemp() / "prompts.txt"
    assert texts(read(path, newline.join(prompts))) == prompts


@given(st.lists(prompts, min_size=1))
def test_a_csv_file_round_trips(tmp_path_factory, prompts):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["text"], *([prompt] for prompt in prompts)])
    path = tmp_path_factory.getbasetemp() / "prompts.csv"
    assert texts(read(path, buffer.getvalue())) == [prompt.strip() for prompt in prompts]


@given(st.lists(prompts, min_size=1))
def test_a_jsonl_file_round_trips(tmp_path_factory, prompts):
    path = tmp_path_factory.getbasetemp() / "prompts.jsonl"
    content = "\n".join(json.dumps({"text": prompt}) for prompt in prompts)
    assert texts(read(path, content)) == [prompt.strip() for prompt in prompts]


@given(st.binary(), st.sampled_from([".txt", ".csv", ".jsonl"]))
def test_any_file_gives_requests_or_a_usage_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    try:
        found = read_requests([], [], path, EMPTY)
    except UsageError:
        return
    assert found


@pytest.mark.parametrize(
    ("stdin", "part"),
    [(None, "is closed"), (io.StringIO("rain\n...\n"), "line 2: The text '...' has no word")],
)
def test_standard_input_that_cannot_be_used_is_rejected(stdin, part):
    with pytest.raises(UsageError, match=part):
        read_requests(["-"], [], None, stdin)


def test_columns_replace_options_and_others_are_for_templates(tmp_path):
    (tmp_path / "cat.png").touch()
    content = (
        "\ufefftext,image,seed,guidance,negative,label\nrain,,7,2.5,voices,wet\n,cat.png,,,,\n"
    )
    rain, cat = read(tmp_path / "x.csv", content)
    assert rain.query.text == "rain"
    assert rain.choices["seed"] == 7
    assert rain.choices["guidance"] == 2.5
    assert rain.choices["negative"] == "voices"
    assert rain.columns == {"label": "wet"}
    assert cat.query.image == tmp_path / "cat.png"
    assert cat.choices == {}


def test_prompts_images_and_standard_input_keep_their_order(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").touch()
    images = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    # as the shell expands --image *.jpg
    found = read_requests([str(images[1])], images[:1], None, EMPTY)
    assert [request.query.image for request in found] == images
    found = read_requests(["one", "-", "four"], [], None, io.StringIO("two\n\n three \n"))
    assert texts(found) == ["one", "two", "three", "four"]


FORMATS = [
    (None, "# wet\nrain, heavy\n\n  # dry\nwind\n"),
    ("txt", "\ufeffrain, heavy\nwind\n#"),
    ("csv", 'Prompt;Seed\n"rain, heavy";1\nwind;2\n;;\n'),
    ("tsv", "text\tseed\nrain, heavy\t1\nwind\t2\n"),
    ("jsonl", '{"text": "rain, heavy"}\n{"text": "wind"}\n'),
    ("json", '[{"text": "rain, heavy"}, {"text": "wind"}]'),
]


@pytest.mark.parametrize(("file_format", "content"), FORMATS)
def test_a_list_of_any_format_may_come_by_standard_input_or_any_name(
    tmp_path, file_format, content
):
    found = read_requests([], [], Path("-"), io.StringIO(content), file_format)
    assert texts(found) == ["rain, heavy", "wind"]
    assert texts(read_requests(["-"], [], None, io.StringIO(content), file_format)) == texts(found)
    (tmp_path / "list.of.mine").write_text(content, encoding="utf-8")
    again = read_requests([], [], tmp_path / "list.of.mine", None, file_format or "txt")
    assert texts(again) == texts(found)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("prompt\tseed\nKätzchen\t1\n", [("Kätzchen", {"seed": 1})]),
        ("\n\ufeffPrompt\tnotes\na\tb\n", [("a", {})]),
        ("prompt;seconds\nrain;1,5\n", [("rain", {"seconds": 1.5})]),
        ("prompt,seed\nrain,1\n", [("rain", {"seed": 1})]),
        ("a dog\tbarking\nrain\n", [("a dog\tbarking", {}), ("rain", {})]),
        ("sound, of rain\nprompt\n", [("sound, of rain", {}), ("prompt", {})]),
    ],
)
def test_a_table_that_was_saved_as_txt_is_one(tmp_path, content, found):
    rows = read(tmp_path / "list.txt", content)
    assert [(row.query.text, row.choices) for row in rows] == found


def test_a_prompt_of_a_csv_may_begin_as_a_comment(tmp_path):
    assert texts(read(tmp_path / "x.csv", "prompt\n# 9 dream\n")) == ["# 9 dream"]


def test_lines_of_standard_input_name_any_image_and_its_tables_those_of_this_folder(
    tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    (tmp_path / "cat.png").touch()
    monkeypatch.chdir(tmp_path / "here")
    (found,) = read_requests(["-"], [], None, io.StringIO("../cat.png\n"))
    assert found.query.image == Path("../cat.png")
    with pytest.raises(UsageError, match="outside the list's folder"):
        read_requests(["-"], [], None, io.StringIO("image\n../cat.png\n"), "csv")


@pytest.mark.parametrize("prompts", [["a dog", "cat"], ["dog"], ["dog", "-"], ["dog cat", "rain"]])
def test_words_that_are_no_forgotten_quotes_are_prompts(prompts):
    assert len(read_requests(prompts, [], None, io.StringIO("rain"))) == len(prompts)


def test_columns_that_may_be_misspelt_are_named():
    columns = {"sedd", "promt", "guidence", "label", "notes", "length"}
    assert requests.unused_columns(columns) == [
        "guidence (did you mean 'guidance'?)",
        "label",
        "length",
        "notes",
        "promt (did you mean 'prompt'?)",
        "sedd (did you mean 'seed'?)",
    ]


def test_a_negative_is_a_image_by_its_ending(tmp_path):
    (tmp_path / "cat.webp").touch()
    picture = requests.negative_fields(str(tmp_path / "cat.webp"))
    assert picture["negative_image"] == str(tmp_path / "cat.webp")
    assert picture["negative"] is None
    assert requests.negative_fields(" voices ")["negative"] == "voices"


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.txt", "\n \n", "no prompt"),
        ("x.csv", "", "no rows"),
        ("x.csv", "text,seed\n", "no rows"),
        ("x.csv", "seed,mode\n1,pd\n", "neither 'prompt' nor 'image'"),
        ("x.csv", "words\nrain\n", "column names such as 'prompt' or 'image'; it reads 'words'"),
        ("x.csv", "text;seconds\nrain;1,5,5\n", "seconds is '1,5,5', not a number"),
        ("x.csv", 'text,seconds\nrain,"1,5"\n', "write '.' for the comma"),
        ("x.txt", "prompt\tseed\nrain\t1.5\n", "line 2, seed is '1.5', not a whole number"),
        (
            "x.XLSX",
            "PK",
            "is a spreadsheet, which is not read; save it as CSV (in Excel: 'CSV UTF-8')",
        ),
        ("x.docx", "PK", "is a document, which is not read; save it as plain text"),
        ("x.csv", "text,image\nrain,cat.png\n", "both 'text' and 'image'"),
        ("x.csv", "text,seed\nrain,1.5\n", "line 2, seed is '1.5', not a whole number"),
        ("x.csv", "text,guidance\nrain,much\n", "guidance is 'much', not a number"),
        ("x.csv", "text\nrain,more\n", "line 2, 2 cells for 1 column"),
        ("x.csv", 'text\n"rain', "no csv"),
        ("x.csv", "text\n   \n", "no rows"),
        ("x.csv", "image\ncat.png\n", "line 2: There is no image"),
        ("x.csv", f"image\n{'x' * 300}.png\n", "cannot be read: File name too long"),
        ("x.jsonl", "", "no rows"),
        ("x.jsonl", "rain\n", "line 1, there is no JSON"),
        ("x.jsonl", '"rain"\n', "no object"),
        ("x.jsonl", '{"text": 5}\n', "text is 5, not a text"),
        ("x.jsonl", '{"text": "a", "seed": true}\n', "not a whole number"),
        ("x.jsonl", '{"text": "a", "seed": 1.5}\n', "not a whole number"),
        ("x.jsonl", '{"text": "a", "seconds": [1]}\n', "not a number"),
        ("x.md", "rain\n", "does not end in csv, tsv, jsonl, json, txt; say which it is by --file"),
        ("x.txt", "# rain\n", "no prompt"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected(tmp_path, name, content, part):
    with pytest.raises(UsageError) as error:
        read(tmp_path / name, content)
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((["  "], [], None), "empty"),
        ((["rain"], ["cat"], None), "Both a text ('rain') and an image ('cat') are given"),
        ((["rain"], [], Path("x.txt")), "Both --file and a prompt or image"),
        (([], ["missing.jpg"], None), "There is no image 'missing.jpg'"),
        (([], ["."], None), "Image '.' is not a file; name its images, such as: --image *.jpg"),
        ((["rain", "cat"], [], None), "2 prompts of one word each"),
        ((["a.HEIC"], ["cat"], None), "'a.HEIC' is no image this program reads; convert it"),
        ((["a.heif", "b.heif"], [], None), "'a.heif' is no image this program reads"),
        ((["my clip.mp4"], [], None), "is a video; save one of its frames"),
        ((["a.wav"], [], None), "is a sound"),
        ((["notes.xyz"], [], None), "'notes.xyz' is a file; give a list of prompts by --file"),
        ((["./"], [], None), "'./' is a folder; name its images, such as: --image *.jpg"),
        ((["-"], [], None, "rain\nb.svg\n"), "line 2: 'b.svg' is no image"),
        ((["dog.png"], [], None), "There is no image 'dog.png'"),
        (([], [], Path("missing.txt")), "cannot be read"),
        ((["-", "-"], [], None), "given twice"),
        ((["x.csv"], [], None), "'x.csv' is a file; give a list of prompts by --file"),
        ((["-"], [], Path("-")), "given twice"),
    ],
)
def test_arguments_that_cannot_be_used_are_rejected(tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "x.csv", "notes.xyz"):
        (tmp_path / name).touch()
    prompts, images, file, *lines = arguments
    with pytest.raises(UsageError) as error:
        read_requests(
            prompts,
            [Path(image) for image in images],
            file,
            io.StringIO(lines[0] if lines else "a"),
        )
    assert part in str(error.value)


def test_sounds_are_bounded():
    query = Request(query=Query(text="rain"))
    with pytest.raises(UsageError, match="101 queries with 10,000 sounds each are 1,010,000"):
        plan_recipes([query] * 101, None, None, {}, 10_000)


def test_a_row_without_a_value_for_its_name_is_named(tmp_path):
    found = read(tmp_path / "x.csv", "prompt,label\nrain,wet\nwind,\n")
    recipes = plan_recipes(found, None, None, {}, 2)
    template = Template.parse("{label}/{seed}.wav", None)
    with pytest.raises(UsageError, match=r"x.csv', line 3: column 'label' is empty"):
        plan_rounds(found, recipes, template, 2, None)


def test_a_number_out_of_range_names_its_row(tmp_path):
    found = read(tmp_path / "x.csv", "prompt,steps\nrain,2\nwind,0\n")
    with pytest.raises(UsageError, match=r"x.csv', line 3: steps"):
        plan_recipes(found, None, None, {}, 1)

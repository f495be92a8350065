"""One reader for the lists of all commands."""

import codecs
import csv
import io
import json
import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.data import lists
from clipsonic_cli.data.list_row import BadCell, ListRow
from clipsonic_cli.data.lists import read_list
from clipsonic_cli.errors import UsageError

cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), min_size=1, max_size=20
).filter(str.strip)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


def rows_of(path, content: bytes) -> list[ListRow]:
    path.write_bytes(content)
    return list(read_list(path, "line"))


@given(
    table=st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    header=st.sampled_from([("text", "file"), (" Prompt ", "FILE"), ("Caption", "File-Name")]),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    blank=st.sampled_from(["", "\n", " \n"]),
)
def test_a_csv_comes_back_whatever_its_separator_encoding_ends_and_quotes(
    tmp_path_factory, table, header, separator, encoding, end, quoting, blank
):
    if end == "\r":  # between such ends Python's writer does not quote a "\n"
        quoting = csv.QUOTE_ALL
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([header, *table])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    found = rows_of(path, (blank + buffer.getvalue()).encode(encoding))
    assert [(row.text("text"), row.text("file")) for row in found] == [
        (a.strip(), b.strip()) for a, b in table
    ]


@given(table=st.lists(st.dictionaries(st.sampled_from(["text", "seed"]), cells), max_size=5))
def test_json_and_json_lines_hold_the_same(tmp_path_factory, table):
    folder = tmp_path_factory.getbasetemp()
    lines = "\n".join(map(json.dumps, table)).encode()
    whole = json.dumps(table).encode()
    assert rows_of(folder / "a.jsonl", lines) == rows_of(folder / "a.json", whole)


@given(content=st.binary(max_size=300), suffix=st.sampled_from(lists.SUFFIXES))
def test_any_bytes_are_rows_or_one_line(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    with suppress(UsageError):
        rows_of(path, content)


def test_a_row_knows_the_line_it_begins_on(tmp_path):
    content = b'\nsep=;\ntext;seed\n\n"two\nlines";1\nlast;2\n'
    assert [row.line for row in rows_of(tmp_path / "a.csv", content)] == [5, 7]


def test_rows_that_a_spreadsheet_leaves_empty_and_cells_beyond_the_header_are_no_matter(tmp_path):
    found = rows_of(tmp_path / "a.csv", b"text,seed\nrain,1,,\n,,,\nwind\n")
    assert [dict(row.cells) for row in found] == [{"text": "rain", "seed": "1"}, {"text": "wind"}]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"text,Text \nrain,wind\n", "column 'text' twice"),
        (b"wet,dry\nrain,sun\n", "it reads 'wet', 'dry'"),
        (b"t\0e\0x\0t\0", "line 1 holds a NUL"),
        (codecs.BOM_UTF16_LE + b"t\0e\0x", "not utf-16 text"),
        (b'text\nrain\n"open\n', "line 3"),
        (b",".join([b"text"] * 1001) + b"\nx", "1,001 columns"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_line(tmp_path, content, part):
    with pytest.raises(UsageError, match=part):
        rows_of(tmp_path / "a.csv", content)


@pytest.mark.parametrize(
    ("bound", "part"), [("MAX_BYTES", "limit"), ("MAX_LINE", "line 1"), ("MAX_ROWS", "more than 3")]
)
def test_lists_are_bounded(tmp_path, monkeypatch, bound, part):
    monkeypatch.setattr(lists, bound, 3)
    with pytest.raises(UsageError, match=part):
        rows_of(tmp_path / "a.txt", b"rain\n" * 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_a_folder_and_nothing_are_no_lists(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, part in (("pipe", "a pipe"), ("folder", "a folder"), ("gone", "No such file")):
        with pytest.raises(UsageError, match=part):
            list(read_list(tmp_path / f"{name}.csv", "line"))


@pytest.mark.parametrize("value", ["7", " 7 ", "7.0", 7, 7.0, "+7"])
def test_whole_numbers(value):
    assert ListRow(line=1, cells={"seed": value}).number("seed", whole=True) == 7


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("1,5", "write '.' for the comma"),
        ("1_000", "not a number"),
        ("nan", "not a number"),
        ("1e999", "not a number"),
        ("٣", "not a number"),
        (True, "not a number"),
        (10**400, "not a number"),
        (float("inf"), "not a number"),
        ([1], "not a number"),
    ],
)
def test_what_is_no_number_is_rejected_with_its_column(value, part):
    with pytest.raises(BadCell, match=f"duration is .*{part}"):
        ListRow(line=1, cells={"duration": value}).number("seconds")


def test_texts_are_utf8_and_names_of_files_any_bytes(tmp_path):
    [row] = rows_of(tmp_path / "a.csv", b"text,file\ncaf\xe9,caf\xe9.wav\n")
    assert row.name("file") == os.fsdecode(b"caf\xe9.wav")
    with pytest.raises(BadCell, match=r"is not UTF-8; .*in Excel: as 'CSV UTF-8'"):
        row.text("text")

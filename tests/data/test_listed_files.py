"""The files that lists name are found, or the true cause is reported."""

import os
import sys
import unicodedata

import pytest
from make_media import put

from clipsonic_cli.data.list_row import BadCell
from clipsonic_cli.data.listed_files import ListedFiles


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub/c.mp4", "sub/c.mp4"),
        ("sub\\c.mp4", "sub/c.mp4"),
        (".\\sub\\..\\sub\\c.mp4", "sub/c.mp4"),
        ("a%20b.mp4", "a b.mp4"),
        ("100%25.mp4", "100%25.mp4"),
        (unicodedata.normalize("NFC", "é.mp4"), unicodedata.normalize("NFD", "é.mp4")),
        ("gone/x.mp4", "gone/x.mp4"),
    ],
)
def test_a_file_is_found_by_what_its_name_means(tmp_path, name, found):
    for there in ("sub/c.mp4", "a b.mp4", "100%25.mp4", unicodedata.normalize("NFD", "é.mp4")):
        put(tmp_path / there, b"x")
    assert ListedFiles(tmp_path).find(name) == found


def test_absolute_names_are_found_inside_the_lists_folder_also_through_links(tmp_path):
    put(tmp_path / "real/b c.mp4", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for folder in ("real", "link"):
        for name in ("real", "link"):
            files = ListedFiles(tmp_path / folder)
            assert files.find(str(tmp_path / name / "b c.mp4")) == "b c.mp4"
            assert files.find((tmp_path / name / "b c.mp4").as_uri()) == "b c.mp4"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("/etc/passwd", "'/etc/passwd' is outside the list's folder '.*'; move the list"),
        ("../b.mp4", "outside"),
        ("a/../../b.mp4", "outside"),
        ("..\\b.mp4", "outside"),
        ("~/b.mp4", "outside"),
        ("%2e%2e/b.mp4", "outside"),
        ("C:\\data\\b.mp4", "a drive of Windows"),
        ("\\\\server\\b.mp4", "a drive of Windows"),
        ("https://example.org/b.mp4", "is an address; download"),
        ("file:///etc/passwd", "outside"),
        ("", "no file's name"),
        ("a\0", "no file's name"),
        ("x" * 5000, "no file's name"),
        ("B.MP4", r"'B.MP4' is there as 'b\.mp4'"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="names are another matter there")
def test_a_name_of_no_use_has_its_true_cause(tmp_path, name, part):
    put(tmp_path / "list/b.mp4", b"x")
    put(tmp_path / "b.mp4", b"x")
    with pytest.raises(BadCell, match=part):
        ListedFiles(tmp_path / "list").find(name)


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_may_be_any_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    put(tmp_path / name, b"x")
    assert ListedFiles(tmp_path).find(name) == name

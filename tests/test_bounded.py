"""Files that may be anybody's are regular, bounded, and never waited for."""

import os

import pytest

from clipsonic_cli.bounded import read_bytes, read_json


def test_a_file_within_its_bound_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="over 4 bytes"):
        read_bytes(tmp_path / "a", 4)


def test_a_sparse_file_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(OSError, match="over 1,000 bytes"):
        read_bytes(tmp_path / "a", 1000)


def test_pipes_devices_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError):  # noqa: PT011 - the system words some of them
            read_bytes(path, 1000)
    with pytest.raises(OSError, match="not a file"):
        read_bytes(os.devnull, 1000)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": }', "1" * 5000])
def test_what_is_no_json_is_a_value_error(text, tmp_path):
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words
        read_json(tmp_path / "a", 1 << 20)

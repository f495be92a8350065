import contextlib
import gzip
import struct
import zlib

import containers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


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
    read = dict(containers.qt_resources(tmp_path / "x.rcc"))
    assert read == {"sounds/cat.ogg": b"meow" * 50, "sounds/горн.ogg": b"toot"}


def test_another_file_is_no_qt_resource(tmp_path):
    (tmp_path / "x.rcc").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ValueError, match=r"x\.rcc is no Qt resource"):
        list(containers.qt_resources(tmp_path / "x.rcc"))


def group(files):
    """A group of OpenClonk, not packed: name -> content, or a dict where it is a sub-group."""
    entries, content = b"", b""
    for name, inside in files.items():
        data = group(inside) if isinstance(inside, dict) else inside
        numbers = struct.pack(
            "<5i", 1, isinstance(inside, dict), len(data), len(data), len(content)
        )
        entries += name.encode().ljust(260, b"\0") + numbers + bytes(36)
        content += data
    header = bytearray(b"RedWolf Design GrpFolder".ljust(36, b"\0") + struct.pack("<i", len(files)))
    header = header.ljust(204, b"\0")
    for i in range(0, len(header) - 2, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    return bytes(byte ^ 237 for byte in header) + entries + content


def packed(blob):
    return b"\x1e\x8c" + gzip.compress(blob, mtime=0)[2:]


NAMES = st.text("abcXYZ.1", min_size=1, max_size=8)
FILES = st.dictionaries(NAMES, st.binary(max_size=40), max_size=4)


@REUSED
@given(FILES, st.dictionaries(NAMES, FILES, max_size=2))
def test_files_of_a_group_and_its_sub_groups_are_listed(tmp_path, files, folders):
    path = tmp_path / "Sound.ocg"
    path.write_bytes(packed(group({**files, **folders})))
    flat = {f"Sound.ocg/{name}": data for name, data in files.items() if name not in folders}
    flat |= {
        f"Sound.ocg/{a}/{b}": data for a, inside in folders.items() for b, data in inside.items()
    }
    assert dict(containers.c4_group(path)) == flat


@REUSED
@given(st.data())
def test_a_damaged_group_is_read_or_a_value_error(tmp_path, data):
    blob = bytearray(group({"a.ogg": b"meow", "b": {"c.ogg": b"woof"}}))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "x.ocg"
    path.write_bytes(packed(bytes(blob[: data.draw(st.integers(0, len(blob)))])))
    with contextlib.suppress(ValueError):
        assert all(len(content) <= len(blob) for _, content in containers.c4_group(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF" + bytes(40), b"\x1e\x8c\0", packed(b"")],
    ids=["nothing", "riff", "cut", "empty"],
)
def test_another_file_is_no_group(tmp_path, content):
    (tmp_path / "x.ocg").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.ocg is no OpenClonk group, or is damaged"):
        list(containers.c4_group(tmp_path / "x.ocg"))


def catalogue(sounds):
    """A catalogue of sounds: (title, wave) in order."""
    table, content = b"", b""
    for title, wave in sounds:
        offset = 8 * len(sounds) + len(content)
        riff = b"RIFF" + struct.pack("<I", len(wave)) + wave
        table += struct.pack("<II", offset | 0x80000000, len(riff))
        content += bytes([len(title)]) + title + riff
    return table + content


WAVES = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=40)), min_size=1, max_size=5)


@REUSED
@given(WAVES)
def test_sounds_of_a_catalogue_are_listed_by_number(tmp_path, sounds):
    (tmp_path / "x.cat").write_bytes(catalogue(sounds))
    read = dict(containers.cat_sounds(tmp_path / "x.cat"))
    assert {number: wave[8:] for number, wave in read.items()} == {
        str(number): wave for number, (_, wave) in enumerate(sounds)
    }


@REUSED
@given(WAVES, st.data())
def test_a_damaged_catalogue_is_read_or_a_value_error(tmp_path, sounds, data):
    blob = bytearray(catalogue(sounds))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "x.cat"
    path.write_bytes(bytes(blob[: data.draw(st.integers(0, len(blob)))]))
    with contextlib.suppress(ValueError):
        assert all(wave.startswith(b"RIFF") for _, wave in containers.cat_sounds(path))


def test_icons_are_drawings_of_the_size_of_their_set_or_their_own(tmp_path):
    icon = '{"width": 9, "icons": {"a": {"body": "<g/>"}, "b": {"body": "<p/>", "height": 7}}}'
    (tmp_path / "icons.json").write_text(icon)
    assert dict(containers.icons(tmp_path / "icons.json")) == {
        "a": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 16"><g/></svg>',
        "b": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 7"><p/></svg>',
    }

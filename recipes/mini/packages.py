"""Fetches the Debian and PyPI packages of ``sources/packages.csv`` and unpacks them; no root.

Knows archives (.deb, wheels, Qt resources, emoji fonts), not what is made of their files. Nothing
is installed and no code from a package is run; every archive's sha256 is checked before it is
opened.
"""

import csv
import hashlib
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from steps import run

SOURCES = Path(__file__).parent / "sources"


def rows(name: str) -> list[dict[str, str]]:
    """Read a table of ``sources/``."""
    with (SOURCES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fetch(root: Path) -> None:
    """Download, check and unpack every package under ``root/debs`` and ``root/pkg``.

    Raises:
        SystemExit: A package is not what the table says, or cannot be had.
    """
    archives, unpacked = root / "debs", root / "pkg"
    archives.mkdir(parents=True, exist_ok=True)
    for row in rows("packages.csv"):
        target = unpacked / row["package"]
        if target.exists():
            continue
        print(f"fetch {row['package']} {row['version']}", file=sys.stderr)
        path = _archive(archives, row) or _download(archives, row)
        seen = hashlib.sha256(path.read_bytes()).hexdigest()
        if seen != row["sha256"]:
            sys.exit(f"{path.name}: sha256 is {seen}, {row['sha256']} expected; was it updated?")
        partial = target.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if row["index"] == "debian":
            run(["dpkg-deb", "-x", str(path), str(partial)])
        else:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(partial)
        partial.rename(target)


def _archive(archives: Path, row: dict[str, str]) -> Path | None:
    """Find a package's archive among the downloaded ones."""
    stem = row["package"] if row["index"] == "debian" else row["package"].replace("-", "_")
    return next(iter(sorted(archives.glob(f"{stem}[_-]*"))), None)


def _download(archives: Path, row: dict[str, str]) -> Path:
    """Download a package by name and version into ``archives``."""
    if row["index"] == "debian":
        command = ["apt-get", "download", f"{row['package']}={row['version']}"]
    else:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        # The very wheels of the table, whatever machine this is.
        pip += ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
        pip += ["--platform", "manylinux_2_28_x86_64", "--platform", "any"]
        command = [*pip, f"{row['package']}=={row['version']}"]
    run(command, archives)
    path = _archive(archives, row)
    if path is None:
        sys.exit(f"{row['package']} was not found after: {' '.join(command)}")
    return path


def qt_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """List the files inside a Qt binary resource (.rcc), format versions 1 to 3.

    Yields:
        Path inside the resource, and content.

    Raises:
        ValueError: It is no Qt resource, or a file in it is compressed in an unknown way.
    """
    blob = path.read_bytes()
    if blob[:4] != b"qres":
        raise ValueError(f"{path} is no Qt resource")
    version, tree, data, names = struct.unpack(">4I", blob[4:20])
    node_size = 14 if version < 2 else 22
    pending = [(0, "")]
    while pending:
        index, prefix = pending.pop()
        node = tree + index * node_size
        name_at, flags = struct.unpack(">IH", blob[node : node + 6])
        name = ""
        if index:
            (length,) = struct.unpack(">H", blob[names + name_at : names + name_at + 2])
            start = names + name_at + 6
            name = blob[start : start + 2 * length].decode("utf-16-be")
        inside = f"{prefix}/{name}" if prefix else name
        if flags & 2:  # a folder: its children are consecutive nodes
            count, first = struct.unpack(">II", blob[node + 6 : node + 14])
            pending += [(child, inside) for child in range(first, first + count)]
            continue
        (at,) = struct.unpack(">I", blob[node + 10 : node + 14])
        (size,) = struct.unpack(">I", blob[data + at : data + at + 4])
        content = blob[data + at + 4 : data + at + 4 + size]
        if flags & 4:
            continue  # zstd; none of the files used is stored that way
        yield inside, zlib.decompress(content[4:]) if flags & 1 else content


def emoji(font: Path) -> Iterator[tuple[str, bytes]]:
    """List the bitmaps of a colour font by the code points they show.

    Yields:
        Lower-case hexadecimal code point, five digits ("1f408"), and its PNG.
    """
    from fontTools.ttLib import TTFont

    loaded = TTFont(font)
    bitmaps = {
        glyph: data.imageData
        for strike in loaded["CBDT"].strikeData
        for glyph, data in strike.items()
    }
    for code_point, glyph in loaded.getBestCmap().items():
        if code_point > 0xFF and glyph in bitmaps:
            yield f"{code_point:05x}", bitmaps[glyph]

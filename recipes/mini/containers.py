"""Readers of the containers that packages keep sounds and pictures in."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

GROUP_HEADER, GROUP_ENTRY = 204, 316


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


def c4_group(path: Path) -> Iterator[tuple[str, bytes]]:
    """List the files inside an OpenClonk group (.ocg, .ocd), of its sub-groups too.

    A group is a gzip file whose first two bytes are changed: a scrambled header with the number of
    entries, the entries, then the content. Source: ``CStdFile`` and ``C4Group`` of OpenClonk.

    Yields:
        Path that begins with the group's own name, and content.

    Raises:
        ValueError: It is no group, or is damaged.
    """
    packed = path.read_bytes()
    try:
        blob = gzip.decompress(b"\x1f\x8b" + packed[2:] if packed[:2] == b"\x1e\x8c" else packed)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no OpenClonk group, or is damaged: {error}") from None
    pending = [(path.name, 0, len(blob))]
    while pending:
        prefix, start, end = pending.pop()
        header = bytearray(byte ^ 237 for byte in blob[start : start + GROUP_HEADER])
        for i in range(0, len(header) - 2, 3):
            header[i], header[i + 2] = header[i + 2], header[i]
        if len(header) < GROUP_HEADER or not header.startswith(b"RedWolf Design GrpFolder"):
            raise ValueError(f"{path} is no OpenClonk group, or is damaged: {prefix}")
        (count,) = struct.unpack_from("<i", header, 36)
        first = start + GROUP_HEADER + GROUP_ENTRY * count
        if not start < first <= end:
            raise ValueError(f"{path} is damaged: {prefix} has {count} entries")
        for number in range(count):
            entry = start + GROUP_HEADER + GROUP_ENTRY * number
            name = blob[entry : entry + 260].split(b"\0")[0].decode("latin-1")
            _, is_group, size, _, offset = struct.unpack_from("<5i", blob, entry + 260)
            if not (size >= 0 and offset >= 0 and first + offset + size <= end):
                raise ValueError(f"{path} is damaged: {prefix}/{name} ends after the file")
            at, inside = first + offset, f"{prefix}/{name}"
            if is_group:
                pending.append((inside, at, at + size))
            else:
                yield inside, blob[at : at + size]


def cat_sounds(path: Path) -> Iterator[tuple[str, bytes]]:
    """List the sounds of a Transport Tycoon sound catalogue (.cat).

    It begins with an offset and a size for each sound; at the offset stand its title, whose first
    byte is its length, and a RIFF file.

    Yields:
        Number of the sound, from "0" on, and a WAV file.

    Raises:
        ValueError: It is no catalogue, or is damaged.
    """
    blob = path.read_bytes()
    first = int.from_bytes(blob[:4], "little") & 0x7FFFFFFF
    if first % 8 or not 8 <= first <= len(blob):
        raise ValueError(f"{path} is no catalogue of sounds")
    for number in range(first // 8):
        (offset,) = struct.unpack_from("<I", blob, 8 * number)
        offset &= 0x7FFFFFFF
        title = blob[offset : offset + 1]
        at = offset + 1 + title[0] if title else len(blob)
        size = int.from_bytes(blob[at + 4 : at + 8], "little") + 8
        if blob[at : at + 4] != b"RIFF" or at + size > len(blob):
            raise ValueError(f"{path} is damaged: sound {number} is no RIFF file")
        yield str(number), blob[at : at + size]


def icons(path: Path) -> Iterator[tuple[str, str]]:
    """List the drawings of an Iconify set (icons.json).

    Yields:
        Name and SVG, black on nothing.
    """
    drawn = json.loads(path.read_text(encoding="utf-8"))
    width, height = drawn.get("width", 16), drawn.get("height", 16)
    for name, icon in drawn["icons"].items():
        box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
        body = icon["body"]
        yield name, f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'

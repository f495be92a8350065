"""Read VGGSound: a CSV without header, of YouTube id, start second, label and split.

The clips are anywhere below the folder of the CSV: cut and named like ``ID_000030.mp4`` or in
another spelling of :func:`spellings`, or whole videos ``ID.mp4``, of which ten seconds are used.
Source: Chen et al. 2020, "VGGSound: A Large-scale Audio-Visual Dataset".
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from clipsonic_cli.data.clip_list import SPLITS
from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import media_by_stem
from clipsonic_cli.data.lists import bounded_lines, check_file
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip

SECONDS = 10


def detect(source: str) -> bool:
    """Return whether it is a CSV that begins as VGGSound's does, or a folder with one."""
    return _table(Path(source)) is not None


def read(source: str) -> Iterator[Clip]:
    """Yield a clip "VIDEO@START" for each row; one whose file is missing has that problem."""
    table = _table(Path(source))
    if table is None:
        raise UsageError(f"'{source}' holds no CSV of VGGSound's (id, start, label, split).")
    media = media_by_stem(table.parent)
    check_file(table)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(bounded_lines(file, table))
            for row in rows:
                if _is_row(row):
                    yield _clip(row, media, table.parent)
                elif row and rows.line_num > 1:  # mirrors have a header in the first
                    why = "no row of id, start, label and split"
                    yield Clip(id=f"{table.name}:{rows.line_num}", media=table, problem=why)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"'{table}' cannot be read: {error}.") from None


def spellings(video: str, start: int) -> list[str]:
    """Return the names, without suffix, that a clip may have, the official one first."""
    end = start + SECONDS
    return [
        f"{video}_{start:06d}",
        f"{video}_{start}",
        f"{video}-{start:06d}",
        f"{video}-{start}",
        f"{video}_{start}_{end}",
        f"{video}_{start:06d}_{end:06d}",
        f"{video}_{start * 1000}_{end * 1000}",
    ]


def _clip(row: list[str], media: dict[str, Path], folder: Path) -> Clip:
    video, start, label, split = row[0], int(row[1]), row[2], SPLITS[row[3]]
    names = spellings(video, start)
    expected = folder / f"{names[0]}.mp4"
    clip = Clip(id=f"{video}@{start}", media=expected, label=label, split=split)
    if name := next((name for name in names if name in media), None):
        return replace(clip, media=media[name])
    if video in media:
        return replace(clip, media=media[video], start=start, seconds=SECONDS)
    return replace(clip, problem="not found")


def _table(path: Path) -> Path | None:
    """Return the CSV of a source, or None."""
    tables = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    for table in tables:
        if table.suffix.lower() != ".csv" or not table.is_file():
            continue
        try:
            with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                lines = [file.readline(10_000), file.readline(10_000)]
            first, *others = list(csv.reader(lines)) or [[]]
            # Mirrors have a header; the column "media" is that of another list's.
            if _is_row(first) or ("media" not in first and any(map(_is_row, others))):
                return table
        except (OSError, csv.Error):
            continue
    return None


def _is_row(row: list[str]) -> bool:
    return len(row) == 4 and re.fullmatch("[0-9]{1,7}", row[1]) is not None and row[3] in SPLITS


READER = Reader(detect=detect, read=read)

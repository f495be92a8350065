"""Read MUSIC: a JSON file of YouTube ids by instrument.

    {"videos": {"acoustic_guitar": ["ID", ...], ...}}

Whole videos ``ID.mp4`` are anywhere below the folder of the JSON file. The data set states no
split: it is drawn, 9 to 1, from each id and the seed, so that missing videos move no others.

Source: Zhao et al. 2018, "The Sound of Pixels"; CLIPSonic section 3, "Data".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipsonic_cli import bounded
from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import media_by_stem
from clipsonic_cli.data.lists import MAX_JSON
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip

MAX_INDEXES = 20
"""JSON files in a folder above which none is read; a download often has one for each video."""


def detect(source: str) -> bool:
    """Return whether it is a JSON file in MUSIC's format, or a folder with one."""
    return bool(_indexes(Path(source)))


def read(source: str) -> Iterator[Clip]:
    """Yield the videos by instrument; one that is missing has that problem."""
    indexes = _indexes(Path(source))
    if len(indexes) != 1:
        seen = ", ".join(path.name for path in indexes) or "none"
        raise UsageError(f"'{source}' must hold one JSON of MUSIC's ({seen}); name the file.")
    [(path, videos)] = indexes.items()
    media = media_by_stem(path.parent)
    for instrument, names in videos.items():
        for name in names:
            there = media.get(name)
            yield Clip(
                id=name,
                media=there or path.parent / f"{name}.mp4",
                label=instrument.replace("_", " "),
                problem=None if there else "not found",
            )


def _indexes(path: Path) -> dict[Path, dict[str, list[str]]]:
    """Return the JSON files of a source in MUSIC's format, with the videos that they list."""
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[Path, dict[str, list[str]]] = {}
    if len(paths) > MAX_INDEXES:
        return found
    for file in paths:
        if file.suffix.lower() != ".json" or not file.is_file():
            continue
        try:
            content: Any = bounded.read_json(file, MAX_JSON, encoding="utf-8-sig")
        except (OSError, ValueError):
            continue
        videos = content.get("videos") if isinstance(content, dict) else None
        if isinstance(videos, dict) and all(_is_names(names) for names in videos.values()):
            found[file] = videos
    return found


def _is_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


READER = Reader(detect=detect, read=read)

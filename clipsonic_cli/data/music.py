"""Read MUSIC: a JSON file of YouTube ids by instrument, ``{"videos": {"flute": ["ID", ...]}}``.

Whole videos ``ID.mp4`` are anywhere below the folder of the JSON file. The data set states no
split. Source: Zhao et al. 2018, "The Sound of Pixels"; CLIPSonic section 3, "Data".
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
            yield Clip(
                id=name,
                media=media.get(name, path.parent / f"{name}.mp4"),
                label=instrument.replace("_", " "),
                problem=None if name in media else "not found",
            )


def _indexes(path: Path) -> dict[Path, dict[str, list[str]]]:
    """Return the JSON files of a source in MUSIC's format, with the videos that they list."""
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    indexes: dict[Path, dict[str, list[str]]] = {}
    if len(paths) > 20:  # a download often has a JSON for each video
        return indexes
    for file in paths:
        if file.suffix.lower() != ".json":
            continue
        try:
            content: Any = bounded.read_json(file, MAX_JSON, encoding="utf-8-sig")
        except (OSError, ValueError):
            continue
        videos = content.get("videos") if isinstance(content, dict) else None
        if isinstance(videos, dict) and all(map(_is_names, videos.values())):
            indexes[file] = videos
    return indexes


def _is_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


READER = Reader(detect=detect, read=read)

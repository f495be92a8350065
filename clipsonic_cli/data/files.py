"""Find the files below a folder, each once and in one order, whatever links and permissions do."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clipsonic_cli.text import is_words

VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3g2", ".mkv", ".webm", ".ogv", ".ogm"),
        *(".mpg", ".mpeg", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".avi", ".divx"),
        *(".flv", ".wmv", ".asf", ".rm", ".rmvb", ".mxf", ".dv", ".nut", ".mj2", ".gif"),
    )
)
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
SOUNDS = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".caf", ".aif", ".aiff", ".aifc", ".au", ".snd"),
        *(".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".m4a", ".m4b", ".aac", ".ac3"),
        *(".eac3", ".dts", ".wma", ".wv", ".ape", ".tta", ".mka", ".weba", ".amr", ".voc"),
    )
)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A file, or a folder that cannot be entered."""

    path: Path
    problem: str | None = None
    """Why the folder cannot be entered."""

    @property
    def suffix(self) -> str:
        """The suffix in lower case, with its dot."""
        return self.path.suffix.lower()


def walk(root: Path, *, hidden: bool = False) -> Iterator[FoundFiles]:
    """Yield the files below a folder.

    Links are followed after everything in the folder itself, and no folder is entered twice, so
    that a loop ends. Names that begin with a dot are left out.

    Args:
        root: The folder.
        hidden: Also yield files and folders with names that begin with a dot; such folders are not
            entered. Files that macOS keeps for itself (._x, .DS_Store) are never yielded.

    Yields:
        Files folder by folder, sorted by name, and folders that cannot be entered. A folder with a
        video's suffix is both yielded and entered.
    """
    pending, entered = deque([root]), set[tuple[int, int]]()
    while pending:
        top = pending.popleft()
        try:
            status = top.stat()
        except OSError as error:
            yield FoundFiles(top, f"the folder cannot be entered: {error.strerror}")
            continue
        if (status.st_dev, status.st_ino) in entered:
            yield FoundFiles(top, "a link to a folder that was entered already")
            continue
        failed: list[OSError] = []
        for here, folders, names in os.walk(top, onerror=failed.append):
            own = os.stat(here)  # noqa: PTH116 - for speed, as os.walk gives text
            entered.add((own.st_dev, own.st_ino))
            if hidden:
                yield from (
                    FoundFiles(Path(here, name)) for name in sorted(folders) if name[0] == "."
                )
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = [Path(here, name) for name in folders]
            pending.extend(path for path in below if path.is_symlink())
            yield from (FoundFiles(path) for path in below if path.suffix.lower() in VIDEOS)
            yield from (
                FoundFiles(Path(here, name))
                for name in sorted(names)
                if name[0] != "." or (hidden and not _is_of_system(name))
            )
            yield from _failures(failed)
        yield from _failures(failed)


def _is_of_system(name: str) -> bool:
    """Return whether macOS keeps a file for itself: metadata of another file, or of a folder."""
    return name.startswith("._") or name in (".DS_Store", ".localized")


def is_part_of_download(path: Path) -> bool:
    """Return whether a file is what yt-dlp leaves of a download: unfinished, or not yet joined.

    "a.f137.mp4" is one stream of "a.mp4", and counts as a part only if that exists.
    """
    stem, suffix = Path(path.stem), path.suffix.lower()
    if suffix in (".part", ".ytdl", ".crdownload", ".download") or stem.suffix == ".temp":
        return True
    if not re.fullmatch(r"\.f\d+(-\w+)?|\.fhls\S*|\.fdash\S*", stem.suffix):
        return False
    return any(path.with_name(stem.stem + known).is_file() for known in VIDEOS)


def name_of(path: Path, root: Path) -> str:
    """Return a file's path within the data set, with slashes on every system."""
    return path.relative_to(root).as_posix()


def label_of(path: Path, root: Path) -> str | None:
    """Return the name of a file's folder as its label.

    None if it is the data set's own folder, or its name has no word or is not UTF-8.
    """
    return path.parent.name if path.parent != root and is_words(path.parent.name) else None


def media_by_stem(root: Path) -> dict[str, Path]:
    """Return the videos below a folder by name without suffix; the first of equal names."""
    found: dict[str, Path] = {}
    for file in walk(root):
        if file.problem is None and file.suffix in VIDEOS:
            found.setdefault(file.path.stem, file.path)
    return found


def _failures(failed: list[OSError]) -> Iterator[FoundFiles]:
    while failed:
        error = failed.pop(0)
        yield FoundFiles(Path(error.filename), f"the folder cannot be read: {error.strerror}")

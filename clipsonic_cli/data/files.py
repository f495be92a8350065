"""Find the files below a folder, each once and in one order, whatever links and permissions do."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3g2", ".mkv", ".webm", ".ogv", ".ogm"),
        *(".mpg", ".mpeg", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".avi", ".divx"),
        *(".flv", ".wmv", ".asf", ".rm", ".rmvb", ".mxf", ".dv", ".nut", ".mj2", ".gif"),
    )
)
IMAGES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
AUDIO = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".caf", ".aif", ".aiff", ".aifc", ".au", ".snd"),
        *(".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".m4a", ".m4b", ".aac", ".ac3"),
        *(".eac3", ".dts", ".wma", ".wv", ".ape", ".tta", ".mka", ".weba", ".amr", ".voc"),
    )
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file, or a folder that cannot be entered."""

    path: Path
    problem: str | None = None
    """Why the folder cannot be entered."""

    @property
    def suffix(self) -> str:
        """The suffix in lower case, with its dot."""
        return self.path.suffix.lower()


def walk(root: Path, *, hidden: bool = False) -> Iterator[FoundFile]:
    """Yield the files below a folder, folder by folder, sorted by name.

    Links are followed after everything in the folder itself, and no folder is entered twice, so
    that a loop ends. A folder with a video's suffix is both yielded and entered. With ``hidden``,
    names that begin with a dot are yielded too, except those that macOS keeps for itself (._x,
    .DS_Store); such folders are not entered.
    """
    pending, entered = deque([root]), set[tuple[int, int]]()
    while pending:
        top = pending.popleft()
        try:
            status = top.stat()
        except OSError as error:
            yield FoundFile(top, f"the folder cannot be entered: {error.strerror}")
            continue
        if (status.st_dev, status.st_ino) in entered:
            yield FoundFile(top, "a link to a folder that was entered already")
            continue
        failed: list[OSError] = []
        for place, folders, names in os.walk(top, onerror=failed.append):
            own = os.stat(place)  # noqa: PTH116 - for speed, as os.walk gives text
            entered.add((own.st_dev, own.st_ino))
            if hidden:
                yield from (FoundFile(Path(place, n)) for n in sorted(folders) if n[0] == ".")
            folders[:] = sorted(name for name in folders if name[0] != ".")
            below = [Path(place, name) for name in folders]
            pending.extend(path for path in below if path.is_symlink())
            yield from (FoundFile(path) for path in below if path.suffix.lower() in VIDEOS)
            for name in sorted(names):
                of_macos = name.startswith("._") or name in (".DS_Store", ".localized")
                if name[0] != "." or (hidden and not of_macos):
                    yield FoundFile(Path(place, name))
        for failure in failed:
            why = f"the folder cannot be read: {failure.strerror}"
            yield FoundFile(Path(failure.filename), why)


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


def media_by_stem(root: Path) -> dict[str, Path]:
    """Return the videos below a folder by name without suffix; the first of equal names."""
    videos = [file.path for file in walk(root) if file.problem is None and file.suffix in VIDEOS]
    return {path.stem: path for path in reversed(videos)}

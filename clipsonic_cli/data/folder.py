"""Read a folder of videos, or of pairs of an image and an audio file (``dog.jpg``, ``dog.wav``).

Both may be nested; a clip's label is the name of its folder. Files of other kinds and parts of
downloads are not listed; ``data/listing.py`` reports them.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from clipsonic_cli.data import files
from clipsonic_cli.data.clips import Reader
from clipsonic_cli.data.files import AUDIO, IMAGES, FoundFile
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import is_words
from clipsonic_cli.types import Clip


def _detect(source: str) -> bool:
    return Path(source).is_dir()


def _read_videos(source: str) -> Iterator[Clip]:
    """Yield the videos below a folder, sorted by path within each folder."""
    for file in _walk(source, "videos"):
        is_video = file.suffix in files.VIDEOS and not files.is_part_of_download(file.path)
        if is_video or file.problem is not None:
            yield _clip(file, source, file.problem)


def _read_pairs(source: str) -> Iterator[Clip]:
    """Yield the images below a folder, each with the audio file of its name."""
    for _, group in groupby(_walk(source, "images and audio files"), lambda file: file.path.parent):
        found = list(group)
        images = {file.path.stem for file in found if file.suffix in IMAGES}
        audio: dict[str, Path] = {}
        for file in found:
            if file.problem is None and file.suffix in AUDIO:
                audio.setdefault(file.path.stem, file.path)
        for file in found:
            sound, problem = audio.get(file.path.stem), file.problem
            if file.suffix in AUDIO and file.path.stem not in images:
                sound, problem = None, problem or "no image of its name"
            elif file.suffix in AUDIO and sound == file.path:
                continue  # it is listed with its images
            elif file.suffix in AUDIO:
                sound, problem = None, problem or "another audio file has the same name"
            elif file.suffix not in IMAGES and problem is None:
                continue
            elif sound is None:
                problem = problem or "no audio file of its name"
            yield _clip(file, source, problem, sound)


def _walk(source: str, kind: str) -> Iterator[FoundFile]:
    if not Path(source).is_dir():
        raise UsageError(f"'{source}' is not a folder of {kind}.")
    return files.walk(Path(source))


def _clip(file: FoundFile, source: str, problem: str | None, sound: Path | None = None) -> Clip:
    """Return a clip; without a label if its folder is the data set's own, or has no word in it."""
    root, folder = Path(source), file.path.parent
    return Clip(
        id=files.name_of(file.path, root),
        media=file.path,
        sound=sound,
        label=folder.name if folder != root and is_words(folder.name) else None,
        problem=problem,
    )


FOLDER = Reader(detect=_detect, read=_read_videos)
PAIRS = Reader(detect=_detect, read=_read_pairs)

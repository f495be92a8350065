"""List a data set: find its format, read its clips, and report which files are left out.

Knows: how the files of a folder are counted to choose a format. Does not know: how a format is laid
out.
"""

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from clipsonic_cli.data import READERS
from clipsonic_cli.data.clip_list import unused_columns
from clipsonic_cli.data.clips import Reader, check_exists, is_address, read_clips, with_splits
from clipsonic_cli.data.files import (
    PICTURES,
    SOUNDS,
    VIDEOS,
    FoundFiles,
    is_part_of_download,
    name_of,
    walk,
)
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import SHOWN, printable
from clipsonic_cli.types import Clip, Member

LISTS = ("vggsound", "music", "manifest")
"""Formats of a list in the folder, which decides if the files it names exist."""
TITLES = {
    "vggsound": "VGGSound",
    "music": "MUSIC",
    "manifest": "a list (manifest)",
    "shards": "WebDataset shards",
    "pairs": "pictures with sounds of the same name",
    "folder": "a folder of videos",
}
ROWS, MEMBERS, ARCHIVES = 1000, 1000, 100
"""Rows of a list, members of an archive, and archives read to choose a format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The clips of a data set, and how they were found."""

    format: str
    """A name of ``READERS``."""
    clips: Sequence[Clip]
    notes: tuple[str, ...] = ()
    """How the format was found, and what is left out, a line each."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Files of a folder that no clip names, with the reason."""


def list_clips(source: str, *, format: str | None = None, seed: int = 0) -> Listing:  # noqa: A002
    """List the clips of a data set, and report how it was read.

    Args:
        source: As for :func:`~clipsonic_cli.data.clips.read_clips`.
        format: A name of ``READERS``; None finds it.
        seed: Seed of the split if the data set states none
            (:func:`~clipsonic_cli.data.clips.with_splits`).

    Raises:
        UsageError: There is no data set, or its format is not known.
    """
    check_exists(source)
    if is_address(source) or not Path(source).is_dir():
        name = format or find_format(source)
        listed = list(read_clips(source, format=name))
        unused = unused_columns(source) if name == "manifest" else []
        shown = ", ".join(map(printable, unused[:SHOWN])) + ", ..." * (len(unused) > SHOWN)
        notes = [f"columns not used: {shown}"] if unused else []
        return _split(Listing(format=name, clips=listed, notes=tuple(notes)), seed)
    folder = Folder(Path(source))
    name = READERS.check(format) if format else folder.choose()
    clips = list(read_clips(source, format=name))
    left_out = folder.left_out(clips, name)
    notes = [] if format else [folder.reading_as(name)]
    notes += [left_out_line(left_out)] if left_out else []
    notes += folder.unlabelled(clips, name)
    return _split(Listing(format=name, clips=clips, notes=tuple(notes), left_out=left_out), seed)


def _split(listing: Listing, seed: int) -> Listing:
    """Draw the splits that the data set does not state; add a note if no clip is for testing."""
    clips, notes = with_splits(listing.clips, seed=seed), listing.notes
    drawn = any(clip.split is None for clip in listing.clips)
    if drawn and all(clip.split != "test" for clip in clips):
        notes += (
            "no clips are held out for testing: one video in ten is drawn, and here none was",
        )
    return replace(listing, clips=clips, notes=notes)


def find_format(source: str) -> str:
    """Return the name of the format of ``READERS`` that a source has.

    Raises:
        UsageError: The source is missing, or of no known format.
    """
    check_exists(source)
    if not is_address(source) and Path(source).is_dir():
        return Folder(Path(source)).choose()
    for name in READERS:
        if _reader(name).detect(source):
            return name
    raise UsageError(
        f"'{source}' has no known data format. Give a folder of videos, or name its format: "
        f"{', '.join(READERS)}."
    )


class Folder:
    """The files of a folder, counted by kind.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = [file for file in walk(root, hidden=True) if file.problem is None]
        seen = [file for file in self.files if file.path.name[0] != "."]
        self.videos = [f for f in seen if f.suffix in VIDEOS - PICTURES]
        self.sounds = [f for f in seen if f.suffix in SOUNDS]
        self.pictures = [f for f in seen if f.suffix in PICTURES]
        self.archives = [f for f in seen if f.suffix == ".tar"]
        media = len(self.videos) + len(self.sounds) + len(self.pictures) + len(self.archives)
        self.others = len(seen) - media
        stems = {_stem(file) for file in self.pictures}
        self.pairs = {_stem(file) for file in self.sounds} & stems

    def choose(self) -> str:
        """Return the format that most of the files have.

        A list in the folder decides if it names a file that exists, or if there are no other
        media. Otherwise the most numerous kind decides: videos, image and audio files of one name
        that no video has, or clips in archives; of equal numbers videos, then pairs.

        Raises:
            UsageError: There are no media.
        """
        lists = [name for name in LISTS if _reader(name).detect(str(self.root))]
        for name in lists:
            if self._is_here(name):
                return name
        apart = self.pairs - {_stem(file) for file in self.videos}
        gifs = 0 if apart else sum(file.suffix == ".gif" for file in self.pictures)
        counts = {
            "folder": len(self.videos) + gifs,
            "pairs": len(apart),
            "shards": self.archived,
        }
        best = max(counts, key=lambda name: counts[name])  # the first of equal ones
        if counts[best]:
            return best
        if lists:
            return lists[0]
        if self.archives:  # the reader says what is wrong with them
            return "shards"
        raise UsageError(
            f"'{self.root}' holds no videos: found {self.counts}. Give a folder of videos, or of "
            "pictures with sounds of the same name."
        )

    def _is_here(self, name: str) -> bool:
        """Return whether one of the files exists that a list's first rows name."""
        try:
            clips = list(islice(_reader(name).read(str(self.root)), ROWS))
        except UsageError:  # reading it will report what is wrong with the list
            return True
        return any(clip.problem is None and _exists(clip) for clip in clips)

    @cached_property
    def archived(self) -> int:
        """How many clips the first tar files hold."""
        return sum(_clips_in(file.path) for file in self.archives[:ARCHIVES])

    @property
    def counts(self) -> str:
        """All files by kind, such as "2 videos, 1 picture"."""
        kinds = {
            "video": len(self.videos),
            "sound": len(self.sounds),
            "picture": len(self.pictures),
            "archive": len(self.archives),
            "other file": self.others,
        }
        some = [f"{n:,} {kind}{'s' if n > 1 else ''}" for kind, n in kinds.items() if n]
        return ", ".join(some) or "no files"

    def reading_as(self, name: str) -> str:
        """Return the note on the format chosen: the files found, and the other formats possible."""
        able = {
            "folder": len(self.videos),
            "pairs": len(self.pairs),
            "shards": self.archived,
        }
        others = [
            f"`format` {other} reads {TITLES[other]} ({count:,})"
            for other, count in able.items()
            if count and other != name
        ]
        return "; ".join([f"found {self.counts}: reading as {TITLES[name]}", *others])

    def unlabelled(self, clips: Iterable[Clip], name: str) -> list[str]:
        """Return a note on folders that cannot be labels, if the format takes labels from them."""
        if name not in ("folder", "pairs"):
            return []
        folders = Counter(
            clip.media.parent
            for clip in clips
            if clip.label is None and isinstance(clip.media, Path) and clip.problem is None
        )
        odd = [printable(name_of(place, self.root)) for place in folders if place != self.root]
        if not odd:
            return []
        shown = ", ".join(f"'{one}'" for one in odd[:SHOWN]) + ", ..." * (len(odd) > SHOWN)
        count = sum(folders[place] for place in folders if place != self.root)
        return [f"no label for {count:,} clips: {shown} has no word, or is not UTF-8"]

    def left_out(self, clips: Iterable[Clip], name: str) -> dict[str, str]:
        """Return the files that no clip names, with the reason.

        Args:
            clips: As the reader listed them.
            name: The format; the lists of a format of lists are not left out.
        """
        used: set[Path] = set()
        for clip in clips:
            for media in (clip.media, clip.sound):
                if media is not None:
                    used.add(Path(media.shard) if isinstance(media, Member) else media)
        stems = {_stem(file) for file in self.videos}
        lists = (".csv", ".json", ".jsonl") if name in LISTS else ()
        return {
            printable(name_of(file.path, self.root)): _reason(file, name, stems)
            for file in self.files
            if file.path not in used
            and not (file.suffix in lists and file.path.parent == self.root)
        }


def _reader(name: str) -> Reader:
    reader: Reader = READERS.load(name)
    return reader


def _stem(file: FoundFiles) -> Path:
    """Return a file's path without its suffix."""
    return file.path.with_suffix("")


def _reason(file: FoundFiles, name: str, stems: set[Path]) -> str:
    """Return why no clip names a file."""
    path = file.path
    if path.name[0] == ".":
        return "hidden"
    if is_part_of_download(path):
        return "a part of a download"
    if name in LISTS and file.suffix in VIDEOS | SOUNDS | PICTURES:
        return "not in the list"
    bare = path.with_suffix("")
    while bare.suffix and bare not in stems:  # a.en.vtt and a.info.json go with a.mp4
        bare = bare.with_suffix("")
    if bare in stems and file.suffix not in VIDEOS:
        return "goes with the video of its name"
    wanted = {"folder": "a video", "pairs": "a picture or sound", "shards": "an archive (.tar)"}
    return f"not {wanted.get(name, 'media')} by its name"


def left_out_line(left_out: Mapping[str, str]) -> str:
    """Return a note on the files left out: for each reason their number and the first names."""
    parts = []
    for reason, count in Counter(left_out.values()).most_common():
        names = [name for name, why in left_out.items() if why == reason]
        some = ", ".join(f"'{name}'" for name in names[:SHOWN])
        more = ", ..." if count > SHOWN else ""
        parts.append(f"{reason} ({count:,}: {some}{more})")
    plural = "s" if len(left_out) > 1 else ""
    return f"left out {len(left_out):,} file{plural}: {'; '.join(parts)}"


def _exists(clip: Clip) -> bool:
    try:
        return isinstance(clip.media, Path) and clip.media.is_file()
    except OSError:
        return False


def _clips_in(archive: Path) -> int:
    """Return how many clips the first members of a tar file are, by their names."""
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            names = [info.name for info in islice(tar, MEMBERS)]
    except (tarfile.TarError, OSError):
        return 0
    return len({Path(name).with_suffix("") for name in _media(names)})


def _media(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if Path(name).suffix.lower() in VIDEOS | PICTURES)

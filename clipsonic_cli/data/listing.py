"""List a data set: find its format, read its clips, and report which files are left out."""

import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from clipsonic_cli.data import READERS
from clipsonic_cli.data.clip_list import unused_columns
from clipsonic_cli.data.clips import check_exists, is_address, read_clips
from clipsonic_cli.data.files import AUDIO, IMAGES, VIDEOS, is_part_of_download, name_of, walk
from clipsonic_cli.data.splits import SplitDraw, with_splits
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import counted, first, printable
from clipsonic_cli.types import Clip, Member, Split

LISTS = ("vggsound", "music", "manifest")
"""Formats of a list in the folder, which decides if the files it names exist."""
TITLES = {
    "vggsound": "VGGSound",
    "music": "MUSIC",
    "manifest": "a list (manifest)",
    "shards": "WebDataset shards",
    "pairs": "images and audio files of the same name",
    "folder": "a folder of videos",
}


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
    drawn: tuple[Split, ...] = ()
    """Splits that were drawn, as the data set does not state them."""


def list_clips(
    source: str,
    *,
    format: str | None = None,  # noqa: A002
    splits: SplitDraw | None = None,
) -> Listing:
    """List the clips of a data set, and report how it was read.

    Args:
        source: A folder, file or address, as in :func:`~clipsonic_cli.data.clips.read_clips`.
        format: A name of ``READERS``; None finds it.
        splits: How splits are drawn that the data set does not state; None is by the defaults.
    """
    check_exists(source)
    notes: list[str] = []
    left_out: dict[str, str] = {}
    if is_address(source) or not Path(source).is_dir():
        name = format or find_format(source)
        listed = list(read_clips(source, format=name))
        if name == "manifest" and (unused := unused_columns(source)):
            notes.append(f"columns not used: {first([printable(column) for column in unused])}")
    else:
        folder = Folder(Path(source))
        name = READERS.check(format) if format else folder.choose()
        listed = list(read_clips(source, format=name))
        left_out = folder.left_out(listed, name)
        if not format:
            notes.append(folder.reading_as(name))
        if left_out:
            notes.append(left_out_line(left_out))
        notes += folder.unlabelled(listed, name)

    # Draw the splits that the data set does not state.
    splits = splits or SplitDraw()
    clips = with_splits(listed, splits)
    drawn: list[Split] = []
    if splits.test_share and any(clip.split is None for clip in listed):
        drawn.append("test")
        if all(clip.split != "test" for clip in clips):
            why = "it takes two videos of one label, or of none"
            notes.append(f"no clips are held out for testing: {why}")
    if splits.valid_share and all(clip.split != "valid" for clip in listed):
        drawn.append("valid")
    return Listing(
        format=name, clips=clips, notes=tuple(notes), left_out=left_out, drawn=tuple(drawn)
    )


def find_format(source: str) -> str:
    """Return the name of the format of ``READERS`` that a source has."""
    check_exists(source)
    if not is_address(source) and Path(source).is_dir():
        return Folder(Path(source)).choose()
    for name in READERS:
        if READERS.load(name).detect(source):
            return name
    if Path(source).suffix.lower() in VIDEOS | AUDIO | IMAGES:
        raise UsageError(
            f"'{source}' is one file; give the folder it is in: '{Path(source).parent}'."
        )
    raise UsageError(
        f"'{source}' has no known data format. Give a folder of videos, or name its format: "
        f"{', '.join(READERS)}."
    )


class Folder:
    """The files of a folder, counted by kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = [file.path for file in walk(root, hidden=True) if file.problem is None]
        visible = [path for path in self.files if path.name[0] != "."]
        self.videos = _of_kind(visible, VIDEOS - IMAGES)
        self.audio = _of_kind(visible, AUDIO)
        self.images = _of_kind(visible, IMAGES)
        self.archives = _of_kind(visible, frozenset({".tar"}))
        media = len(self.videos) + len(self.audio) + len(self.images) + len(self.archives)
        self.others = len(visible) - media
        self.stems = {path.with_suffix("") for path in self.videos}
        images = {path.with_suffix("") for path in self.images}
        self.pairs = {path.with_suffix("") for path in self.audio} & images

    def choose(self) -> str:
        """Return the format that most of the files have.

        A list in the folder decides if it names a file that exists, or if there are no other
        media. Otherwise the most numerous kind decides: videos, image and audio files of one name
        that no video has, or clips in archives; of equal numbers videos, then pairs.

        Raises:
            UsageError: There are no media.
        """
        lists = [name for name in LISTS if READERS.load(name).detect(str(self.root))]
        for name in lists:
            if self._has_files_of(name):
                return name
        pairs = self.pairs - self.stems
        gifs = 0 if pairs else len(_of_kind(self.images, frozenset({".gif"})))
        counts = {"folder": len(self.videos) + gifs, "pairs": len(pairs), "shards": self.archived}
        best = max(counts, key=lambda name: counts[name])  # the first of equal ones
        if counts[best]:
            return best
        if lists:
            return lists[0]
        if self.archives:  # the reader says what is wrong with them
            return "shards"
        raise UsageError(
            f"'{self.root}' holds no videos: found {self.counts}. Give a folder of videos, or of "
            f"{TITLES['pairs']}."
        )

    def _has_files_of(self, name: str) -> bool:
        """Return whether one of the files exists that a list's first thousand rows name."""
        try:
            clips = list(islice(READERS.load(name).read(str(self.root)), 1000))
        except UsageError:  # reading it will report what is wrong with the list
            return True
        return any(clip.problem is None and _exists(clip.media) for clip in clips)

    @cached_property
    def archived(self) -> int:
        """How many clips the first hundred tar files hold."""
        return sum(map(_clips_in, self.archives[:100]))

    @property
    def counts(self) -> str:
        """All files by kind, such as "2 videos, 1 image"."""
        kinds = {
            "video": len(self.videos),
            "audio file": len(self.audio),
            "image": len(self.images),
            "archive": len(self.archives),
            "other file": self.others,
        }
        some = [counted(n, kind) for kind, n in kinds.items() if n]
        return ", ".join(some) or "no files"

    def reading_as(self, name: str) -> str:
        """Return the note on the format chosen: the files found, and the other formats possible."""
        able = {"folder": len(self.videos), "pairs": len(self.pairs), "shards": self.archived}
        others = [
            f"`data_format` {other} reads {TITLES[other]} ({count:,})"
            for other, count in able.items()
            if count and other != name
        ]
        return "; ".join([f"found {self.counts}: reading as {TITLES[name]}", *others])

    def unlabelled(self, clips: Iterable[Clip], name: str) -> list[str]:
        """Return a note on folders that cannot be labels, if the format takes labels from them."""
        if name not in ("folder", "pairs"):
            return []
        folders = Counter(
            name_of(clip.media.parent, self.root)
            for clip in clips
            if clip.label is None and isinstance(clip.media, Path) and clip.problem is None
        )
        del folders["."]  # the data set's own folder is no label
        if not folders:
            return []
        shown = first([f"'{printable(folder)}'" for folder in folders])
        return [
            f"no label for {counted(folders.total(), 'clip')}: {shown} has no word, or is not UTF-8"
        ]

    def left_out(self, clips: Iterable[Clip], name: str) -> dict[str, str]:
        """Return the files that no clip in a format names, with the reason; not its own lists."""
        used = {
            Path(media.shard) if isinstance(media, Member) else media
            for clip in clips
            for media in (clip.media, clip.sound)
        }
        lists = (".csv", ".json", ".jsonl") if name in LISTS else ()
        return {
            printable(name_of(path, self.root)): self._reason(path, name)
            for path in self.files
            if path not in used and not (path.suffix.lower() in lists and path.parent == self.root)
        }

    def _reason(self, path: Path, name: str) -> str:
        """Return why no clip names a file."""
        suffix = path.suffix.lower()
        if path.name[0] == ".":
            return "hidden"
        if is_part_of_download(path):
            return "a part of a download"
        if name in LISTS and suffix in VIDEOS | AUDIO | IMAGES:
            return "not in the list"
        stem = path.with_suffix("")
        while stem.suffix and stem not in self.stems:  # a.en.vtt and a.info.json go with a.mp4
            stem = stem.with_suffix("")
        if stem in self.stems and suffix not in VIDEOS:
            return "goes with the video of its name"
        wanted = {"folder": "a video", "pairs": "an image or audio", "shards": "an archive (.tar)"}
        return f"not {wanted.get(name, 'media')} by its name"


def left_out_line(left_out: Mapping[str, str]) -> str:
    """Return a note on the files left out: for each reason their number and the first names."""
    parts = []
    for reason, count in Counter(left_out.values()).most_common():
        names = [f"'{name}'" for name, why in left_out.items() if why == reason]
        parts.append(f"{reason} ({count:,}: {first(names)})")
    return f"left out {counted(len(left_out), 'file')}: {'; '.join(parts)}"


def _of_kind(paths: Iterable[Path], suffixes: frozenset[str]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in suffixes]


def _exists(media: Path | Member) -> bool:
    try:
        return isinstance(media, Path) and media.is_file()
    except OSError:
        return False


def _clips_in(archive: Path) -> int:
    """Return how many clips the first thousand members of a tar file are, by their names."""
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            paths = [Path(info.name) for info in islice(tar, 1000)]
    except (tarfile.TarError, OSError):
        return 0
    return len({path.with_suffix("") for path in _of_kind(paths, VIDEOS | IMAGES)})

"""The clips of a data set that are fit for training, and where in which shards they lie.

A catalogue is a file of JSON lines beside its shards, named by its content: a training that goes on
finds the very clips it began with, whatever has become of the data set, and the folder can be
trained on from anywhere, also over the web. Imports no torch.
"""

import dataclasses
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from clipsonic_cli.atomic import written
from clipsonic_cli.data.check import Finding, Flaw, Rules, short, unreadable
from clipsonic_cli.data.clips import is_address
from clipsonic_cli.data.source import open_shard
from clipsonic_cli.errors import UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.feature_shards import SUFFIX as SHARD
from clipsonic_cli.preparation.feature_shards import ClipTensors, Index, key_of
from clipsonic_cli.types import Clip, Split

FORMAT = 1
NAME = "catalogue-"
SUFFIX = ".jsonl"
FIELDS = ("shard", "mel", "mel_frames", "frame", "frames", "wave", "samples")
"""Whole numbers a clip has: the shard, then where its rows begin and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    id: str
    label: str | None
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLocation:
    """Where a clip lies.

    Args:
        shard: Number of its shard.
        mel: First row of its mel.
        mel_frames: T.
        frame: First row of its frames.
        frames: n.
        wave: First row of its sound.
        samples: N, 0 where the sound is not kept.
        frame_rate: Frames a second; 0 for a still picture.
    """

    shard: int
    mel: int
    mel_frames: int
    frame: int
    frames: int
    wave: int
    samples: int
    frame_rate: float


class Catalogue:
    """Clips by number, in the order of the data set; under two hundred bytes each.

    Args:
        config: What was kept of each.
        folder: Of the shards: a path or an address.
        shards: Names of their files in there.

    Attributes:
        shards: Names of the shards' files.
        ids: Name of each clip.
        labels: Label of each clip, or None.
        splits: Split of each clip.
    """

    def __init__(self, config: PreparationConfig, folder: str, shards: Sequence[str]) -> None:
        self.config, self.folder, self.shards = config, folder, list(shards)
        self.ids: list[str] = []
        self.labels: list[str | None] = []
        self.splits: list[Split] = []
        self._rates = array("d")
        self._numbers = array("q")
        self._words: dict[str, str] = {}  # one object for each label

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, clip_id: str, label: str | None, split: Split, place: ClipLocation) -> None:
        """Adds a clip."""
        self.ids.append(clip_id)
        self.labels.append(label if label is None else self._words.setdefault(label, label))
        self.splits.append(split)
        self._rates.append(place.frame_rate)
        self._numbers.extend(getattr(place, name) for name in FIELDS)

    def place(self, clip: int) -> ClipLocation:
        """Gives where a clip lies."""
        start = clip * len(FIELDS)
        numbers = self._numbers[start : start + len(FIELDS)]
        named: dict[str, Any] = dict(zip(FIELDS, numbers, strict=True))
        return ClipLocation(frame_rate=self._rates[clip], **named)

    def numbers(self, *splits: Split, mel_frames: int = 0) -> list[int]:
        """Gives the numbers of the clips of some splits.

        Args:
            splits: Which.
            mel_frames: Frames of mel that a clip needs; what is short depends on the training, and
                a catalogue may have been made for another.
        """
        lengths = self._numbers[FIELDS.index("mel_frames") :: len(FIELDS)]
        told = enumerate(zip(self.splits, lengths, strict=True))
        return [n for n, (split, length) in told if split in splits and length >= mel_frames]

    def shard(self, number: int) -> str:
        """Gives a shard's path or address."""
        return f"{self.folder}/{self.shards[number]}"

    def write(self) -> Path:
        """Writes the catalogue beside its shards, under the name its content gives it.

        Raises:
            OSError: The disk refuses, or is full.
        """
        content = "".join(f"{json.dumps(line)}\n" for line in self._lines())
        path = Path(self.folder) / f"{NAME}{_digest(content.encode())}{SUFFIX}"
        if not path.exists():
            with written(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
        return path

    def _lines(self) -> Iterator[object]:
        yield {
            "format": FORMAT,
            "preparation": dataclasses.asdict(self.config),
            "shards": self.shards,
        }
        for number, clip_id in enumerate(self.ids):
            place = dataclasses.astuple(self.place(number))
            yield [clip_id, self.labels[number], self.splits[number], *place]


def is_catalogue(source: str) -> bool:
    """Whether a path or an address is a catalogue's, by its name."""
    name = _name(source)
    return name.startswith(NAME) and name.endswith(SUFFIX)


def read_catalogue(source: str) -> Catalogue:
    """Reads a catalogue; its shards are read when they are needed.

    Args:
        source: Its path, or its address.

    Raises:
        UsageError: It is not there, is no catalogue, or is not as it was written.
    """
    address = source.partition("?")[0]
    folder = address.rpartition("/")[0] if is_address(source) else str(Path(source).parent)
    try:
        with open_shard(source) as file:
            content = file.read()
        if _digest(content) != _name(source)[len(NAME) : -len(SUFFIX)]:
            raise ValueError("its content is not the one its name was given for")
        first, *lines = content.decode().splitlines()
        header = json.loads(first)
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}, this clipsonic reads {FORMAT}")
        config = from_dict(PreparationConfig, header["preparation"], "preparation")
        shards = from_dict(tuple[str, ...], header["shards"], "shards")
        for name in shards:
            if PurePosixPath(name).name != name or not name.endswith(SHARD):
                raise ValueError(f"a shard that is none, or outside its folder: {name!r}")
        catalogue = Catalogue(config, folder, shards)
        fields = [field.name for field in dataclasses.fields(ClipLocation)]
        for line in lines:
            clip_id, label, split, *numbers = json.loads(line)
            described = dict(zip(fields, numbers, strict=True))
            place = from_dict(ClipLocation, described, "place")
            whole = math.isfinite(place.frame_rate) and max(numbers) < 1 << 62
            if not whole or place.shard >= len(shards) or min(numbers) < 0:
                raise ValueError(f"the place of {clip_id!r}: {numbers}")
            named = from_dict(_Named, {"id": clip_id, "label": label, "split": split}, "clip")
            catalogue.add(named.id, named.label, named.split, place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"The prepared clips {source} cannot be read: {reason}.") from None
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise UsageError(f"{source} is no catalogue of prepared clips ({error}).") from None
    return catalogue


def collect(
    clips: Iterable[Clip],
    shards: Iterable[Index],
    folder: Path,
    config: PreparationConfig,
    rules: Rules,
) -> tuple[Catalogue, Iterator[Finding]]:
    """Gathers what shards hold of a data set's clips.

    Args:
        clips: The data set, prepared.
        shards: Of the folder.
        folder: Where they lie.
        config: What is kept.
        rules: What counts as short, and what is dropped.

    Returns:
        An empty catalogue, and a finding for each clip; as they are gone through, the catalogue
        takes those that are not dropped, and names the shards that hold them.
    """
    known: dict[str, tuple[ClipTensors, ClipLocation]] = {}
    names = []
    for number, index in enumerate(shards):
        names.append(Path(index.shard).name)
        mel = frame = wave = 0
        for row in index.rows:
            # Of several tries the one that went well.
            if row.key not in known or (row.digest and not known[row.key][0].digest):
                place = ClipLocation(
                    shard=number,
                    mel=mel,
                    mel_frames=row.mel,
                    frame=frame,
                    frames=row.frames,
                    wave=wave,
                    samples=row.wave,
                    frame_rate=row.frame_rate,
                )
                known[row.key] = row, place
            mel, frame, wave = mel + row.mel, frame + row.frames, wave + row.wave
    catalogue = Catalogue(config, str(folder), [])
    return catalogue, _findings(clips, known, names, catalogue, rules)


def _findings(
    clips: Iterable[Clip],
    known: Mapping[str, tuple[ClipTensors, ClipLocation]],
    names: Sequence[str],
    catalogue: Catalogue,
    rules: Rules,
) -> Iterator[Finding]:
    first: dict[str, str] = {}
    used: dict[int, int] = {}  # numbers of shards in the catalogue
    for clip in clips:
        if (found := known.get(key_of(clip))) is None:
            yield unreadable(clip, "it changed while it was prepared")
            continue
        row, place = found
        flaws = [*row.flaws, *short(row.seconds, rules)] if row.digest else list(row.flaws)
        if row.digest and first.setdefault(row.digest, clip.id) != clip.id:
            flaws.append(Flaw(kind="duplicate", reason=f"the same as {first[row.digest]}"))
        dropped = not row.digest or any(flaw.kind in rules.drop for flaw in flaws)
        yield Finding(
            clip=clip,
            seconds=row.seconds,
            flaws=tuple(flaws),
            dropped=dropped,
        )
        if dropped:
            continue
        if place.shard not in used:
            used[place.shard] = len(catalogue.shards)
            catalogue.shards.append(names[place.shard])
        assert clip.split is not None  # as data/clips.py gives them
        place = dataclasses.replace(place, shard=used[place.shard])
        catalogue.add(clip.id, clip.label, clip.split, place)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=6).hexdigest()


def _name(source: str) -> str:
    """Gives the last part of a path or an address."""
    return PurePosixPath(source.partition("?")[0] if is_address(source) else source).name

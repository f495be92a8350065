"""List the clips of a data set that are fit for training, and where they are in the shards.

A catalogue is a file of JSON lines next to its shards, named by its content: a run that is resumed
finds the same clips, however the data set has changed. Imports no torch.
"""

import dataclasses
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from clipsonic_cli.atomic import written
from clipsonic_cli.data.check import Finding, Flaw, Rules, short
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
"""Integers of a clip: the shard, then the first row and the number of rows of each tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    id: str
    label: str | None
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLocation:
    """Where a clip is stored: the first row and the number of rows in a shard's tensors."""

    shard: int
    """Number of the shard in the catalogue."""
    mel: int
    mel_frames: int
    frame: int
    frames: int
    wave: int
    samples: int
    """0 if the audio is not kept."""
    frame_rate: float
    """Frames a second; 0 for a still image."""


class Catalogue:
    """Clips by number, in the order of the data set, in less than 200 bytes each.

    The folder is a path or an address; the shards are names of files in it.
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
        """Add a clip."""
        self.ids.append(clip_id)
        self.labels.append(label if label is None else self._words.setdefault(label, label))
        self.splits.append(split)
        self._rates.append(place.frame_rate)
        self._numbers.extend(getattr(place, name) for name in FIELDS)

    def place(self, clip: int) -> ClipLocation:
        """Return where a clip is stored."""
        start = clip * len(FIELDS)
        numbers = self._numbers[start : start + len(FIELDS)]
        named: dict[str, Any] = dict(zip(FIELDS, numbers, strict=True))
        return ClipLocation(frame_rate=self._rates[clip], **named)

    @property
    def _lengths(self) -> Sequence[int]:
        """The frames of mel of each clip."""
        return self._numbers[FIELDS.index("mel_frames") :: len(FIELDS)]

    @property
    def hours(self) -> float:
        """The length of all clips."""
        return self.config.mel.seconds(sum(self._lengths)) / 3600

    def numbers(self, *splits: Split, mel_frames: int = 0) -> list[int]:
        """Return the numbers of the clips of some splits with at least so many frames of mel."""
        clips = enumerate(zip(self.splits, self._lengths, strict=True))
        return [n for n, (split, length) in clips if split in splits and length >= mel_frames]

    def shard(self, number: int) -> str:
        """Return the path or address of a shard."""
        return f"{self.folder}/{self.shards[number]}"

    def write(self) -> Path:
        """Write the catalogue next to its shards, named by its content; return its path."""
        preparation = self.config.to_dict()
        header = {"format": FORMAT, "preparation": preparation, "shards": self.shards}
        lines = [json.dumps(header)]
        for number, clip in enumerate(zip(self.ids, self.labels, self.splits, strict=True)):
            lines.append(json.dumps([*clip, *dataclasses.astuple(self.place(number))]))
        content = "".join(f"{line}\n" for line in lines)
        path = Path(self.folder) / f"{NAME}{_digest(content.encode())}{SUFFIX}"
        if not path.exists():
            with written(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
        return path


def is_catalogue(source: str) -> bool:
    """Return whether a path or an address is that of a catalogue, by its name."""
    name = _name(source)
    return name.startswith(NAME) and name.endswith(SUFFIX)


def read_catalogue(source: str) -> Catalogue:
    """Read a catalogue from a path or an address, but not its shards."""
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
        config = PreparationConfig.from_dict(header["preparation"])
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
    """Find the clips of a prepared data set in the shards of a folder.

    Returns:
        An empty catalogue, and an iterator over a finding for each clip, which adds those that are
        not dropped to the catalogue.
    """
    # Locate what the shards hold.
    known: dict[str, tuple[ClipTensors, ClipLocation]] = {}
    names = []
    for number, index in enumerate(shards):
        names.append(Path(index.shard).name)
        mel = frame = wave = 0
        for row in index.rows:
            # Of several attempts at a clip, the one that succeeded counts.
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

    # Judge and add the clips.
    def findings() -> Iterator[Finding]:
        first: dict[str, str] = {}
        used: dict[int, int] = {}  # numbers of shards in the catalogue
        for clip in clips:
            if (found := known.get(key_of(clip))) is None:
                changed = Flaw(kind="unreadable", reason="it changed while it was prepared")
                yield Finding(clip=clip, flaws=(changed,), dropped=True)
                continue
            row, place = found
            flaws = [*row.flaws, *short(row.seconds, rules)] if row.digest else list(row.flaws)
            if row.digest and first.setdefault(row.digest, clip.id) != clip.id:
                flaws.append(Flaw(kind="duplicate", reason=f"the same as {first[row.digest]}"))
            dropped = not row.digest or any(flaw.kind in rules.drop for flaw in flaws)
            yield Finding(clip=clip, seconds=row.seconds, flaws=tuple(flaws), dropped=dropped)
            if dropped:
                continue
            if place.shard not in used:
                used[place.shard] = len(catalogue.shards)
                catalogue.shards.append(names[place.shard])
            assert clip.split is not None  # as data/clips.py gives them
            place = dataclasses.replace(place, shard=used[place.shard])
            catalogue.add(clip.id, clip.label, clip.split, place)

    return catalogue, findings()


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=6).hexdigest()


def _name(source: str) -> str:
    """Return the last part of a path or an address."""
    return PurePosixPath(source.partition("?")[0] if is_address(source) else source).name

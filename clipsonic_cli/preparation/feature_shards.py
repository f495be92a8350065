"""Shards of prepared clips: safetensors files that say in their header which clips they hold.

A shard is written whole or not at all, so that a preparation which was killed goes on with the
clips that are in none. It is named by its content, and read in pieces; one on the web is copied
first. Everything is float16 or int16:

    mel     (sum of T, F)  natural logarithm, the frames of all clips one after the other
    frames  (sum of n, D)  unit vectors of the frames seen
    wave    (sum of N,)    int16, where the vocoder is to be trained

Imports no torch.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from clipsonic_cli.atomic import written
from clipsonic_cli.data.check import Flaw
from clipsonic_cli.data.clips import is_address
from clipsonic_cli.data.source import open_shard
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.store.home import cache_home
from clipsonic_cli.types import Clip, Member

FORMAT = 1
KEY = "clipsonic-clips"
NAME = "clips-"
SUFFIX = ".safetensors"
PATTERN = f"{NAME}*{SUFFIX}"
MAX_HEADER = 64 << 20
TENSORS = ("mel", "frames", "wave")
INT16 = 32768
"""What sound is multiplied by, so that what has 16 bits is kept as it is."""
DTYPES = {"F16": np.dtype("<f2"), "I16": np.dtype("<i2")}


class BadShard(ClipsonicError):
    """A shard that is cut short, or none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTensors:
    """What a shard says of one clip.

    Args:
        id: The clip's.
        key: Changes with the clip's files (:func:`key_of`).
        digest: In hexadecimal, equal for clips of equal content; empty if unreadable.
        seconds: Length of its sound.
        flaws: What is wrong with it, its length aside.
        mel: T, frames of its mel.
        frames: n, frames seen.
        frame_rate: Of these a second; 0 for a still picture.
        wave: N, samples kept.
    """

    id: str
    key: str
    digest: str = ""
    seconds: float = 0.0
    flaws: tuple[Flaw, ...] = ()
    mel: int = 0
    frames: int = 0
    frame_rate: float = 0.0
    wave: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a tensor lies in a shard.

    Args:
        begin: Bytes before its first row.
        shape: (rows, ...).
        dtype: Of its numbers.
    """

    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a shard holds.

    Args:
        shard: Its path or address.
        rows: Its clips, in the order of their data.
        extents: Its tensors by name.
    """

    shard: str
    rows: tuple[ClipTensors, ...]
    extents: Mapping[str, Extent]


def key_of(clip: Clip) -> str:
    """Gives 16 hexadecimal digits that change with a clip's files, without reading them.

    Files count as the same while their length and time of change are; so does a folder that was
    moved as a whole, as ids do not change with it.
    """
    told: list[object] = [clip.id, clip.start, clip.seconds, clip.problem]
    for media in (clip.media, clip.sound):
        if isinstance(media, Member):
            told += [media.name, media.offset, media.size]
        elif media is not None:
            try:
                status = media.stat()
                told += [media.name, status.st_size, status.st_mtime_ns]
            except OSError as error:
                told += [media.name, error.errno]
    return blake2b(repr(told).encode(), digest_size=8).hexdigest()


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Gives samples of [-1, 1] as whole numbers, 1 as the greatest."""
    return np.rint(samples * INT16).clip(-INT16, INT16 - 1).astype(np.int16)


def write_shard(
    folder: Path, rows: Sequence[ClipTensors], arrays: Mapping[str, Sequence[NDArray[Any]]]
) -> Path:
    """Writes a shard under the name that its content gives it.

    Args:
        folder: Where to.
        rows: Its clips.
        arrays: By tensor, the data of the clips that have any, in the order of the rows.

    Returns:
        The file.

    Raises:
        OSError: The disk refuses, or is full; nothing is left behind.
    """
    described = {"format": FORMAT, "clips": [asdict(row) for row in rows]}
    tensors = {key: np.concatenate(parts) for key, parts in arrays.items() if parts}
    # Not safetensors' save_file, which on a full disk raises no OSError.
    content = save(tensors, metadata={KEY: json.dumps(described, allow_nan=False)})
    path = folder / name_of(content)
    with written(path) as temporary:
        temporary.write_bytes(content)
    return path


def name_of(content: bytes) -> str:
    """Gives the name of the shard of some content, by which what the web gives is verified."""
    return f"{NAME}{blake2b(content, digest_size=16).hexdigest()}{SUFFIX}"


def at_hand(shard: str) -> str:
    """Gives the path of a shard; one on the web is copied to the cache when first asked for.

    Random draws touch every shard soon; asking for each window by itself would send many times as
    much.

    Raises:
        OSError: The web does not give it, or the disk is full.
        BadShard: What it gives is not what its name says.
    """
    if not is_address(shard):
        return shard
    name = PurePosixPath(shard.partition("?")[0]).name
    path = cache_home() / "prepared" / "fetched" / name
    if not path.is_file():
        with open_shard(shard) as file:
            content = file.read()
        if name_of(content) != name:
            raise BadShard(f"{shard} is not the shard that was prepared. Upload it again.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as temporary:
            temporary.write_bytes(content)
    return str(path)


def read_index(shard: str) -> Index:
    """Reads what a shard holds, but not its tensors.

    Raises:
        BadShard: It is cut short, or none of ours.
        OSError: It is not there.
    """
    with open_shard(shard) as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        raw = file.read(length) if 0 < length <= MAX_HEADER else b""
        size = file.seek(0, 2)
    try:
        if len(raw) < length or not raw:
            raise ValueError("its header is cut short")
        header = json.loads(raw)
        described = json.loads(header.pop("__metadata__")[KEY])
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']!r}, this clipsonic reads {FORMAT}")
        rows = tuple(from_dict(ClipTensors, row, "clip") for row in described["clips"])
        extents = {name: _extent(header[name], 8 + length) for name in TENSORS if name in header}
        for name in TENSORS:
            counts = [getattr(row, name) for row in rows]
            kept = extents[name].shape[0] if name in extents else 0
            if kept != sum(counts) or min(counts, default=0) < 0:
                raise ValueError(f"its {name} is not as long as its clips")
        if any(extent.begin + _bytes(extent) > size for extent in extents.values()):
            raise ValueError("it is cut short")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadShard(f"{shard} is no shard of prepared clips, or is damaged ({error}).") from None
    return Index(shard=shard, rows=rows, extents=extents)


def read_rows(index: Index, name: str, start: int, stop: int) -> NDArray[Any]:
    """Reads rows ``start`` to ``stop`` of a tensor, (stop - start, ...).

    Raises:
        ClipsonicError: The shard has no such rows, is gone, or shorter than it was.
    """
    extent = index.extents.get(name)
    if extent is None or not 0 <= start <= stop <= extent.shape[0]:
        kept = 0 if extent is None else extent.shape[0]
        raise ClipsonicError(
            f"{index.shard} has {kept} rows of {name}, wanted are {start} to {stop}: the catalogue "
            "was made for other shards. Prepare the videos again."
        )
    row = _bytes(extent) // extent.shape[0]
    try:
        with open_shard(index.shard) as file:
            file.seek(extent.begin + start * row)
            content = file.read((stop - start) * row)
    except OSError as error:
        raise ClipsonicError(f"Cannot read {index.shard}: {error.strerror or error}.") from None
    if len(content) < (stop - start) * row:
        raise ClipsonicError(f"{index.shard} has become shorter while it was used.")
    return np.frombuffer(content, extent.dtype).reshape(stop - start, *extent.shape[1:])


def _extent(told: Mapping[str, Any], data: int) -> Extent:
    shape = tuple(told["shape"])
    begin, end = told["data_offsets"]
    extent = Extent(begin=data + begin, shape=shape, dtype=DTYPES[told["dtype"]])
    whole = all(type(n) is int and n > 0 for n in shape) and type(begin) is type(end) is int
    if not shape or not whole or begin < 0 or end - begin != _bytes(extent):
        raise ValueError(f"a tensor of shape {shape} in {end - begin} bytes")
    return extent


def _bytes(extent: Extent) -> int:
    count = 1
    for n in extent.shape:
        count *= n
    return count * extent.dtype.itemsize

"""Write and read shards of prepared clips: safetensors files with the clips in their header.

A shard is written whole or not at all, named by its content, and read in parts, without torch:

    mel     (sum of T, F)  float16, natural logarithm, all clips one after the other
    frames  (sum of n, D)  float16, embeddings of the video frames, of unit norm; (sum of n, V, D)
                           where random crops are kept too, the whole frame first
    wave    (sum of N,)    int16, for training a vocoder
"""

import json
import math
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
TENSORS = ("mel", "frames", "wave")
INT16 = 32768
"""Full scale of int16: audio of 16 bits is stored exactly."""
DTYPES = {"F16": np.dtype("<f2"), "I16": np.dtype("<i2")}


class BadShard(ClipsonicError):
    """A file that is cut short, or is not a shard of this format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTensors:
    """The entry of one clip in a shard's header."""

    id: str
    key: str
    """Changes with the clip's files (:func:`key_of`)."""
    digest: str = ""
    """In hexadecimal, equal for clips of equal content; empty if it cannot be read."""
    seconds: float = 0.0
    flaws: tuple[Flaw, ...] = ()
    """All but those of its length."""
    mel: int = 0
    """T, frames of its mel."""
    frames: int = 0
    """n, frames of its video that are kept."""
    frame_rate: float = 0.0
    """Frames a second; 0 for a still image."""
    wave: int = 0
    """N, samples that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a tensor is in a shard."""

    begin: int
    """Bytes before its first row."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The header of a shard."""

    shard: str
    """Its path or address."""
    rows: tuple[ClipTensors, ...]
    """Its clips, in the order of their data."""
    extents: Mapping[str, Extent]


def key_of(clip: Clip) -> str:
    """Return 16 hexadecimal digits that change with a clip's files, without reading them.

    Files count as unchanged if name, size and modification time are the same; so a data set may be
    moved.
    """
    parts: list[object] = [clip.id, clip.start, clip.seconds, clip.problem]
    for media in (clip.media, clip.sound):
        if isinstance(media, Member):
            parts += [media.name, media.offset, media.size]
        elif media is not None:
            parts.append(media.name)
            try:
                status = media.stat()
                parts += [status.st_size, status.st_mtime_ns]
            except OSError as error:
                parts.append(error.errno)
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert samples in [-1, 1] to int16; 1 becomes 32,767."""
    return np.rint(samples * INT16).clip(-INT16, INT16 - 1).astype(np.int16)


def write_shard(
    folder: Path, rows: Sequence[ClipTensors], arrays: Mapping[str, Sequence[NDArray[Any]]]
) -> Path:
    """Write a shard in a file named by its content; return the path.

    ``arrays`` are, by tensor, the data of the clips that have any, in the order of the rows.
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
    """Return the name of a shard, a digest of its content by which a download is verified."""
    return f"{NAME}{blake2b(content, digest_size=16).hexdigest()}{SUFFIX}"


def at_hand(shard: str) -> str:
    """Return the path of a shard; one on the web is first copied to the cache.

    Random draws soon read from every shard; a request for each would transfer many times as much.
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
    """Read the header of a shard; BadShard if it is cut short or of another format."""
    with open_shard(shard) as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        raw = file.read(length) if 0 < length <= 64 << 20 else b""
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
        if any(extent.begin + extent.size > size for extent in extents.values()):
            raise ValueError("it is cut short")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadShard(f"{shard} is no shard of prepared clips, or is damaged ({error}).") from None
    return Index(shard=shard, rows=rows, extents=extents)


def read_rows(index: Index, name: str, start: int, stop: int) -> NDArray[Any]:
    """Read rows ``start`` to ``stop`` of a tensor, (stop - start, ...)."""
    extent = index.extents.get(name)
    kept = 0 if extent is None else extent.shape[0]
    if extent is None or not 0 <= start <= stop <= kept:
        raise ClipsonicError(
            f"{index.shard} has {kept} rows of {name}, wanted are {start} to {stop}: the catalogue "
            "was made for other shards. Prepare the videos again."
        )
    row = extent.size // kept
    try:
        with open_shard(index.shard) as file:
            file.seek(extent.begin + start * row)
            content = file.read((stop - start) * row)
    except OSError as error:
        raise ClipsonicError(f"Cannot read {index.shard}: {error.strerror or error}.") from None
    if len(content) < (stop - start) * row:
        raise ClipsonicError(f"{index.shard} has become shorter while it was used.")
    return np.frombuffer(content, extent.dtype).reshape(stop - start, *extent.shape[1:])


def _extent(described: Mapping[str, Any], data: int) -> Extent:
    shape = tuple(described["shape"])
    begin, end = described["data_offsets"]
    extent = Extent(begin=data + begin, shape=shape, dtype=DTYPES[described["dtype"]])
    whole = all(type(n) is int and n > 0 for n in shape) and type(begin) is type(end) is int
    if not shape or not whole or begin < 0 or end - begin != extent.size:
        raise ValueError(f"a tensor of shape {shape} in {end - begin} bytes")
    return extent

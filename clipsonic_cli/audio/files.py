"""Read any sound file as mono; write WAV, FLAC and Ogg atomically, with text in their metadata."""

import io
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from clipsonic_cli import atomic
from clipsonic_cli.audio.downmix import Downmix
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.registry import unknown

SUBTYPES = {
    ".wav": {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"},
    ".flac": {"pcm16": "PCM_16", "pcm24": "PCM_24"},
    ".ogg": {"vorbis": "VORBIS"},
}
"""Formats for writing: suffix to subtypes, the default first, each with libsndfile's name."""

BITS = {"PCM_16": 16, "PCM_24": 24}
FIELDS = ("title", "artist", "comment", "date", "copyright", "license", "software")
BLOCK = 65_536  # libsndfile's Vorbis encoder keeps a whole write on the stack

SIZES = re.compile(
    r"^ *(?:RIFF|RIFX|riff|Riff size|data|FORM|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.M
)
"""Line of libsndfile's log for a size in the header that is not the file's."""
RIFF_COMMENT = 2045
"""Bytes of a WAV file's comment that libsndfile reads back; it omits 51,196 and more."""
MAX_COMMENT = 1 << 20
"""Bytes of a comment that is read, at most."""
XING = re.compile(rb"(?:Xing|Info)\0{3}(.)(.{8})", re.DOTALL)
"""An MP3's header with its size: a name, flags, and a number of 4 bytes for each flag set."""
FRAMES, BYTES = 1, 2
"""Flags of the number of frames and, after it, the number of bytes."""
STREAMED = 0x7FFF_0000
"""Sizes from here on are unknown: programs that write into a pipe state the largest."""
CUT = 0.99
"""A file with less than this share of its stated size is cut; some programs overstate it."""
NOT_REGULAR, UNKNOWN_FORMAT = 7, "Format not recognised"
"""libsndfile's code for an invalid file with an MP3's name, and its message for other names."""


class NotSound(UsageError):
    """A file that cannot be read as sound; ``reason`` is the message without the file's name."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def read(path: Path, sample_rate: int, mix: Downmix | None = None) -> torch.Tensor:
    """Read a sound file as mono at a sample rate.

    libsndfile reads WAV, FLAC, OGG, MP3 and more; soxr resamples at its high quality. ``mix`` mixes
    the channels, and knows afterwards whether they cancel each other.

    Returns:
        (N,) float32 in [-1, 1], up to overshoot of resampling.

    Raises:
        NotSound: The file is missing, empty, not sound, or cannot be read.
    """
    with open_sound(path) as file:
        rate = file.samplerate
        try:
            channels = file.read(dtype="float32", always_2d=True)  # (N, channels)
        except soundfile.LibsndfileError as error:
            raise not_sound(path, error) from error
    samples = (mix or Downmix())(channels.T)
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    if not len(samples) or not np.isfinite(samples).all():
        what = "samples that are not finite (NaN or infinite)" if len(samples) else "no samples"
        raise NotSound(f"'{path}' has {what}; give another sound file.", what)
    return torch.from_numpy(samples.astype(np.float32, copy=False))


def read_metadata(path: Path) -> str | None:
    """Read the comment of a sound file, where :func:`write` puts a recipe; None without one.

    Raises:
        NotSound: The file is missing or not sound.
    """
    with open_sound(path) as file:
        if file.format in ("WAV", "WAVEX"):
            return riff_comment(path)
        return str(file.comment) or None


def check_writable(path: Path, *, subtype: str | None = None, overwrite: bool = False) -> None:
    """Check that :func:`write` can write a file, before any work is done for it.

    Raises:
        UsageError: The suffix or subtype is unknown, the folder is missing or takes no files, or
            the file exists and may not be overwritten.
    """
    libsndfile_subtype(path, subtype)
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder; give the name of a sound file.")
    if path.exists() and not overwrite:
        raise UsageError(f"'{path}' exists; give another name, or `overwrite=True` to replace it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}'; create it or give another.")
    atomic.check_writable(path.parent)


def write(
    path: Path,
    samples: torch.Tensor,
    sample_rate: int,
    *,
    subtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a sound file atomically.

    Args:
        path: Destination; ".wav", ".flac" or ".ogg".
        samples: (N,) float, mono, finite. Integer subtypes round to the nearest step and clip to
            [-1, 1), so use :func:`level.peak_guard` first.
        sample_rate: In Hz.
        subtype: A name of the suffix's row in :data:`SUBTYPES`; None is the row's first.
        metadata: Text by field of :data:`FIELDS`; a "comment" of more than :data:`MAX_COMMENT`
            bytes is not read back.
        overwrite: Whether the file may exist already.

    Raises:
        UsageError: The file cannot be written (:func:`check_writable`).
        ClipsonicError: The disk is full or the file cannot be written.
        ValueError: The samples are not (N,) and finite, or a field is unknown.
    """
    if samples.ndim != 1 or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if strange := sorted(set(metadata or {}) - set(FIELDS)):
        raise ValueError(f"unknown metadata fields {strange}, known: {', '.join(FIELDS)}")
    check_writable(path, subtype=subtype, overwrite=overwrite)
    content = encode(samples, sample_rate, path.suffix, libsndfile_subtype(path, subtype), metadata)
    try:
        with atomic.written(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ClipsonicError(
            f"Cannot write '{path}': {error.strerror}; nothing was left behind."
        ) from error


def open_sound(path: Path) -> soundfile.SoundFile:
    """Open a sound file for reading, or raise NotSound."""
    check_readable(path)
    try:
        # soundfile would encode the name as UTF-8, which it need not be.
        return soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise not_sound(path, error) from error


def check_readable(path: Path) -> None:
    """Check that a file can be opened; decoders only report a "System error" if not."""
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise NotSound(f"'{path}' {what}; give a sound file.", what)
        with path.open("rb"):
            pass
    except OSError as error:
        raise not_sound(path, error) from error


def is_cut(file: soundfile.SoundFile) -> bool:
    """Return whether a file is shorter than its header states, as after an incomplete download.

    WAV, AIFF, AU, RF64, W64 and most MP3 files state their size. A FLAC that is cut cannot be read
    to its end; an Ogg does not state its length.
    """
    if file.format == "MP3":
        return mp3_is_cut(Path(os.fsdecode(file.name)))
    sizes = [(int(stated), int(actual)) for stated, actual in SIZES.findall(file.extra_info)]
    return any(stated < STREAMED and actual < CUT * stated for stated, actual in sizes)


def mp3_is_cut(path: Path) -> bool:
    """Return whether an MP3 file is shorter than the size it states, if it does."""
    with path.open("rb") as file:
        # An ID3 tag, if any: 6 bytes, and its size as 4 bytes of 7 bits each. Then the frames, the
        # first of which is silent and may have a Xing header.
        head, tag = file.read(10), 0
        if head[:3] == b"ID3":
            tag = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:])))
        file.seek(tag)
        xing = XING.search(file.read(2048))
        actual = file.seek(0, os.SEEK_END) - tag
    if xing is None or not xing[1][0] & BYTES:
        return False
    stated = xing[2][4:] if xing[1][0] & FRAMES else xing[2][:4]
    return actual < CUT * int.from_bytes(stated, "big")


def riff_comment(path: Path) -> str | None:
    """Read the comment of a WAV file, or None; libsndfile reads 2045 bytes of it at most.

    A chunk is a name, a size and a body padded to an even size; "LIST" of type "INFO" has chunks
    of the same form in it, and the comment is "ICMT".
    """
    with path.open("rb") as file:
        file.seek(12)  # "RIFF", size, "WAVE"
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"LIST" and file.read(4) == b"INFO":
                continue  # step into the list: its chunks follow
            if name == b"ICMT" and size <= MAX_COMMENT:
                return file.read(size).rstrip(b"\0").decode("utf-8", "replace") or None
            file.seek(size - 4 * (name == b"LIST") + size % 2, os.SEEK_CUR)
    return None


def not_sound(path: Path, error: Exception) -> NotSound:
    """Return the error for a file that libsndfile or the system cannot read."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return NotSound(f"Cannot read '{path}': {reason}; give another sound file.", reason)
    reason = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")
    if getattr(error, "code", None) == NOT_REGULAR:
        reason = UNKNOWN_FORMAT
    return NotSound(
        f"Cannot read '{path}' as sound: {reason}; give a WAV, FLAC, OGG or MP3.", reason
    )


def libsndfile_subtype(path: Path, subtype: str | None) -> str:
    """Return libsndfile's name of a subtype, or of the suffix's first; UsageError if unknown."""
    suffix = path.suffix.lower()
    if suffix not in SUBTYPES:
        raise UsageError(
            f"Cannot write '{path.name}': unknown suffix '{path.suffix}'. "
            f"Known: {', '.join(SUBTYPES)}."
        )
    row = SUBTYPES[suffix]
    name = subtype or next(iter(row))
    if name not in row:
        raise unknown(f"{suffix} subtype", name, list(row))
    return row[name]


def encode(
    samples: torch.Tensor,
    sample_rate: int,
    suffix: str,
    subtype: str,
    metadata: Mapping[str, str] | None,
) -> bytes:
    """Encode samples (N,) in memory, so that only writing bytes can fail on the disk."""
    values: np.ndarray = samples.detach().cpu().numpy()
    buffer, fields = io.BytesIO(), dict(metadata or {})
    long = suffix == ".wav" and len(fields.get("comment", "").encode()) > RIFF_COMMENT
    comment = fields.pop("comment") if long else None
    with soundfile.SoundFile(
        buffer, "w", sample_rate, channels=1, subtype=subtype, format=suffix[1:].upper()
    ) as file:
        for field, text in fields.items():
            setattr(file, field, text)
        for start in range(0, len(values), BLOCK):
            file.write(_quantised(values[start : start + BLOCK], subtype))
    return buffer.getvalue() if comment is None else with_riff_comment(buffer.getvalue(), comment)


def _quantised(values: np.ndarray, subtype: str) -> np.ndarray:
    """Round samples to the steps of an integer subtype, as int32; or return them as float32."""
    if subtype not in BITS:
        return values.astype(np.float32)
    # libsndfile multiplies by 32767 but reads back by 32768.
    full = 1 << (BITS[subtype] - 1)
    steps = np.rint(values.astype(np.float64) * full).clip(-full, full - 1).astype(np.int32)
    quantised: np.ndarray = steps << (32 - BITS[subtype])
    return quantised


def with_riff_comment(wav: bytes, comment: str) -> bytes:
    """Append a comment to a WAV file as another list; :func:`riff_comment` reads it."""
    text = comment.encode() + b"\0"
    text += b"\0" * (len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", 12 + len(text)) + b"INFOICMT"
    whole = wav + chunk + struct.pack("<I", len(text)) + text
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]

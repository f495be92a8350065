"""Sound files: reading any as mono, writing ours whole or not at all.

Knows: the formats offered, the text that travels inside a file. Does not know: what that text
means (a recipe, as JSON), nor which sound is written.
"""

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

from clipsonic_cli.atomic import why_unwritable, written
from clipsonic_cli.audio.downmix import Downmix
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.registry import unknown

SUBTYPES = {
    ".wav": {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"},
    ".flac": {"pcm16": "PCM_16", "pcm24": "PCM_24"},
    ".ogg": {"vorbis": "VORBIS"},
}
"""What can be written: suffix to subtypes, the default first, each with libsndfile's name."""

BITS = {"PCM_16": 16, "PCM_24": 24}
FIELDS = ("title", "artist", "comment", "date", "copyright", "license", "software")
BLOCK = 65_536  # libsndfile's Vorbis encoder keeps a whole write on the stack

SIZES = re.compile(
    r"^ *(?:RIFF|RIFX|riff|Riff size|data|FORM|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.M
)
"""How libsndfile's log of a file says that a size in its header is not that of the file."""
RIFF_COMMENT = 2045
"""Bytes of a WAV file's comment that libsndfile reads back; it leaves out 51,196 and more."""
MAX_COMMENT = 1 << 20
"""Bytes of a comment; one that is longer is left out."""
XING = re.compile(rb"(?:Xing|Info)\0{3}(.)(.{8})", re.DOTALL)
"""How an MP3 says its size: a name, flags, and numbers of 4 bytes as far as the flags say so."""
FRAMES, BYTES = 1, 2
"""Flags: how many frames there are, and after it, how many bytes."""
STREAMED = 0x7FFF_0000
"""From here on a size is none: who writes into a pipe gives the largest, not knowing the size."""
CUT = 0.99
"""A file with less than this share of its size is cut; some programs count a header too many."""
NOT_REGULAR, UNKNOWN_FORMAT = 7, "Format not recognised"
"""libsndfile's code for what is no MP3 but is called so, and what it says of the like elsewhere."""


class NotSound(UsageError):
    """A file that gives no sound.

    Args:
        message: The line for people.
        reason: Why, without the file's name.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def read(path: Path, sample_rate: int, mix: Downmix | None = None) -> torch.Tensor:
    """Read a sound file as mono at a sample rate.

    Args:
        path: Any file libsndfile reads: WAV, FLAC, OGG, MP3 and more.
        sample_rate: Hz wanted; other rates are resampled by soxr at its high quality.
        mix: Mixes the channels, and knows afterwards whether they cancel each other; None mixes
            without a look at that.

    Returns:
        (N,) float32; in [-1, 1] up to what resampling overshoots.

    Raises:
        NotSound: The file is missing, empty, not sound, or may not be read.
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
        raise NotSound(f"'{path}' holds {what}; give another sound file.", what)
    return torch.from_numpy(samples.astype(np.float32, copy=False))


def read_metadata(path: Path) -> str | None:
    """Return the comment inside a sound file, where :func:`write` puts a recipe.

    Args:
        path: A sound file, ours or not.

    Returns:
        The text, or None if there is none.

    Raises:
        UsageError: The file is missing or not sound.
    """
    with open_sound(path) as file:
        if file.format in ("WAV", "WAVEX"):
            return riff_comment(path)
        return str(file.comment) or None


def check_writable(path: Path, *, subtype: str | None = None, overwrite: bool = False) -> None:
    """Refuses a destination that :func:`write` would refuse, before any work is done for it.

    Args:
        path: The file to be; its suffix decides the format.
        subtype: A name of the suffix's row in :data:`SUBTYPES`; None is the row's first.
        overwrite: Whether the file may exist already.

    Raises:
        UsageError: The suffix or subtype is unknown, the folder is missing or takes no files, or
            something is there already.
    """
    libsndfile_subtype(path, subtype)
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder; give the name of a sound file.")
    if path.exists() and not overwrite:
        raise UsageError(f"'{path}' exists; give another name or allow overwriting.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}'; create it or give another.")
    if (reason := why_unwritable(path.parent)) is not None:
        raise UsageError(f"Cannot write in '{path.parent}': {reason}; give another folder.")


def write(
    path: Path,
    samples: torch.Tensor,
    sample_rate: int,
    *,
    subtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a sound file under a temporary name and renames it: the file is whole or absent.

    Args:
        path: Destination; ".wav", ".flac" or ".ogg".
        samples: (N,) float, mono, finite. Integer subtypes round to the nearest step and cut
            what lies outside [-1, 1), so use :func:`level.peak_guard` first.
        sample_rate: Hz.
        subtype: A name of the suffix's row in :data:`SUBTYPES`; None is the row's first.
        metadata: Text to travel inside, by field of :data:`FIELDS`; a "comment" of
            more than :data:`MAX_COMMENT` bytes is not read back.
        overwrite: Whether the file may exist already.

    Raises:
        UsageError: The destination is refused, as by :func:`check_writable`.
        ClipsonicError: The disk is full or the file cannot be written; nothing is left behind.
        ValueError: The samples are not (N,) and finite, or a field is unknown.
    """
    if samples.ndim != 1 or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if strange := sorted(set(metadata or {}) - set(FIELDS)):
        raise ValueError(f"unknown metadata fields {strange}, known: {', '.join(FIELDS)}")
    check_writable(path, subtype=subtype, overwrite=overwrite)
    sound = encode(samples, sample_rate, path.suffix, libsndfile_subtype(path, subtype), metadata)
    try:
        with written(path) as temporary:
            temporary.write_bytes(sound)
    except OSError as error:
        raise ClipsonicError(
            f"Cannot write '{path}': {error.strerror}; nothing was left behind."
        ) from error


def open_sound(path: Path) -> soundfile.SoundFile:
    """Open a sound file for reading.

    Raises:
        NotSound: The file is missing, not sound, or may not be read.
    """
    check_readable(path)
    try:
        # soundfile would write the name as UTF-8, which it need not be.
        return soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise not_sound(path, error) from error


def check_readable(path: Path) -> None:
    """Check that there is a file which may be read; decoders call all else "System error".

    Raises:
        NotSound: There is not.
    """
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise NotSound(f"'{path}' {what}; give a sound file.", what)
        with path.open("rb"):
            pass
    except OSError as error:
        raise not_sound(path, error) from error


def is_cut(file: soundfile.SoundFile) -> bool:
    """Return whether a file is shorter than its header says, as after a download that broke off.

    Known of WAV, AIFF, AU, RF64 and W64, and of an MP3 that states its size, as most do. A FLAC
    that is cut cannot be read to its end; an Ogg does not say how long it is.

    Args:
        file: From :func:`open_sound`.
    """
    if file.format == "MP3":
        return mp3_is_cut(Path(os.fsdecode(file.name)))
    sizes = [(int(said), int(held)) for said, held in SIZES.findall(file.extra_info)]
    return any(said < STREAMED and held < CUT * said for said, held in sizes)


def mp3_is_cut(path: Path) -> bool:
    """Return whether an MP3 file is shorter than it says, where it says how long it is.

    Args:
        path: An ID3 tag, or none: 6 bytes, and its size as 4 bytes of 7 bits each. Then the frames,
            the first of which is silent and may hold :data:`XING`.
    """
    with path.open("rb") as file:
        head, tag = file.read(10), 0
        if head[:3] == b"ID3":
            tag = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:])))
        file.seek(tag)
        found = XING.search(file.read(2048))
        held = file.seek(0, os.SEEK_END) - tag
    if found is None or not found[1][0] & BYTES:
        return False
    said = found[2][4:] if found[1][0] & FRAMES else found[2][:4]
    return held < CUT * int.from_bytes(said, "big")


def riff_comment(path: Path) -> str | None:
    """Return the comment of a WAV file; libsndfile reads 2045 bytes at most.

    Args:
        path: A WAV file: chunks of a name, a size and a body padded to an even size, of which
            "LIST" of type "INFO" holds chunks of the same form, of which "ICMT" is the comment.

    Returns:
        The text, or None if there is none.
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
    """Return the error for a file that libsndfile or the system refuses."""
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
    """Return libsndfile's name of a subtype, or of the suffix's first.

    Raises:
        UsageError: The suffix or the subtype is unknown.
    """
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
    """Encode audio in memory, so that only writing plain bytes can fail on the disk."""
    sound: np.ndarray = samples.detach().cpu().numpy().astype(np.float32)
    if subtype in BITS:
        # libsndfile multiplies by 32767 but reads back by 32768: quantise here instead.
        full = 1 << (BITS[subtype] - 1)
        steps = np.rint(sound.astype(np.float64) * full).clip(-full, full - 1).astype(np.int32)
        sound = steps << (32 - BITS[subtype])
    buffer, fields = io.BytesIO(), dict(metadata or {})
    long = suffix == ".wav" and len(fields.get("comment", "").encode()) > RIFF_COMMENT
    comment = fields.pop("comment") if long else None
    with soundfile.SoundFile(
        buffer, "w", sample_rate, channels=1, subtype=subtype, format=suffix[1:].upper()
    ) as file:
        for field, text in fields.items():
            setattr(file, field, text)
        for start in range(0, len(sound), BLOCK):
            file.write(sound[start : start + BLOCK])
    return buffer.getvalue() if comment is None else with_riff_comment(buffer.getvalue(), comment)


def with_riff_comment(wav: bytes, comment: str) -> bytes:
    """Append a comment to a WAV file as a list of its own; :func:`riff_comment` reads it."""
    text = comment.encode() + b"\0"
    text += b"\0" * (len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", 12 + len(text)) + b"INFOICMT"
    whole = wav + chunk + struct.pack("<I", len(text)) + text
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]

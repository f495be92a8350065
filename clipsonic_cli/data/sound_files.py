"""Read audio files of every kind as mono, by libsndfile or PyAV.

libsndfile reads uncompressed files and FLAC exactly. It reads only the first of recordings that are
joined end to end, does not know which channel is which, and prints lines of its own about MP3s;
there PyAV is used.
"""

from dataclasses import replace
from pathlib import Path

from clipsonic_cli.audio import files
from clipsonic_cli.audio.downmix import Downmix
from clipsonic_cli.data.audio import Audio
from clipsonic_cli.data.container import has_more
from clipsonic_cli.data.files import AUDIO, VIDEOS
from clipsonic_cli.data.media import read_audio
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.types import Clip

SUFFIXES = (AUDIO | VIDEOS) - {".gif"}
"""Suffixes of files that are read as audio; videos for their audio."""
EXACT = frozenset(
    (".wav", ".wave", ".w64", ".rf64", ".caf", ".aiff", ".aif", ".aifc", ".au", ".snd", ".flac")
)
"""Suffixes of files that libsndfile reads whole."""


def is_sound(path: Path) -> bool:
    """Return whether a file is read as audio, by its name."""
    return path.suffix.lower() in SUFFIXES


def read_sound_file(path: Path, sample_rate: int | None = None) -> Audio:
    """Read an audio file of any of :data:`SUFFIXES` as mono, its channels mixed as in training.

    Args:
        path: The file.
        sample_rate: Hz wanted, resampled by soxr at high quality; None keeps the file's own.

    Raises:
        NotSound: The file is missing, empty, damaged, or not audio that can be decoded.
    """
    files.check_readable(path)
    if path.suffix.lower() in EXACT and not _is_joined(path):
        with files.open_sound(path) as file:
            plain, is_cut = file.channels <= 2, files.is_cut(file)
            rate = sample_rate or file.samplerate
        if plain:
            mix, note = Downmix(), ""
            samples = files.read(path, rate, mix)
            if (loudest := mix.cancelled_by) is not None:
                samples = files.read(path, rate, Downmix(loudest))
                note = f"channels cancel each other: channel {loudest + 1} alone is used"
            notes = (note,) if note else ()
            return Audio(samples=samples.numpy(), sample_rate=rate, cut=is_cut, notes=notes)
    try:
        audio = read_audio(Clip(id=path.name, media=path), sample_rate)
    except Unreadable as error:
        raise files.NotSound(
            f"Cannot read '{path}' as sound: {error.reason}; give another sound file.", error.reason
        ) from error
    return replace(audio, cut=path.suffix.lower() == ".mp3" and files.mp3_is_cut(path))


def _is_joined(path: Path) -> bool:
    with path.open("rb") as file:
        return has_more(file)  # another WAV, which libsndfile takes for damage

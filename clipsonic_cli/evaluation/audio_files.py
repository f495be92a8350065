"""Folders of sounds: which files there are, and their features by a backbone."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clipsonic_cli.audio import files, level
from clipsonic_cli.data.audio import Audio
from clipsonic_cli.data.files import name_of, walk
from clipsonic_cli.data.sound_files import is_sound, read_sound_file
from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.features import Features, embed_sounds
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.text import listed, printable
from clipsonic_cli.types import Backbone, Report, Waveform, silent

DAMAGED = "damaged in part; what cannot be decoded is passed over"


def sound_files(folder: Path) -> dict[str, Path]:
    """Find the sound files below a folder, sorted; hidden files are not looked at.

    Returns:
        Files by name: the path within the folder without its ending, which stays where the name
        would fit another file too.

    Raises:
        UsageError: It is not a folder, one in it cannot be read, or there are no sounds.
    """
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError as error:  # of a folder around it
        raise _unreadable(error) from None
    if not is_folder:
        what = "is a file" if exists else "does not exist"
        raise UsageError(f"'{folder}' {what}; give a folder of sounds.")
    inside = sorted(_inside(folder))
    if not inside:
        raise UsageError(f"'{folder}' holds no sounds; give a folder of WAV, FLAC, OGG or MP3.")
    whole = [path.as_posix() for path in inside]
    stems = [path.with_suffix("").as_posix() for path in inside]
    times = Counter([*stems, *whole])
    names = [stem if times[stem] == 1 else path for stem, path in zip(stems, whole, strict=True)]
    return {name: folder / path for name, path in zip(names, inside, strict=True)}


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the paths of sound files within a folder.

    Raises:
        UsageError: A folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise _unreadable(error)

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if is_sound(path) and not name.startswith("."):
                yield path.relative_to(folder)


def _unreadable(error: OSError) -> UsageError:
    return UsageError(
        f"Folder '{error.filename}' cannot be read: {error.strerror}; make it readable, or give "
        "another."
    )


def other_files(folder: Path) -> dict[str, str]:
    """Return the files of a folder that are not scored, hidden ones too, with the reason."""
    left_out = {}
    for file in walk(folder, hidden=True):
        hidden = file.path.name.startswith(".")
        if hidden or not is_sound(file.path):
            name = printable(name_of(file.path, folder))
            left_out[name] = "hidden" if hidden else file.problem or "not a sound by its name"
    return left_out


def embed_files(
    sounds: Mapping[str, Path],
    backbone: Backbone,
    *,
    windows: Windows | None = None,
    report: Report = silent,
) -> Features:
    """Compute the features of files one by one; memory does not grow with their number.

    Args:
        sounds: Files by name; each keeps its sample rate, channels are averaged. Those that cannot
            be read or embedded are noted.
        backbone: Embeds them.
        windows: How each is cut before.
        report: Receives (backbone's name, done, total).

    Raises:
        UsageError: None can; says why.
    """
    broken: dict[str, list[str]] = {}
    remarks: dict[str, list[str]] = {}
    waveforms = _read_all(sounds, broken, remarks)
    try:
        features = embed_sounds(
            waveforms, backbone, windows=windows, report=report, total=len(sounds)
        )
    except UsageError as error:
        if not broken:
            raise
        why = " ".join(_left_out(broken))
        if sum(map(len, broken.values())) < len(sounds):
            raise UsageError(f"{error} {why}") from None
        raise UsageError(f"No sound can be scored. {why} Give WAV, FLAC, OGG or MP3.") from None
    notes = _left_out(broken)
    notes += [f"{listed(names, 'file')}{remark}." for remark, names in remarks.items()]
    unread = {name: reason for reason, names in broken.items() for name in names}
    return replace(
        features, notes=(*notes, *features.notes), left_out={**unread, **features.left_out}
    )


def _read_all(
    sounds: Mapping[str, Path], broken: dict[str, list[str]], remarks: dict[str, list[str]]
) -> Iterator[tuple[str, Waveform]]:
    """Yield the sounds that can be read; collect the names of others, and of odd ones, by why."""
    for name, path in sounds.items():
        try:
            audio = read_as_made(path)
        except files.NotSound as error:
            broken.setdefault(error.reason, []).append(name)
            continue
        if audio.cut:
            remarks.setdefault(" cut off: shorter than the header says", []).append(name)
        if audio.damage:
            remarks.setdefault(f": {DAMAGED}", []).append(name)
        for note in audio.notes:
            remarks.setdefault(f": {note}", []).append(name)
        yield name, Waveform(samples=torch.from_numpy(audio.samples), sample_rate=audio.sample_rate)


def read_as_made(path: Path, sample_rate: int | None = None) -> Audio:
    """Read a sound at the level it was made at, without the gain of the guard against clipping.

    It may exceed [-1, 1]. See :func:`~clipsonic_cli.data.sound_files.read_sound_file`.

    Raises:
        NotSound: The file cannot be read, or states an impossible gain.
    """
    audio = read_sound_file(path, sample_rate)
    gain = level.read_gain(path)
    return audio if gain == 1 else replace(audio, samples=audio.samples / np.float32(gain))


def _left_out(broken: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{listed(names, 'file')} left out: {reason}." for reason, names in broken.items()]

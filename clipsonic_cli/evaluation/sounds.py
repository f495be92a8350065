"""Sounds in files: which there are, what each was to be of, and how a backbone hears them.

Knows: folders, recipes inside files, a csv of prompts. Does not know: who made the sounds.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from clipsonic_cli.audio import files
from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.features import SHOWN, Features, Windows, of_sounds
from clipsonic_cli.pipeline import read_recipe
from clipsonic_cli.types import Backbone, Report, Waveform, silent

SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".caf", ".aiff", ".aif", ".aifc", ".au", ".snd"),
        *(".flac", ".ogg", ".oga", ".opus", ".mp3"),
    )
)
"""Endings of what libsndfile reads."""
NAME_COLUMNS = ("file", "name", "path", "id")
TEXT_COLUMNS = ("prompt", "text", "caption", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A set of sounds that is scored.

    Args:
        name: Who made them.
        guidance: The paper's w; None where nothing was guided.
        sounds: The file of each, by name.
        prompts: What it was to be in words, of those that have words.
        pictures: And of those that have pictures.
    """

    name: str
    guidance: float | None = None
    sounds: Mapping[str, Path] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)


def sound_files(folder: Path) -> dict[str, Path]:
    """Gives the sound files of a folder, nested or not, sorted by name.

    Args:
        folder: Files with other endings than :data:`SUFFIXES`, and hidden ones, are not looked at.

    Returns:
        By name: the path within the folder without its ending, which is kept where two files
        differ by it alone.

    Raises:
        UsageError: It is no folder, or there are none in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"'{folder}' {what}; give a folder of sounds.")
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise UsageError(f"'{folder}' holds no sounds; give a folder of WAV, FLAC, OGG or MP3.")
    inside = [path.relative_to(folder) for path in found]
    stems = [path.with_suffix("").as_posix() for path in inside]
    times = Counter(stems)
    names = [s if times[s] == 1 else p.as_posix() for s, p in zip(stems, inside, strict=True)]
    return dict(zip(names, found, strict=True))


def heard(
    sounds: Mapping[str, Path],
    backbone: Backbone,
    *,
    windows: Windows | None = None,
    report: Report = silent,
) -> Features:
    """Hears files one after the other; memory does not grow with them.

    Args:
        sounds: By name. Each is heard at its own sample rate, the mean of its channels.
        backbone: Hears them.
        windows: How each is cut before.
        report: Told (backbone's name, done, total).

    Returns:
        Of the sounds that can be read and heard; the others are noted.

    Raises:
        UsageError: None can; says why.
    """
    broken: dict[str, str] = {}
    readable = _readable(sounds, broken)
    try:
        features = of_sounds(readable, backbone, windows=windows, report=report, total=len(sounds))
    except UsageError:
        if len(broken) < len(sounds):
            raise
        raise UsageError(f"No sound can be scored. {next(iter(broken.values()))}") from None
    if not broken:
        return features
    shown = ", ".join(list(broken)[:SHOWN]) + (", ..." if len(broken) > SHOWN else "")
    plural = "files" if len(broken) > 1 else "file"
    note = f"{len(broken)} {plural} ({shown}) left out: {next(iter(broken.values()))}"
    return replace(features, notes=(note, *features.notes))


def _readable(sounds: Mapping[str, Path], broken: dict[str, str]) -> Iterator[tuple[str, Waveform]]:
    """Gives the sounds that can be read, and puts down why others cannot."""
    for name, path in sounds.items():
        try:
            with files.open_sound(path) as file:
                sample_rate = file.samplerate
            samples = files.read(path, sample_rate)
        except UsageError as error:
            broken[name] = str(error)
            continue
        yield name, Waveform(samples=samples, sample_rate=sample_rate)


def find_prompts(
    sounds: Mapping[str, Path], listed: Mapping[str, str] | None
) -> tuple[dict[str, str], dict[str, Path], list[str]]:
    """Gives what sounds were to be of.

    A list counts alone. Without one, a recipe inside a file counts, and else the file's name, such
    as "dog-barking-7.wav", if there are letters in it.

    Args:
        sounds: By name.
        listed: From :func:`read_prompts`.

    Returns:
        Texts and pictures by name, and notes of where they are from.
    """
    if listed is not None:
        # A list may name files with their ending, or without their folder.
        keys = {name: (path.name, name, path.stem) for name, path in sounds.items()}
        found = {name: [listed[key] for key in keys[name] if key in listed] for name in sounds}
        return {name: texts[0] for name, texts in found.items() if texts}, {}, []
    prompts: dict[str, str] = {}
    pictures: dict[str, Path] = {}
    guessed: list[str] = []
    for name, path in sounds.items():
        try:
            query = read_recipe(path).query
        except UsageError:
            text = " ".join(re.split(r"[-_ ]+", re.sub(r"[-_ ]\d+$", "", path.stem)))
            if re.search(r"[^\W\d_]{2}", text):
                prompts[name] = text
                guessed.append(text)
            continue
        if query.image is not None:
            pictures[name] = query.image
        else:
            prompts[name] = str(query.text)
    notes = []
    if guessed:
        notes.append(
            f"prompts are the names of files, such as '{guessed[0]}', for {len(guessed)} of "
            f"{len(sounds)} sounds, as nothing else says what those were to be; give --prompts "
            f"otherwise"
        )
    return prompts, pictures, notes


def read_prompts(path: Path) -> dict[str, str]:
    """Reads a csv of prompts.

    Args:
        path: Under a header, with one column of :data:`NAME_COLUMNS` and one of
            :data:`TEXT_COLUMNS`; others are not looked at.

    Returns:
        The text of each name that has one.

    Raises:
        UsageError: The file cannot be read, or has no such columns or rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = [column or "" for column in rows.fieldnames or ()]
            key, text = (
                next((column for column in columns if column.strip().lower() in known), None)
                for known in (NAME_COLUMNS, TEXT_COLUMNS)
            )
            if key is None or text is None:
                raise UsageError(
                    f"'{path}' needs a column of {', '.join(NAME_COLUMNS)} and one of "
                    f"{', '.join(TEXT_COLUMNS)}, as in 'file,prompt'; it has "
                    f"{', '.join(columns) or 'none'}."
                )
            found = {row[key]: row[text].strip() for row in rows if (row[text] or "").strip()}
    except UnicodeDecodeError:
        raise UsageError(f"'{path}' is not UTF-8 text. Save it as UTF-8.") from None
    except csv.Error as error:
        raise UsageError(f"'{path}' is no csv: {error}.") from None
    except OSError as error:
        raise UsageError(f"Prompts '{path}' cannot be read: {error.strerror}.") from None
    if not found:
        raise UsageError(f"'{path}' has no rows with a prompt.")
    return found

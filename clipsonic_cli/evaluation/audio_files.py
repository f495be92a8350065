"""Sounds in files: which there are, what each was to be of, and how a backbone hears them.

Knows: folders, recipes inside files, a csv of prompts. Does not know: who made the sounds.
"""

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from clipsonic_cli.audio import files, level
from clipsonic_cli.config import Recipe
from clipsonic_cli.data.audio import Audio
from clipsonic_cli.data.files import name_of, walk
from clipsonic_cli.data.lists import SYNONYMS, BadCell, read_list
from clipsonic_cli.data.sound_files import is_sound, read_sound_file
from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.features import Features, of_sounds
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store.bundle import identity
from clipsonic_cli.text import SHOWN, has_word, is_words, listed, printable
from clipsonic_cli.types import Backbone, Report, Waveform, silent

MAX_PICTURE = 1 << 28
"""Bytes of a picture that a recipe names."""
DAMAGED = "damaged in part; what cannot be decoded is passed over"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A set of sounds that is scored.

    Args:
        name: Who made them.
        guidance: The paper's w; None where nothing was guided.
        sounds: The file of each, by name.
        prompts: What it was to be in words, of those that have words.
        pictures: And of those that have pictures.
        of_reference: Whether they were made of the clips' own sounds, as reconstructions are.
    """

    name: str
    guidance: float | None = None
    sounds: Mapping[str, Path] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    of_reference: bool = False


def sound_files(folder: Path) -> dict[str, Path]:
    """Gives the sound files of a folder, nested or not, sorted by name.

    Args:
        folder: Files that are no sounds by their names, and hidden ones, are not looked at.

    Returns:
        By name: the path within the folder without its ending, which is kept where the name would
        be that of another file too.

    Raises:
        UsageError: It is no folder, one in it cannot be looked into, or there are no sounds.
    """
    try:
        is_folder, is_there = folder.is_dir(), folder.exists()
    except OSError as error:  # of a folder around it
        raise _locked(error) from None
    if not is_folder:
        what = "is a file" if is_there else "does not exist"
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
    """Gives the paths of sound files within a folder.

    Raises:
        UsageError: A folder cannot be looked into.
    """

    def refuse(error: OSError) -> None:
        raise _locked(error)

    for place, folders, files_here in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files_here:
            path = Path(place, name)
            if is_sound(path) and not name.startswith("."):
                yield path.relative_to(folder)


def other_files(folder: Path) -> dict[str, str]:
    """Return the files of a folder that are not scored, hidden ones too, with the reason."""
    left_out = {}
    for file in walk(folder, hidden=True):
        hidden = file.path.name.startswith(".")
        if hidden or not is_sound(file.path):
            name = printable(name_of(file.path, folder))
            left_out[name] = "hidden" if hidden else file.problem or "not a sound by its name"
    return left_out


def _locked(error: OSError) -> UsageError:
    return UsageError(
        f"Folder '{error.filename}' cannot be read: {error.strerror}; make it readable, or give "
        f"another."
    )


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
    broken: dict[str, list[str]] = {}
    cut: list[str] = []
    noted: dict[str, list[str]] = {}
    readable = _readable(sounds, broken, cut, noted)
    try:
        features = of_sounds(readable, backbone, windows=windows, report=report, total=len(sounds))
    except UsageError as error:
        if not broken:
            raise
        why = " ".join(_left_out(broken))
        if sum(map(len, broken.values())) < len(sounds):
            raise UsageError(f"{error} {why}") from None
        raise UsageError(f"No sound can be scored. {why} Give WAV, FLAC, OGG or MP3.") from None
    notes = _left_out(broken)
    if cut:
        notes.append(f"{listed(cut, 'file')} cut off: shorter than the header says.")
    notes += [f"{listed(names, 'file')}: {note}." for note, names in noted.items()]
    unread = {name: reason for reason, names in broken.items() for name in names}
    return replace(
        features, notes=(*notes, *features.notes), left_out={**unread, **features.left_out}
    )


def _readable(
    sounds: Mapping[str, Path],
    broken: dict[str, list[str]],
    cut: list[str],
    noted: dict[str, list[str]],
) -> Iterator[tuple[str, Waveform]]:
    """Yield the sounds that can be read; collect the names of others by why, and by notes."""
    for name, path in sounds.items():
        try:
            audio = read_as_made(path)
        except files.NotSound as error:
            broken.setdefault(error.reason, []).append(name)
            continue
        cut += [name] if audio.cut else []
        for note in [*audio.notes, *([DAMAGED] if audio.damage else [])]:
            noted.setdefault(note, []).append(name)
        yield name, Waveform(samples=torch.from_numpy(audio.samples), sample_rate=audio.sample_rate)


def read_as_made(path: Path, sample_rate: int | None = None) -> Audio:
    """Read a sound at the level it was made at: what the guard against clipping took is given back.

    Args:
        path: See :func:`~clipsonic_cli.data.sound_files.read_sound_file`.
        sample_rate: Hz wanted; None keeps the file's own.

    Returns:
        A sound whose file says its gain may exceed [-1, 1]; any other is as the file has it.

    Raises:
        NotSound: The file cannot be read, or says an impossible gain.
    """
    audio = read_sound_file(path, sample_rate)
    gain = level.read_gain(path)
    return audio if gain == 1 else replace(audio, samples=audio.samples / np.float32(gain))


def _left_out(broken: Mapping[str, Sequence[str]]) -> list[str]:
    """Gives a line a reason."""
    return [f"{listed(names, 'file')} left out: {reason}." for reason, names in broken.items()]


def find_prompts(
    sounds: Mapping[str, Path],
    listed_prompts: Mapping[str, str] | None,
    *,
    folders: Sequence[Path] = (),
) -> tuple[dict[str, str], dict[str, Path], list[str]]:
    """Gives what sounds were to be of.

    A list counts alone. Without one, a recipe inside a file counts, and else the file's name, such
    as "dog-barking-7.wav", if there are letters in it.

    Args:
        sounds: By name.
        listed_prompts: From :func:`read_prompts`.
        folders: Where pictures that recipes name may be. A recipe is somebody's words: a picture
            elsewhere is not read, nor is one whose digest is not the recipe's.

    Returns:
        Texts and pictures by name, and notes of where they are from, and of what is of no file.

    Raises:
        UsageError: The list says two things of a file, or what it names may be several.
    """
    if listed_prompts is not None:
        texts, strays = _matched(sounds, listed_prompts)
        return texts, {}, strays
    prompts: dict[str, str] = {}
    pictures: dict[str, Path] = {}
    guessed: list[str] = []
    unseen: list[str] = []
    for name, path in sounds.items():
        try:
            recipe = read_recipe(path)
        except UsageError:
            text = " ".join(re.split(r"[-_ ]+", re.sub(r"[-_ ]\d+$", "", path.stem)))
            if re.search(r"[^\W\d_]{2}", text) and is_words(text):
                prompts[name] = text
                guessed.append(text)
            continue
        if recipe.image is None:
            if is_words(str(recipe.text)):
                prompts[name] = str(recipe.text)
        elif (picture := _picture(recipe, folders)) is not None:
            pictures[name] = picture
        else:
            unseen.append(recipe.image)
    notes = []
    if unseen:
        notes.append(
            f"pictures that recipes name are not shown for {len(unseen)} of {len(sounds)} sounds, "
            f"such as '{printable(unseen[0])}': not in the folders given, or another picture; "
            f"name its folder by `pictures`"
        )
    if guessed:
        notes.append(
            f"prompts are the names of files, such as '{guessed[0]}', for {len(guessed)} of "
            f"{len(sounds)} sounds, as nothing else says what those were to be; give `prompts` "
            f"otherwise"
        )
    return prompts, pictures, notes


def _picture(recipe: Recipe, folders: Sequence[Path]) -> Path | None:
    """Return the picture of a recipe, where it is in one of the folders and is the same picture."""
    named = Path(str(recipe.image))
    inside = [folder.resolve() for folder in folders]
    for path in (named, *(folder / named.name for folder in folders)):
        try:
            place = path.resolve()
            if not any(place.is_relative_to(folder) for folder in inside) or not place.is_file():
                continue
            if place.stat().st_size <= MAX_PICTURE and identity(place) == recipe.image_sha256:
                return place
        except (OSError, ValueError):  # a name that no system takes
            continue
    return None


def _matched(
    sounds: Mapping[str, Path], listed: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Gives the texts of sounds, and notes of what is of none.

    A list may name a file by its path in the folder, or by its name alone, with its ending or
    without: the first of these by which there is a file counts.

    Raises:
        UsageError: There are several files, or several texts of one.
    """
    known: tuple[dict[str, list[str]], ...] = ({}, {}, {}, {})
    for name, path in sounds.items():
        whole = PurePosixPath(name).with_name(path.name)
        bare = whole.with_suffix("")
        for names, key in zip(known, (whole, bare, whole.name, bare.name), strict=True):
            names.setdefault(_key(str(key)), []).append(name)
    prompts: dict[str, str] = {}
    stray = []
    for key, text in listed.items():
        named = next((names[key] for names in known if key in names), [])
        if len(named) > 1:
            some = " or ".join(f"'{name}'" for name in named[:SHOWN])
            raise UsageError(
                f"The prompt of '{key}' may be that of {some}, {len(named)} files in all; name "
                f"each by its path in the folder, with its ending."
            )
        if not named:
            stray.append(key)
        elif prompts.setdefault(named[0], text) != text:
            raise _two_prompts(named[0], prompts[named[0]], text)
    if not stray:
        return prompts, []
    return prompts, [f"{len(stray)} of {len(listed)} prompts are of no file, such as '{stray[0]}'"]


def _key(name: str) -> str:
    """Gives a name as it is looked up: without spaces around, "./" and backslashes."""
    name = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    return posixpath.normpath(name) if name else ""


def _two_prompts(name: str, *texts: str) -> UsageError:
    told = " and ".join(f"'{text}'" for text in texts)
    return UsageError(f"'{name}' has two prompts, {told}; leave one in the list.")


def read_prompts(path: Path) -> dict[str, str]:
    """Read a list of prompts.

    Args:
        path: A list (``data/lists.py``) with a column for a file's name and one for its text; other
            columns are not looked at.

    Returns:
        The text of each name that has one. Spaces around a name, "./" and backslashes are gone.

    Raises:
        UsageError: The file cannot be read, has no such columns or rows, a text without a word, or
            two texts of a name.
    """
    found: dict[str, str] = {}
    columns: dict[str, None] = {}
    for row in read_list(path, "text", bare=_bare):
        columns |= dict.fromkeys(row.cells)
        where = f"'{path}', line {row.line}"
        try:
            if row.problem is not None:
                raise BadCell(row.problem)
            name, text = row.name("file"), row.text("text")
        except BadCell as error:
            raise UsageError(f"In {where}, {error}.") from None
        if not name or not text:
            continue
        if not has_word(text):
            raise UsageError(f"In {where}, the prompt {text!r:.60} has no word.")
        name = _key(name)
        if found.setdefault(name, text) != text:
            raise _two_prompts(name, found[name], text)
    if not found:
        names, texts = (", ".join(SYNONYMS[role][:4]) for role in ("file", "text"))
        there = ", ".join(map(printable, columns)) or "none"
        raise UsageError(
            f"'{path}' has no rows with a prompt: it needs a column of {names} and one of {texts}, "
            f"as in 'file,prompt'; it has {there}."
        )
    return found


def _bare(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the columns of a list without a header, of files and their texts."""
    return ("file", "text") if len(cells) == 2 and is_sound(Path(cells[0].strip())) else None

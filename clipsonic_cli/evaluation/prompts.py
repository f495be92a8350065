"""What each sound of a folder was to be: by a list, by the recipe in its file, or by its name."""

import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clipsonic_cli.config import Recipe
from clipsonic_cli.data.list_row import SYNONYMS, BadCell
from clipsonic_cli.data.lists import read_list
from clipsonic_cli.data.sound_files import is_sound
from clipsonic_cli.errors import UsageError
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store.bundle import identity
from clipsonic_cli.text import SHOWN, has_word, is_words, printable

MAX_IMAGE = 1 << 28
"""Most bytes of an image that a recipe names."""


class FoundPrompts(NamedTuple):
    """The texts and images of sounds, by the sounds' names, and notes on where they come from."""

    texts: dict[str, str]
    images: dict[str, Path]
    notes: list[str]


def find_prompts(
    sounds: Mapping[str, Path],
    listed: Mapping[str, str] | None,
    *,
    folders: Sequence[Path] = (),
) -> FoundPrompts:
    """Find what sounds were to be.

    Where there is a list, it alone counts. Else the recipe inside a file counts, or the file's
    name, such as "dog-barking-7.wav", if it has letters.

    ``listed`` is from :func:`read_prompts`; ``folders`` are where images that recipes name may be.
    A recipe can come from anybody: an image elsewhere is not read, nor one with another digest than
    the recipe states.

    Raises:
        UsageError: The list has two texts for a file, or a name in it fits several files.
    """
    if listed is not None:
        texts, strays = _matched(sounds, listed)
        return FoundPrompts(texts, {}, strays)
    # Read recipes, or else names.
    texts, images = {}, {}
    guessed: list[str] = []
    missing: list[str] = []
    for name, path in sounds.items():
        try:
            recipe = read_recipe(path)
        except UsageError:
            text = " ".join(re.split(r"[-_ ]+", re.sub(r"[-_ ]\d+$", "", path.stem)))
            if re.search(r"[^\W\d_]{2}", text) and is_words(text):
                texts[name] = text
                guessed.append(text)
            continue
        if recipe.image is None:
            if is_words(str(recipe.text)):
                texts[name] = str(recipe.text)
        elif (image := _find_image(recipe, folders)) is not None:
            images[name] = image
        else:
            missing.append(recipe.image)
    # Note what is uncertain.
    notes = []
    if missing:
        notes.append(
            f"images that recipes name are not shown for {len(missing)} of {len(sounds)} sounds, "
            f"such as '{printable(missing[0])}': not in the folders given, or another image; name "
            "its folder by `pictures`"
        )
    if guessed:
        notes.append(
            f"prompts are the names of files, such as '{guessed[0]}', for {len(guessed)} of "
            f"{len(sounds)} sounds, as nothing else says what those were to be; give `prompts` "
            "otherwise"
        )
    return FoundPrompts(texts, images, notes)


def _find_image(recipe: Recipe, folders: Sequence[Path]) -> Path | None:
    """Return the image of a recipe, if one of the folders has it unchanged."""
    named = Path(str(recipe.image))
    inside = [folder.resolve() for folder in folders]
    for path in (named, *(folder / named.name for folder in folders)):
        try:
            place = path.resolve()
            if not any(place.is_relative_to(folder) for folder in inside) or not place.is_file():
                continue
            if place.stat().st_size <= MAX_IMAGE and identity(place) == recipe.image_sha256:
                return place
        except (OSError, ValueError):  # a name that no system takes
            continue
    return None


def _matched(
    sounds: Mapping[str, Path], listed: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return the text of each sound that is listed, and a note on entries without a file.

    A list may name a file by its path in the folder or by its name alone, with or without its
    ending: the first of these that fits any file counts, and it must be a single one.
    """
    # By path, by path without ending, by name, by name without ending.
    indexes: tuple[dict[str, list[str]], ...] = ({}, {}, {}, {})
    for name, path in sounds.items():
        whole = PurePosixPath(name).with_name(path.name)
        bare = whole.with_suffix("")
        for index, key in zip(indexes, (whole, bare, whole.name, bare.name), strict=True):
            index.setdefault(_key(str(key)), []).append(name)
    prompts: dict[str, str] = {}
    strays = []
    for key, text in listed.items():
        named = next((index[key] for index in indexes if key in index), [])
        if len(named) > 1:
            some = " or ".join(f"'{name}'" for name in named[:SHOWN])
            raise UsageError(
                f"The prompt of '{key}' may be that of {some}, {len(named)} files in all; name "
                "each by its path in the folder, with its ending."
            )
        if not named:
            strays.append(key)
        elif prompts.setdefault(named[0], text) != text:
            raise _two_prompts(named[0], prompts[named[0]], text)
    if not strays:
        return prompts, []
    return prompts, [
        f"{len(strays)} of {len(listed)} prompts are of no file, such as '{strays[0]}'"
    ]


def _key(name: str) -> str:
    """Normalize a file name of a list: no spaces around it, no "./", no backslashes."""
    name = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    return posixpath.normpath(name) if name else ""


def _two_prompts(name: str, *texts: str) -> UsageError:
    both = " and ".join(f"'{text}'" for text in texts)
    return UsageError(f"'{name}' has two prompts, {both}; leave one in the list.")


def read_prompts(path: Path) -> dict[str, str]:
    """Read a list (``data/lists.py``) of files and texts; return the texts by name.

    Names are normalized.

    Raises:
        UsageError: The file cannot be read, has no such columns or rows, a text without a word, or
            two texts for a name.
    """
    prompts: dict[str, str] = {}
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
        if prompts.setdefault(name, text) != text:
            raise _two_prompts(name, prompts[name], text)
    if not prompts:
        names, texts = (", ".join(SYNONYMS[role][:4]) for role in ("file", "text"))
        present = ", ".join(map(printable, columns)) or "none"
        raise UsageError(
            f"'{path}' has no rows with a prompt: it needs a column of {names} and one of {texts}, "
            f"as in 'file,prompt'; it has {present}."
        )
    return prompts


def _bare(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the columns of a list of files and texts that has no header."""
    return ("file", "text") if len(cells) == 2 and is_sound(Path(cells[0].strip())) else None

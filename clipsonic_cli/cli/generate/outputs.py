"""The files of a run: safe names, templates, never two sounds in one file."""

import os
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from clipsonic_cli.atomic import why_unwritable
from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import slug, truncated

FORMATS = ("wav", "flac", "ogg")
SUBTYPES = {"16": "pcm16", "24": "pcm24", "float": "float"}
"""Values of ``--bits``, with their names in ``audio.files``."""
FIELDS = ("prompt", "seed", "mode", "index")
DEFAULT_NAME = "{prompt}-{seed}.wav"
STDOUT = "-"
"""The value of ``-o`` for standard output."""
FOR_FILES = {
    "json": "writes there too",
    "skip-existing": "finds no file there",
    "spectrogram": "draws next to a file",
}
"""Options that standard output takes none of, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Where sounds go: a folder, and names with fields."""

    folder: str
    """Where files are, with fields such as "{mode}"."""
    stem: str
    """Name of a file without its ending, with fields such as "{prompt}"."""
    ending: str
    """One of :data:`FORMATS`."""
    fields: frozenset[str]
    """Fields of both."""

    @classmethod
    def parse(
        cls,
        output: str | None,
        suffix: str | None,
        default: str = DEFAULT_NAME,
        *,
        several: bool = False,
    ) -> "Template":
        """Parse ``--output``.

        Args:
            output: A file, an existing folder, a new one with a slash at its end, a template of
                either such as "sounds/{mode}/{prompt}-{seed}.flac", "-" for standard output, or
                None for the current folder.
            suffix: One of :data:`FORMATS`, or None.
            default: Template of the name, where none is given.
            several: Whether there are several sounds, for which a name without an ending is a
                folder.

        Raises:
            UsageError: The ending is unknown or contradicts ``--format``, the name has no ending
                and is no folder, or its fields are malformed.
        """
        if output is not None and ("\0" in output or not output):
            raise UsageError(f"Output {output!r} is no file name.")
        stem, _, usual = default.rpartition(".")
        path, ending = Path("" if output in (None, STDOUT) else output), suffix or usual
        is_folder = str(output).endswith(("/", os.sep)) or (
            several and not path.suffix and not _is_ending(path) and "\\" not in path.name
        )
        # Path.is_dir raises for a name that is too long.
        if not is_folder and not os.path.isdir(path):  # noqa: PTH112
            ending, stem = _ending_of(path, suffix), path.name[: -len(path.suffix)]
            path = path.parent
        folder = str(path)
        if os.path.isdir(path):  # noqa: PTH112 - whatever its name
            folder = folder.replace("{", "{{").replace("}", "}}")
        fields = frozenset(fields_of(folder) | fields_of(stem))
        return cls(folder=folder, stem=stem, ending=ending, fields=fields)

    def paths(self, sounds: Sequence[Mapping[str, str | int]]) -> list[Path]:
        """Name the file of every sound by its values of ``FIELDS`` and any more fields.

        Paths differ even where a file system ignores case: equal ones are numbered "-2", "-3" and
        so on, which depends on nothing but the arguments.

        Raises:
            UsageError: The template names an unknown field, or formats a text as a number.
        """
        taken: set[str] = set()
        paths = []
        for values in sounds:
            safe = {k: slug(v) if isinstance(v, str) else v for k, v in values.items()}
            folder = Path(self._fill(self.folder, safe))
            # Of 255 bytes, some are for "-1000" and for the name of the temporary file.
            stem = truncated(self._fill(self.stem, safe), 240)
            path, count = folder / f"{stem}.{self.ending}", 1
            while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
                count += 1
                path = folder / f"{stem}-{count}.{self.ending}"
            taken.add(key)
            paths.append(path)
        return paths

    def _fill(self, template: str, values: Mapping[str, str | int]) -> str:
        """Return a template with the values of its fields."""
        for name in sorted(self.fields - values.keys()):
            raise unknown("output field", name, list(values))
        try:
            return template.format(**values)
        except ValueError as error:  # a format such as {prompt:d}
            raise UsageError(f"Output template '{template}' is malformed: {error}.") from None


def _is_ending(path: Path) -> bool:
    """Return whether the name of a file is an ending alone, such as ".flac"."""
    return path.name.startswith(".") and path.name[1:].lower() in FORMATS


def _ending_of(path: Path, suffix: str | None) -> str:
    """Return the format that a file's name states."""
    if _is_ending(path):
        raise UsageError(
            f"Output '{path}' is an ending without a name; give one such as 'sound{path.name}', or "
            f"--format {path.name[1:].lower()}."
        )
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        named = f"ends in '.{ending}'" if ending else "has no ending and is no folder"
        raise UsageError(
            f"Output '{path}' {named}. Give a folder that exists, a new one with a slash at its "
            f"end, or a file ending in {', '.join('.' + known for known in FORMATS)}."
        )
    if suffix not in (None, ending):
        raise UsageError(f"Output '{path}' is {ending}, but --format says {suffix}.")
    return ending


def fields_of(template: str) -> set[str]:
    """Return the fields of a template: names in braces, with a width as in ``{index:03}``."""
    try:
        parsed = [(name, spec) for _, name, spec, _ in string.Formatter().parse(template)]
    except ValueError as error:
        raise UsageError(f"Output template '{template}' is malformed: {error}.") from None
    names = {name for name, _ in parsed if name is not None}
    # {seed.__class__}, {0} and {seed!r} are Python's, not ours.
    if bad := [name for name in names if not name.isidentifier()]:
        raise UsageError(f"Output template '{template}': '{{{bad[0]}}}' is no field name.")
    # Other formats can be of any width, or of the width that another field states.
    if wide := [spec for _, spec in parsed if spec and not re.fullmatch("0[1-9]d?", spec)]:
        raise UsageError(
            f"Output template '{template}' is malformed: ':{wide[0]}' is not a width; allowed are "
            f"':01' to ':09', which put zeros before a number."
        )
    return names


def check_paths(
    paths: Sequence[Path], subtype: str | None, *, overwrite: bool, are_files: bool = True
) -> None:
    """Check that files can be written, in folders that need not exist.

    Args:
        paths: The files.
        subtype: A name of ``audio.files``; None leaves it to the format.
        overwrite: Whether they may exist.
        are_files: Whether they are written where their paths say.

    Raises:
        UsageError: A file exists, its folder takes no files or cannot be created, or its format
            does not have those bits.
    """
    from clipsonic_cli.audio.files import check_writable, libsndfile_subtype

    new = dict[Path, None]()
    for path in paths:
        if subtype is not None and path.suffix == ".ogg":
            raise UsageError("'.ogg' has no --bits; leave it out.")
        if not are_files or not os.path.isdir(path.parent):  # noqa: PTH112 - never raises
            libsndfile_subtype(path, subtype)
            new[path.parent] = None
            continue
        if path.exists() and not path.is_dir() and not overwrite:
            raise UsageError(f"'{path}' exists. Give --overwrite, --skip-existing or another -o.")
        check_writable(path, subtype=subtype, overwrite=overwrite)
    for folder in new if are_files else ():
        if (reason := why_unwritable(folder)) is not None:
            raise UsageError(f"Cannot create the folder '{folder}': {reason}; give another.")


def drawing_of(path: Path) -> Path:
    """Return the file of the spectrogram of a sound's file."""
    return path.with_suffix(".png")


def check_drawings(paths: Sequence[Path], recipes: Sequence[Recipe], *, overwrite: bool) -> None:
    """Check that the spectrograms of sounds can be written; see :func:`check_paths`.

    Raises:
        UsageError: One exists, or would replace an image that a sound is made from.
    """
    images = {name for recipe in recipes for name in (recipe.image, recipe.negative_image)}
    queries = {Path(name).resolve() for name in images if name is not None}
    for drawing in map(drawing_of, paths):
        if drawing.resolve() in queries:
            raise UsageError(
                f"The spectrogram '{drawing}' would replace the image that its sound is made from; "
                "give another -o."
            )
        if drawing.is_dir() or (drawing.exists() and not overwrite):
            raise UsageError(f"'{drawing}' exists. Give --overwrite or another -o.")


def check_stdout(stdout: TextIO, sounds: int, others: Mapping[str, bool]) -> None:
    """Check that sounds can be written to standard output: one, with nothing else.

    ``others`` are the options of :data:`FOR_FILES`, and whether they are given.

    Raises:
        UsageError: There are several, standard output is a terminal, or options contradict it.
    """
    if stdout.isatty():
        raise UsageError(
            "-o - writes the sound itself to standard output, which is a terminal here; pipe it to "
            "a program, or give -o a file."
        )
    if sounds > 1:
        raise UsageError(f"-o - is for one sound, and here are {sounds:,}; give -o a folder.")
    for option in [option for option, given in others.items() if given]:
        reason = f"--{option} {FOR_FILES[option]}"
        raise UsageError(f"-o - writes the sound to standard output, and {reason}; leave one out.")

"""What sounds are called and where they go: safe names, templates, never two sounds to one file."""

import contextlib
import os
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipsonic_cli.atomic import why_unwritable
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown

FORMATS = ("wav", "flac", "ogg")
SUBTYPES = {"16": "pcm16", "24": "pcm24", "float": "float"}
"""``--bits`` to the names of ``audio.files``."""
FIELDS = ("prompt", "seed", "mode", "index")
DEFAULT_NAME = "{prompt}-{seed}.wav"
WIDTH = "0[1-9]d?"
"""What may follow a field of a template, after a colon."""
MAX_SLUG_BYTES = 120  # a file name holds 255 bytes on most systems; the rest is for other fields
MAX_NAME_BYTES = 240  # room for "-1000" and for the temporary name beside it
# Names that are devices on Windows, whatever their ending.
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"),
}


def slug(text: str) -> str:
    """Gives a safe piece of a file name: letters and digits of any script, the rest hyphens.

    Args:
        text: Anything.

    Returns:
        1 to 120 UTF-8 bytes without separators, dots or spaces; "sound" where nothing is left.
    """
    text = unicodedata.normalize("NFC", text)
    # Combining marks (Mn, Mc) are part of letters in many scripts.
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    name = _cap("-".join(kept.split()), MAX_SLUG_BYTES).strip("-") or "sound"
    return f"{name}_" if name.casefold() in DEVICES else name


def _cap(text: str, limit: int) -> str:
    """Cut a text to a number of UTF-8 bytes, between characters; bytes of a name stay."""
    text = text[:limit]
    while len(text.encode("utf-8", "surrogatepass")) > limit:
        text = text[:-1]
    return text


def parse(
    output: str | None, suffix: str | None, default: str = DEFAULT_NAME
) -> tuple[Path, str, str]:
    """Takes ``--output`` apart.

    Args:
        output: A file, an existing folder, a new one with a slash at its end, a template of a file
            such as "sounds/{prompt}-{seed}.flac", or None for the current folder.
        suffix: What ``--format`` said, or None.
        default: The template of the name where only a folder is given, or nothing; ends in one of
            ``FORMATS``, which ``suffix`` replaces.

    Returns:
        The folder, the template of the file's stem, and the format (one of ``FORMATS``).

    Raises:
        UsageError: The ending is none of ``FORMATS`` or contradicts ``--format``, a field is
            unknown or in the name of a new folder, or the name has no ending and is no folder.
    """
    if suffix is not None and suffix not in FORMATS:
        raise unknown("format", suffix, list(FORMATS))
    stem, _, usual = default.rpartition(".")
    if output is None:
        return Path(), stem, suffix or usual
    if "\0" in output or not output:
        raise UsageError(f"Output {output!r} is no file name.")
    path = Path(output)
    if is_new_folder(output) and fields_of(output):
        raise UsageError(
            f"Output '{output}' is a folder, whose name takes no fields; put them into a "
            f"file's, such as 'sounds/{DEFAULT_NAME}'."
        )
    if is_new_folder(output) or _is_folder(output):
        return path, stem, suffix or usual
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        named = f"ends in '.{ending}'" if ending else "has no ending and is no folder"
        raise UsageError(
            f"Output '{output}' {named}. Give a folder that exists, a new one with a slash at its "
            f"end, or a file ending in {', '.join('.' + known for known in FORMATS)}."
        )
    if suffix not in (None, ending):
        raise UsageError(f"Output '{output}' is {ending}, but --format says {suffix}.")
    return path.parent, path.name[: -len(path.suffix)], ending


def is_new_folder(output: str | None) -> bool:
    """Whether ``--output`` is a folder that is to be created: it is not there, but ends in a slash.

    Args:
        output: See :func:`parse`; where a backslash parts folders it will do as well.
    """
    return output is not None and output.endswith(("/", os.sep)) and not _is_folder(output)


def _is_folder(path: str) -> bool:
    """Whether there is a folder; not where a name is too long or hidden, for which Path raises."""
    return os.path.isdir(path)  # noqa: PTH112


def paths(
    output: str | None,
    suffix: str | None,
    sounds: Sequence[Mapping[str, str | int]],
    default: str = DEFAULT_NAME,
) -> list[Path]:
    """Names every sound.

    Args:
        output: See :func:`parse`.
        suffix: See :func:`parse`.
        sounds: For each sound the values of ``FIELDS``, and any more a template may use.
        default: See :func:`parse`.

    Returns:
        One path each, all different even where a file system ignores case: what would meet gets
        "-2", "-3" and so on, which depends on nothing but the arguments.

    Raises:
        UsageError: See :func:`parse`; or a template is malformed, or names an unknown field.
    """
    folder, template, ending = parse(output, suffix, default)
    taken: set[str] = set()
    named = []
    for fields in sounds:
        safe = {k: slug(v) if isinstance(v, str) else v for k, v in fields.items()}
        stem = _cap(_fill(template, safe), MAX_NAME_BYTES)
        unique, count = stem, 1
        while unicodedata.normalize("NFC", unique).casefold() in taken:
            count += 1
            unique = f"{stem}-{count}"
        taken.add(unicodedata.normalize("NFC", unique).casefold())
        named.append(folder / f"{unique}.{ending}")
    return named


def fields_of(template: str) -> set[str]:
    """Gives the fields a template uses.

    Raises:
        UsageError: The braces do not match, or hold more than a name and a width (``{index:03}``).
    """
    try:
        parsed = [(name, spec) for _, name, spec, _ in string.Formatter().parse(template)]
    except ValueError as error:
        raise UsageError(f"Output template '{template}' is malformed: {error}.") from None
    used = {name for name, _ in parsed if name is not None}
    # {seed.__class__}, {0} and {seed!r} are Python's, not ours.
    if bad := [name for name in used if not name.isidentifier()]:
        raise UsageError(f"Output template '{template}': '{{{bad[0]}}}' is no field name.")
    # Other formats can be of any width, and of what another field says.
    if wide := [spec for _, spec in parsed if spec and not re.fullmatch(WIDTH, spec)]:
        raise UsageError(
            f"Output template '{template}' is malformed: ':{wide[0]}' is not a width; allowed are "
            f"':01' to ':09', which put zeros before a number."
        )
    return used


def _fill(template: str, values: Mapping[str, str | int]) -> str:
    """Puts values into a template's fields."""
    for name in sorted(fields_of(template)):
        if name not in values:
            raise unknown("output field", name, list(values))
    try:
        return template.format(**values)
    except ValueError as error:  # a format such as {prompt:d}
        raise UsageError(f"Output template '{template}' is malformed: {error}.") from None


def subtype(bits: str) -> str:
    """Gives what ``--bits`` stands for.

    Raises:
        UsageError: It is none of 16, 24 and float.
    """
    if bits not in SUBTYPES:
        raise unknown("bits", bits, list(SUBTYPES))
    return SUBTYPES[bits]


def like(original: Path, *, again: bool) -> tuple[str, str | None]:
    """Gives how to write a sound like that of a file.

    Args:
        original: A sound file that can be read; what it holds counts, not its ending.
        again: Whether it is the same query, so that the name follows the file's.

    Returns:
        A default for :func:`parse`, of the original's format but not its name; and the original's
        bits, one of ``SUBTYPES``, or None where its format knows none.
    """
    from clipsonic_cli.audio.files import NotSound, open_sound

    ending, bits = "wav", None
    with contextlib.suppress(NotSound), open_sound(original) as info:  # or a format such as MP4
        ending = {"FLAC": "flac", "OGG": "ogg"}.get(info.format, "wav")
        bits = {"PCM_16": "16", "PCM_24": "24", "FLOAT": "float"}.get(info.subtype)
    stem = DEFAULT_NAME.rpartition(".")[0]
    if again:
        stem = f"{original.stem}-again".replace("{", "{{").replace("}", "}}")
    return f"{stem}.{ending}", bits


def check(
    paths: Sequence[Path], subtype: str | None, *, overwrite: bool, create: bool = False
) -> None:
    """Refuses files that could not be written in the end.

    Args:
        paths: The files.
        subtype: A name of ``audio.files``; None leaves it to the format.
        overwrite: Whether they may exist already.
        create: Whether their folder, one for all, is missing and will be created.

    Raises:
        UsageError: A file exists, its folder is missing, takes no files or cannot be created, or
            its format does not have those bits.
    """
    from clipsonic_cli.audio.files import check_writable, libsndfile_subtype

    for path in paths:
        if subtype is not None and path.suffix == ".ogg":
            raise UsageError("'.ogg' has no --bits; leave it out.")
        if create:
            libsndfile_subtype(path, subtype)
            continue
        if path.exists() and not path.is_dir() and not overwrite:
            raise UsageError(f"'{path}' exists. Give --overwrite, --skip-existing or another -o.")
        check_writable(path, subtype=subtype, overwrite=overwrite)
    if create and paths:
        _check_creatable(paths[0].parent)


def _check_creatable(folder: Path) -> None:
    """Refuses a missing folder that could not be created; leaves nothing behind.

    Raises:
        UsageError: It could not.
    """
    if (reason := why_unwritable(folder)) is not None:
        raise UsageError(f"Cannot create the folder '{folder}': {reason}; give another.")

"""Texts from users: whether they have a word, and how they are shown on one line."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from clipsonic_cli.errors import UsageError

WORD = ("L", "N", "So")
"""Unicode categories of which a prompt needs a character: letters, digits, pictographs."""

SHOWN = 3
"""Most names in a line."""
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"),
}
"""Names that are devices on Windows, whatever their ending."""


def has_word(text: str) -> bool:
    """Return whether a text has a letter or digit of any script, or a pictograph such as emoji."""
    return any(unicodedata.category(sign).startswith(WORD) for sign in text)


def is_words(text: str) -> bool:
    """Return whether a text can be a prompt or a label: it has a word, and UTF-8 can hold it."""
    return has_word(text) and not any(unicodedata.category(sign) == "Cs" for sign in text)


def check_words(text: str, what: str = "prompt") -> str:
    """Check that a text can be a prompt, or ``what`` it is; return it without spaces around it.

    Raises:
        UsageError: It is empty, has no word, or holds bytes that are not UTF-8.
    """
    text = text.strip()
    if not text:
        raise UsageError(f"The {what} is empty; give words such as 'a photo of violin'.")
    if odd := next((sign for sign in text if unicodedata.category(sign) == "Cs"), None):
        code = ord(odd)
        # Python keeps a byte of the command line that is not UTF-8 as a surrogate.
        held = f"the byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
        raise UsageError(
            f"The {what} '{printable(text)}' is not UTF-8 text: it holds {held}; type it in a "
            "UTF-8 terminal, or read it from a UTF-8 file."
        )
    if not has_word(text):
        raise UsageError(
            f"The {what} {text!r:.60} has no word: no letter and no digit; give words such as 'a "
            "photo of violin'."
        )
    return text


def names_any(text: str, labels: Iterable[str]) -> bool:
    """Return whether one of the labels is among the words of a text."""
    words = " ".join(re.findall(r"\w+", text.casefold().replace("_", " ")))
    return any(re.search(rf"\b{re.escape(label.casefold())}s?\b", words) for label in labels)


def listed(names: Sequence[str], noun: str) -> str:
    """Format one or more names as "2 files (a, b)", without more of them than a line can hold."""
    return f"{counted(len(names), noun)} ({first([*map(printable, names)])})"


def first(names: Sequence[str]) -> str:
    """Format names as "a, b, c, ...", without more of them than a line can hold."""
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)


def digest(text: str, size: int = 6) -> str:
    """Return a digest of a text, for the name of a file: two hexadecimal digits for each byte."""
    return blake2b(text.encode(), digest_size=size).hexdigest()


def decibels(gain: float) -> str:
    """Format a gain, such as "3.0 dB quieter"."""
    return f"{abs(20 * math.log10(gain)):.1f} dB {'quieter' if gain < 1 else 'louder'}"


def counted(number: float, noun: str) -> str:
    """Format a number of things: "1 step", "2,000 steps", "1.5 minutes"."""
    return f"{f'{number:,}'.removesuffix('.0')} {noun}{'s' * (number != 1)}"


def megabytes(count: int) -> str:
    """Format a number of bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def printable(name: str) -> str:
    """Format a text, such as a file's name, as every file and terminal takes it, on one line.

    Bytes that are not UTF-8, control characters and marks of direction are spelled out.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Format a duration for people, such as "0.35 s", "35 minutes" or "2.3 hours"."""
    units = ((48 * 3600, 86_400, "days"), (5400, 3600, "hours"), (90, 60, "minutes"))
    for least, unit, name in units:
        if seconds >= least:
            return f"{seconds / unit:.{0 if unit == 60 else 1}f} {name}"
    return f"{seconds:.2g} s"


def slug(text: str, limit: int = 120) -> str:
    """Return a safe piece of a file name: letters and digits of any script, the rest hyphens.

    Args:
        text: Anything.
        limit: Most UTF-8 bytes; a file name has 255 on most systems.

    Returns:
        No separators, dots or spaces; "sound" where nothing is left.
    """
    text = unicodedata.normalize("NFC", text)
    # Combining marks (Mn, Mc) are part of letters in many scripts.
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    name = truncated("-".join(kept.split()), limit).strip("-") or "sound"
    return f"{name}_" if name.casefold() in DEVICES else name


def truncated(text: str, limit: int) -> str:
    """Return the beginning of a text, at most so many UTF-8 bytes; characters stay whole."""
    text = text[:limit]
    while len(text.encode("utf-8", "surrogatepass")) > limit:
        text = text[:-1]
    return text

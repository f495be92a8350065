"""A row of a list: its cells by column, and what they mean under any of a column's names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipsonic_cli.text import printable

SYNONYMS: dict[str, tuple[str, ...]] = {
    "text": ("text", "prompt", "caption", "description", "label"),
    "label": ("label", "class", "category", "text", "prompt", "caption", "description"),
    "media": ("media", "path", "file", "filename", "file_name", "video", "name", "id"),
    "file": ("file", "name", "path", "filename", "file_name", "media", "sound", "audio", "id"),
    "image": ("image", "picture", "img", "image_path"),
    "sound": ("sound", "audio", "wav", "audio_path"),
    "split": ("split", "subset", "partition"),
    "start": ("start", "start_seconds", "start_time", "onset"),
    "seconds": ("seconds", "duration", "length"),
    "guidance": ("guidance", "guidance_scale", "w", "cfg", "cfg_scale"),
    "negative": ("negative", "negative_prompt"),
    **{name: (name,) for name in ("mode", "guidance_rule", "sampler", "steps", "seed")},
}
"""Names of a column, the same in every list; if a list has several of them, the first counts."""
KNOWN = frozenset(name for names in SYNONYMS.values() for name in names)
NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)


class BadCell(ValueError):
    """A cell or a row that cannot be used; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """A row of a list."""

    line: int
    """Number of its first line in the file, from 1; in a JSON list, its position."""
    cells: Mapping[str, Any]
    """Values by column, columns in lower case; empty cells are left out."""
    problem: str | None = None
    """Why it cannot be used."""
    decimal_comma: bool = False
    """Whether numbers may have a comma for the point, as between semicolons."""

    def column(self, role: str) -> str | None:
        """Return the row's column for a role of :data:`SYNONYMS`, or None."""
        return next((name for name in SYNONYMS[role] if name in self.cells), None)

    def text(self, role: str) -> str | None:
        """Return the text of a role without spaces around it, or None; BadCell if not UTF-8."""
        value = self.name(role)
        if value is not None and any("\ud800" <= sign <= "\udfff" for sign in value):
            shown = printable(re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value))
            raise BadCell(
                f"{self.column(role)} '{shown}' is not UTF-8; save the list as UTF-8 "
                "(in Excel: as 'CSV UTF-8')"
            )
        return value

    def name(self, role: str) -> str | None:
        """Return the text of a role or None; it need not be UTF-8, as file names need not be."""
        column = self.column(role)
        if column is None:
            return None
        value = self.cells[column]
        if not isinstance(value, str):
            raise BadCell(f"{column} is {value!r:.60}, not a text")
        return value.strip()

    def number(self, role: str, *, whole: bool = False) -> float | int | None:
        """Return the number of a role or None; BadCell if it is not finite, or not ``whole``."""
        column = self.column(role)
        if column is None:
            return None
        value, noun = self.cells[column], "whole number" if whole else "number"
        number: float | int = float("nan")
        if isinstance(value, str):
            text = value.strip()
            if self.decimal_comma:
                text = text.replace(",", ".")
            if re.fullmatch(r"[+-]?\d+,\d+", text):
                raise BadCell(f"{column} is {text!r}, not a {noun}; write '.' for the comma")
            if whole and re.fullmatch(r"[+-]?\d{1,40}", text, re.ASCII):
                return int(text)
            if NUMBER.fullmatch(text):
                number = float(text)
        elif isinstance(value, float) or (type(value) is int and (whole or abs(value) < 10**40)):
            number = value
        if not abs(number) < float("inf") or (whole and number != int(number)):
            raise BadCell(f"{column} is {value!r:.60}, not a {noun}")
        return int(number) if whole else float(number)

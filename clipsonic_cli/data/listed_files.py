"""Find the files that a list names, next to or below the list.

A list may come from someone else and name any file, so only those in its own folder are used; a
link in that folder may lead out of it.
"""

import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clipsonic_cli.data.list_row import BadCell
from clipsonic_cli.text import printable


class ListedFiles:
    """Finds files by the names that a list in a folder gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> str:
        """Return the path of a file within the folder, with slashes, also if there is none.

        A name is looked up as it is, then with backslashes as slashes, without "file://" and
        percent signs, and in other normal forms of Unicode. It may be an absolute path.

        Raises:
            BadCell: The name is not that of a file, leads out of the folder, or differs from a
                file's name in case.
        """
        shown = f"'{printable(name)[:200]}'"
        if not name or "\0" in name or len(name) > 4096:  # more than any system takes
            raise BadCell(f"{shown} is no file's name")
        if "://" in name and not name.lower().startswith("file://"):
            raise BadCell(f"{shown} is an address; download the file, and name it as it is here")
        absent: str | None = None
        outside: BadCell | None = None
        for spelling in self._spellings(name):
            try:
                inside = self._inside(spelling)
            except BadCell as error:
                outside = outside or error
                continue
            absent = absent or inside
            if self._is_file(inside):
                return inside
            near, differs = self._near(inside)
            if near is not None and differs:
                raise BadCell(f"{shown} is there as '{printable(near)}'; write it so in the list")
            if near is not None:
                return near
        if outside is not None:
            raise outside
        assert absent is not None  # there is one spelling at least
        return absent

    def _spellings(self, name: str) -> list[str]:
        """Return the paths that a name may stand for, the likeliest first, each once."""
        names = [name]
        if name.lower().startswith("file://"):
            names = [unquote(urlsplit(name).path, errors="surrogateescape")]
        if name.startswith("~"):
            names.append(os.path.expanduser(name))  # noqa: PTH111 - never raises
        names += [one.replace("\\", "/") for one in names]
        names += [unquote(one, errors="surrogateescape") for one in names]
        return list(dict.fromkeys(names))

    def _inside(self, name: str) -> str:
        """Return a path relative to the folder; BadCell if it leads out of it."""
        shown = f"'{printable(name)[:200]}'"
        if os.sep != "\\" and re.match(r"[A-Za-z]:[\\/]|\\\\", name):
            raise BadCell(
                f"{shown} is outside the list's folder, on a drive of Windows; name files relative "
                "to the list"
            )
        own = os.path.abspath(self.folder)  # noqa: PTH100 - links are meant
        full = os.path.normpath(os.path.join(own, name))  # noqa: PTH118
        head, tail = os.path.split(full)
        followed = os.path.join(os.path.realpath(head), tail)  # noqa: PTH118
        real = os.path.realpath(own)
        # An absolute path may be written with the links in it, or resolved.
        pairs = [(own, full), (real, full), (real, followed if os.path.isabs(name) else "")]  # noqa: PTH117
        for root, path in pairs:
            if path.startswith(os.path.join(root, "")):  # noqa: PTH118
                return Path(os.path.relpath(path, root)).as_posix()
        raise BadCell(
            f"{shown} is outside the list's folder '{printable(own)}'; move the list above the "
            "file, or put a link to the file's folder next to the list"
        )

    def _is_file(self, inside: str) -> bool:
        try:
            return (self.folder / inside).exists()
        except (OSError, ValueError):
            return False

    def _near(self, inside: str) -> tuple[str | None, bool]:
        """Return an existing path that differs in normal form or case only, and whether in case."""
        place, differs = Path(), False
        for part in Path(inside).parts:
            near = self._folded(self.folder / place).get(_fold(part), [])
            same = [name for name in near if _nfc(name) == _nfc(part)]
            if not near:
                return None, False
            differs = differs or not same
            place /= (same or near)[0]
        return place.as_posix(), differs

    def _folded(self, folder: Path) -> dict[str, list[str]]:
        """Return the names in a folder by their case-folded form; each folder is listed once."""
        if folder not in self._names:
            names = self._names[folder] = {}
            with suppress(OSError):
                for name in sorted(os.listdir(folder)):  # noqa: PTH208
                    names.setdefault(_fold(name), []).append(name)
        return self._names[folder]


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _fold(name: str) -> str:
    return _nfc(_nfc(name).casefold())

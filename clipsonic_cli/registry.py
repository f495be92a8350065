"""Open sets of names: each name stands for ``module:attribute`` and is imported when it is loaded.

The one dynamic door of the package: packages list their members here, nobody imports them early.
"""

import difflib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clipsonic_cli.errors import UsageError


def unknown(noun: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name that is not in a set, with the nearest one.

    Args:
        noun: What the name names, in lower case ("sampler").
        name: The name seen.
        known: All allowed names, in the order to show.
    """
    shown = ", ".join(known) or "none"
    return UsageError(f"Unknown {noun} '{name}'.{did_you_mean(name, known)} Known: {shown}.")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Format the nearest known name as a question; "" if none is near."""
    nearest = near(name, known)
    return "" if nearest is None else f" Did you mean '{nearest}'?"


def near(name: str, known: Sequence[str]) -> str | None:
    """Return a known name that begins so, or the nearest one; None if none is near."""
    longer = (other for other in known if name and other.startswith(name.lower()))
    return next(longer, None) or next(
        iter(difflib.get_close_matches(name.lower(), known, n=1)), None
    )


class Registry(Mapping[str, str]):
    """Maps a name to the place of its object, and imports that on :meth:`load`.

    Args:
        noun: What a member is, in lower case; used in messages.
        entries: Name to ``"package.module:attribute"``, in the order to show.
    """

    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self.noun = noun
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> str:
        """Return the name, without importing anything; a UsageError where it is unknown."""
        if name not in self._entries:
            raise unknown(self.noun, name, list(self._entries))
        return name

    def load(self, name: str) -> Any:
        """Import the object registered under a name; a UsageError where it is unknown."""
        module, _, attribute = self._entries[self.check(name)].partition(":")
        return getattr(importlib.import_module(module), attribute)

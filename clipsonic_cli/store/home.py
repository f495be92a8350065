"""Find the user's folders: data (models, weights) and cache.

``CLIPSONIC_HOME`` names both; without it they are where the operating system keeps such files. A
container may have neither that variable, nor HOME, nor an account with a home: optional folders
are then left out, and needed ones are an error that names the variable.
"""

import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from clipsonic_cli.errors import ClipsonicError

VARIABLE = "CLIPSONIC_HOME"
REMEDY = f"Set {VARIABLE} to a folder that can be written."


class NoHome(ClipsonicError):
    """There is no home folder; the message names the variable that replaces it."""


def data_home() -> Path:
    """Return the folder of models and weights, which need not exist, or raise NoHome."""
    return _configured() or _system_folder(user_data_path)


def cache_home() -> Path:
    """Return the folder of files that can be made again; need not exist; or raise NoHome."""
    home = _configured()
    return home / "cache" if home else _system_folder(user_cache_path)


def find_folder(name: str) -> Path | None:
    """Return a folder of :func:`data_home` such as "models", or None where it cannot be listed."""
    try:
        folder = data_home() / name
        with os.scandir(folder):
            return folder
    except (NoHome, OSError):
        return None


def why_unreadable() -> str:
    """Format why :func:`data_home` cannot be listed: " ...", or "" if it can."""
    try:
        with os.scandir(data_home()):
            return ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f" {data_home()} cannot be read ({error.strerror}). {REMEDY}"
    except NoHome as error:
        return f" {error}"


def expanded(path: str | Path) -> Path:
    """Return a path with "~" replaced, unless there is no such home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises without a home


def _configured() -> Path | None:
    """Return the folder that ``CLIPSONIC_HOME`` names."""
    home = os.environ.get(VARIABLE)
    return expanded(home).absolute() if home else None


def _system_folder(find: Callable[..., Path]) -> Path:
    """Return the operating system's folder of one kind."""
    try:
        return find("clipsonic", appauthor=False)
    except (RuntimeError, KeyError, OSError):  # no HOME, and no account that would have one
        who = f" (user {os.getuid()})" if hasattr(os, "getuid") else ""
        raise NoHome(
            f"There is no home folder: HOME is not set and this account{who} has none. {REMEDY}"
        ) from None

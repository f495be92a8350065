"""Where a person's things lie: models and weights, and what can be made again.

``CLIPSONIC_HOME`` moves both; without it they lie where the operating system keeps such things. A
container may have neither that variable, nor HOME, nor an account to have a home: what is only
wanted is done without then, and what is needed is an error that names the variable.
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
    """Return the folder of what a person has fetched or made, whether it is there or not.

    Raises:
        NoHome: Neither ``CLIPSONIC_HOME`` nor the account says where it is.
    """
    return _asked_for() or _system_folder(user_data_path)


def cache_home() -> Path:
    """Return the folder of what may be deleted at any time, whether it is there or not.

    Raises:
        NoHome: Neither ``CLIPSONIC_HOME`` nor the account says where it is.
    """
    own = _asked_for()
    return own / "cache" if own else _system_folder(user_cache_path)


def find_folder(name: str) -> Path | None:
    """Return a folder of :func:`data_home` such as "models", or None where it cannot be listed."""
    try:
        folder = data_home() / name
        with os.scandir(folder):
            return folder
    except (NoHome, OSError):
        return None


def why_unreadable() -> str:
    """Format why what is in :func:`data_home` cannot be seen: " ..." or, where it can, ""."""
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
    """Return a path with "~" replaced; as it is where there is no such home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises without a home


def _asked_for() -> Path | None:
    """Return the folder that ``CLIPSONIC_HOME`` names."""
    home = os.environ.get(VARIABLE)
    return expanded(home).absolute() if home else None


def _system_folder(find: Callable[..., Path]) -> Path:
    """Return the folder that the operating system has for a purpose."""
    try:
        return find("clipsonic", appauthor=False)
    except (RuntimeError, KeyError, OSError):  # no HOME, and no account that would have one
        who = f" (user {os.getuid()})" if hasattr(os, "getuid") else ""
        raise NoHome(
            f"There is no home folder: HOME is not set and this account{who} has none. {REMEDY}"
        ) from None

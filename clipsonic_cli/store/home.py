"""Where a person's things lie: models and weights, and what can be made again.

``CLIPSONIC_HOME`` moves both; without it they lie where the operating system keeps such things.
"""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path


def data_home() -> Path:
    """Gives the folder of what a person has fetched or made, whether it is there or not."""
    return _asked_for() or user_data_path("clipsonic", appauthor=False)


def cache_home() -> Path:
    """Gives the folder of what may be deleted at any time, whether it is there or not."""
    own = _asked_for()
    return own / "cache" if own else user_cache_path("clipsonic", appauthor=False)


def _asked_for() -> Path | None:
    """Gives the folder that ``CLIPSONIC_HOME`` names."""
    home = os.environ.get("CLIPSONIC_HOME")
    return Path(home).expanduser().absolute() if home else None

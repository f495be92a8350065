"""Text or an image into sound, learned from unlabeled videos alone (CLIPSonic, Dong et al. 2023).

>>> from clipsonic_cli import ClipSonic
>>> sonic = ClipSonic.load("mini")
>>> sonic("a photo of violin", mode="pd", guidance=1.5).write("violin.wav")

``ClipSonic`` is a model, ``Sound`` what it makes, ``Recipe`` all that decides a sound;
``read_recipe`` reads that of a file. All errors that a user can act on are a ``ClipsonicError``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipsonic_cli.config import Recipe
    from clipsonic_cli.errors import (
        BadBundle,
        ClipsonicError,
        FetchFailed,
        MissingWeights,
        UsageError,
    )
    from clipsonic_cli.pipeline import ClipSonic
    from clipsonic_cli.sound import Sound, read_recipe

__version__ = "0.1.0"
__all__ = [
    "BadBundle",
    "ClipSonic",
    "ClipsonicError",
    "FetchFailed",
    "MissingWeights",
    "Recipe",
    "Sound",
    "UsageError",
    "__version__",
    "read_recipe",
]

_MODULES = {"ClipSonic": "pipeline", "Recipe": "config", "Sound": "sound", "read_recipe": "sound"}
"""Where names of the Python API are defined, if not in ``errors``."""


def __getattr__(name: str) -> Any:
    """Import a name of the Python API when it is first used, so that ``--help`` stays light."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    """List the Python API, for completion."""
    return list(__all__)

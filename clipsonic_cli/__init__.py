"""Text or an image into sound, learned from unlabeled videos alone (CLIPSonic, Dong et al. 2023).

>>> from clipsonic_cli import ClipSonic
>>> sonic = ClipSonic.load("mini")
>>> sonic("a photo of violin", mode="pd", guidance=1.5).write("violin.wav")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ClipSonic", "__version__"]

if TYPE_CHECKING:
    from clipsonic_cli.pipeline import ClipSonic


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used, so that ``--help`` stays light."""
    if name == "ClipSonic":
        from clipsonic_cli.pipeline import ClipSonic

        return ClipSonic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What clipsonic runs on, found without importing torch."""

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from clipsonic_cli import __version__


def describe() -> str:
    """Format the versions of clipsonic, Python and torch, the platform and the device."""
    return (
        f"clipsonic {__version__}\nPython {platform.python_version()} on {platform.platform()}, "
        f"torch {version('torch') or 'not installed'}, device: {likely_device()}"
    )


def version(name: str) -> str | None:
    """Return the version of a package, which is not imported; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def likely_device() -> str:
    """Return the device that torch will most likely find, and why."""
    if (version("torch") or "").endswith("+cpu"):
        return "cpu (torch is built for it alone)"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps (Apple silicon)"
    if not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")):
        return "cpu (no NVIDIA driver found)"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu (CUDA_VISIBLE_DEVICES hides every GPU)"
    return "cuda (NVIDIA driver found)"

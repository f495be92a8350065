"""Packages that are optional, or that import a torchvision which may not fit torch."""

import importlib.metadata
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.errors import ClipsonicError


def install_command(extra: str) -> str:
    """Format the command that installs what an extra of clipsonic adds.

    It names the packages of the extra, so that it works however clipsonic was installed: it is in
    no package index. A checkout that is not installed is named itself.
    """
    try:
        requirements = importlib.metadata.requires("clipsonic") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    rows = [re.split(r"\s*;\s*", row) for row in requirements]
    marker = re.compile(rf"extra\s*==\s*['\"]{extra}['\"]")
    names = [row[0] for row in rows if len(row) > 1 and marker.fullmatch(row[1])]
    names = names or [f"{Path(__file__).parents[2]}[{extra}]"]
    return " ".join(["python -m pip install", *(f'"{name}"' for name in names)])


def import_open_clip() -> Any:
    """Import open_clip; a ClipsonicError where torchvision does not fit torch."""
    with needs_torchvision("open_clip"):
        import open_clip
    return open_clip


def import_transformers() -> Any:
    """Import transformers; a ClipsonicError says what to do if it is missing or before 5."""
    remedy = install_command("clap")
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ClipsonicError(f"CLAP needs transformers, which is not installed: {remedy}") from None
    if int(transformers.__version__.split(".")[0]) < 5:
        raise ClipsonicError(
            f"CLAP needs transformers 5 or newer, this is {transformers.__version__}: {remedy}"
        )
    with needs_torchvision("transformers' CLAP"):
        transformers.ClapModel  # noqa: B018 -- imported when it is first named
    return transformers


@contextmanager
def needs_torchvision(package: str) -> Iterator[None]:
    """Turn a failed import within the block into a ClipsonicError.

    Where torchvision is of another release than torch, that is the reason it gives; else the
    import's own message.
    """
    try:
        yield
    except (ImportError, RuntimeError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        remedy = _mismatch(torch.__version__, _version_of("torchvision"))
        raise ClipsonicError(f"{package} cannot be imported ({reason}).{remedy}") from error


def _version_of(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mismatch(torch_version: str, torchvision_version: str | None) -> str:
    """Format what to do about a torchvision that is missing or of another release; else "".

    Torch 2.N and torchvision 0.(N + 15) are of one release.
    """
    major, minor = (int(part) for part in torch_version.split(".")[:2])
    fitting = f"0.{minor + 15}" if major == 2 else "of the same day"
    if torchvision_version is not None and torchvision_version.startswith(f"{fitting}."):
        return ""
    installed = torchvision_version or "not installed"
    return (
        f" torch is {torch_version} and torchvision {installed}; they must be of one release, here "
        f"torchvision {fitting}: python -m pip install --upgrade torch torchvision."
    )

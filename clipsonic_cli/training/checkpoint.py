"""Training state on disk: written whole or not at all, read without executing anything.

This is everything a run needs to go on exactly; what is shipped is a bundle (``store/bundle.py``).
"""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.errors import ClipsonicError

PATTERN = "state-*.pt"


def save(run_dir: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Writes a checkpoint under a temporary name, renames it and drops the oldest.

    Args:
        run_dir: The run's folder.
        step: Steps done; part of the name.
        state: Tensors, numbers, strings, lists and dictionaries.
        keep: Newest checkpoints that stay, at least 1.

    Returns:
        The file written.
    """
    path = run_dir / f"state-{step:08d}.pt"
    temporary = run_dir / f".{path.name}.part"  # one name a step: a killed save is overwritten
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    for old in sorted(run_dir.glob(PATTERN))[:-keep]:
        old.unlink()
    for part in run_dir.glob(".state-*.part"):
        part.unlink()
    return path


def load_newest(run_dir: Path) -> dict[str, Any] | None:
    """Reads the newest checkpoint of a run.

    Returns:
        The state with tensors on the CPU, or None for a run that has none yet.

    Raises:
        ClipsonicError: The file is damaged.
    """
    paths = sorted(run_dir.glob(PATTERN))
    if not paths:
        return None
    try:
        state: dict[str, Any] = torch.load(paths[-1], map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise ClipsonicError(
            f"Checkpoint {paths[-1]} cannot be read ({type(error).__name__}). "
            f"Delete it to go on from the one before."
        ) from None
    return state

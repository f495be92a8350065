"""Training state on disk: written whole or not at all, read without executing anything."""

from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.errors import ClipsonicError

PATTERN = "state-*.pt"
BEST = "best.pt"


def save(run_dir: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write a checkpoint of tensors, numbers, strings, lists and dicts; delete the oldest."""
    path = _write(run_dir / f"state-{step:08d}.pt", state)
    for old in sorted(run_dir.glob(PATTERN))[:-keep]:
        old.unlink()
    return path


def save_best(run_dir: Path, state: dict[str, Any]) -> Path:
    """Write ``step``, ``score`` and averaged ``weights`` of the lowest validation loss so far."""
    return _write(run_dir / BEST, state)


def load_best(run_dir: Path) -> dict[str, Any] | None:
    """Read what :func:`save_best` wrote, with tensors on the CPU; None without validations."""
    path = run_dir / BEST
    return _read(path, "Train on to write another.") if path.exists() else None


def newest(run_dir: Path) -> Path | None:
    """Return the newest checkpoint of a run, or None for a run without one."""
    return max(run_dir.glob(PATTERN), default=None)


def newest_step(run_dir: Path) -> int:
    """Return how many steps are done in the newest checkpoint of a run; 0 without one."""
    path = newest(run_dir)
    number = "" if path is None else path.stem.removeprefix("state-")
    return int(number) if number.isdecimal() else 0


def load_newest(run_dir: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint of a run, with tensors on the CPU; None for a run without one."""
    path = newest(run_dir)
    return None if path is None else _read(path, "Delete it to go on from the one before.")


def _write(path: Path, state: dict[str, Any]) -> Path:
    # Half files of saves that were killed: no living one's, as a run's folder has one owner.
    for left in path.parent.glob(".*.part"):
        left.unlink()
    with written(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)  # to a file: a path would put its name inside
    return path


def _read(path: Path, advice: str) -> dict[str, Any]:
    try:
        state: object = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError
    except OSError as error:  # of the disk: the file may be sound
        reason = error.strerror or error
        raise ClipsonicError(f"Checkpoint {path} cannot be read ({reason}).") from None
    except Exception as error:  # what a damaged archive makes torch raise is no closed set
        raise ClipsonicError(
            f"Checkpoint {path} cannot be read ({type(error).__name__}). {advice}"
        ) from None
    return state

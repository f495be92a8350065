"""What a step asks of the steps before it, and of the programs it calls."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def need(folder: Path, name: str, step: str) -> Path:
    """Return a file that an earlier step made.

    Args:
        folder: Where it is looked for.
        name: Its path inside; may hold ``*``.
        step: The script that makes it, such as "clip.py".

    Raises:
        SystemExit: It is not there; the message names it and the step.
    """
    found = next(iter(sorted(folder.glob(name))), None)
    if found is None:
        sys.exit(f"{folder / name} is missing: run recipes/mini/{step} first, with the same --out.")
    return found


def need_part(out: Path, name: str) -> Path:
    """Return a part of the model, such as "unet", under the recipe's folder; see :func:`need`."""
    steps = {"clip": "clip.py", "statistics": "frame_statistics.py", "vocoder": "vocoders.py"}
    step = steps.get(name, f"train.py {name}")
    return need(out / "model", f"{name}.safetensors", step)


def run(command: Sequence[str], cwd: Path | None = None, *, keep: bool = False) -> bytes:
    """Run a program.

    Args:
        command: The program and its arguments.
        cwd: The folder it runs in.
        keep: Whether its standard output is given back rather than shown.

    Raises:
        SystemExit: The program is missing, or failed; the message ends with its last line.
    """
    out = subprocess.PIPE if keep else None
    try:
        done = subprocess.run(command, cwd=cwd, stdout=out, stderr=subprocess.PIPE, check=False)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is missing: install it.")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        sys.exit(f"{command[0]} failed ({done.returncode}): {said[-1] if said else 'no message'}")
    return done.stdout or b""

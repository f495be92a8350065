"""Files that are whole or absent: written under another name, then renamed."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clipsonic_cli.errors import UsageError


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a name next to a file, and rename what was written there once the block has ended.

    Nobody sees half a file under ``path``, not even after a power cut. A block that fails leaves
    what was there before and nothing else; a process that is killed leaves ``.*.part`` in the
    folder.

    Args:
        path: The file to be; an existing one is replaced. Its folder must exist.

    Yields:
        Where to write it. The block creates this file, and closes it.

    Raises:
        OSError: The disk is full or cannot be written; it names a file.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # short: names have a limit
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode  # as this process's umask has it
        temporary.unlink()
        yield temporary
        temporary.chmod(mode)  # safetensors lets nobody else read what it writes
        with temporary.open("rb+") as file:  # a rename may reach the disk before what it renames
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno and error.filename is None:  # of a full disk, which could be any
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # it is renamed, or would hide why the block failed
            temporary.unlink()


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist."""
    parents = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(path for path in parents if path.is_dir())).free


def check_writable(folder: Path, other: str = "another folder") -> None:
    """Check that files can be written into a folder; a UsageError says to give ``other``."""
    if (reason := why_unwritable(folder)) is not None:
        raise UsageError(f"Cannot write in '{folder}': {reason}; give {other}.")


def why_unwritable(folder: Path) -> str | None:
    """Return why no file can be written into a folder, in the system's words; None if one can.

    Names, permissions and disks are each system's own, and permission bits say little to root, on
    network drives and on read-only disks: it is tried, and nothing is left behind.

    Args:
        folder: It need not exist, but must be one that can be made.
    """
    parents = (folder, *folder.parents)
    existing = next((path for path in parents if os.path.lexists(path)), Path())
    try:
        if existing == folder:
            with tempfile.TemporaryFile(dir=folder):
                return None
        with tempfile.TemporaryDirectory(dir=existing) as trial:
            (Path(trial) / folder.relative_to(existing)).mkdir(parents=True)
    except OSError as error:
        return error.strerror or str(error)
    return None

"""Untrusted files: regular files of a bounded size, read whole.

Failures are OSErrors and ValueErrors, as of any file; callers say what the file should have been.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises:
        OSError: There is none, it may not be read, is larger, or is a folder, a pipe or a device;
            a pipe is not waited for.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", str(path))
        content = file.read(limit + 1) if status.st_size <= limit else b""
        if status.st_size > limit or len(content) > limit:
            raise OSError(errno.EFBIG, f"it has over {limit:,} bytes", str(path))
    return content


def read_text(path: Path, limit: int, *, encoding: str = "utf-8") -> str:
    """Read the text of a regular file, which is a ValueError of another encoding."""
    return read_bytes(path, limit).decode(encoding)


def read_json(path: Path, limit: int, *, encoding: str = "utf-8") -> Any:
    """Read the JSON value of a regular file; a ValueError if it is none or nested too deeply."""
    try:
        return json.loads(read_text(path, limit, encoding=encoding))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None

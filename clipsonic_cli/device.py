"""Where networks run and in which precision, chosen once and passed down.

torch is imported when one is chosen, not for a check of names.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from clipsonic_cli.config import DEVICES, DTYPES
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown

if TYPE_CHECKING:
    import torch

BFLOAT16 = ("amx_bf16", "avx512_bf16")
"""The extensions of CPUs that multiply bfloat16, as Linux calls them; the fastest first."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(name: str) -> torch.device:
    """Return a device; "auto" is CUDA if there is one, else Apple's GPU, else the CPU.

    Raises:
        UsageError: The name is unknown, or there is no such device.
    """
    import torch

    _do_without_temporary_files()
    if name not in DEVICES:
        raise unknown("device", name, list(DEVICES))
    available = [
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
        "cpu",
    ]
    if name == "auto":
        name = available[0]
    if name not in available:
        raise UsageError(
            f"Device '{name}' is not available to torch {torch.__version__} on this machine. "
            f"Available: {', '.join(available)}. Use `device` auto."
        )
    return torch.device(name)


def _do_without_temporary_files() -> None:
    """Let torch be used where no folder takes temporary files.

    torch names the cache of compiled code, and makes its folder, as soon as an optimizer or
    torchvision is used, whether anything is compiled or not. An existing one is not made.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent))


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the extensions that the system lets programs use, by Linux; elsewhere none."""
    try:
        found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset(found[1].split()) if found else frozenset()


def auto_dtype(
    device: torch.device, flags: Collection[str] | None = None
) -> tuple[torch.dtype, str]:
    """Return the U-Net's precision on a device, and why, for people.

    bfloat16 where it is fast: on CUDA that does not emulate it, and on CPUs that multiply it (by
    AVX512_BF16 alone, mini's steps took 0.7 of the time in float32). CPUs without any extension for
    it take several times as long as in float32.

    Args:
        device: Where the U-Net runs.
        flags: The CPU's extensions; None is this machine's.
    """
    import torch

    if device.type == "cpu":
        flags = cpu_flags() if flags is None else flags
        fast = next((name for name in BFLOAT16 if name in flags), None)
        if fast and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return torch.bfloat16, f"the CPU has {fast}"
        return torch.float32, f"the CPU has no {' or '.join(BFLOAT16)}"
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "fast on this GPU"
    return torch.float32, f"bfloat16 is not fast on {device.type}"


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the U-Net's precision; "auto" is that of :func:`auto_dtype`.

    Raises:
        UsageError: The name is unknown, or the device cannot run it at speed.
    """
    import torch

    if name not in DTYPES:
        raise unknown("dtype", name, list(DTYPES))
    if name == "auto":
        return auto_dtype(device)[0]
    if name == "float16" and device.type == "cpu":
        raise UsageError("float16 is a hundred times slower than float32 on a CPU. Use bfloat16.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def keep_memory() -> None:
    """Let the C library keep freed memory for the next tensors of this process.

    Else glibc gives each large tensor back to the system and fetches it again for the next, which
    took half the time of a training step in bfloat16 on a CPU. Other libraries are left as they
    are, and so is whoever sets ``MALLOC_`` variables.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        for option, value in ((-1, -1), (-2, 1 << 28), (-4, 0)):  # trim, top pad, most mmaps
            mallopt(option, value)

"""This machine and this installation, for ``clipsonic info`` and reports of bugs."""

import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from clipsonic_cli import __version__
from clipsonic_cli.atomic import free_bytes
from clipsonic_cli.cli.console import Facts
from clipsonic_cli.cli.environment import version
from clipsonic_cli.cli.models.describe import default_or_none
from clipsonic_cli.device import cores
from clipsonic_cli.store import assets, home, model_folders
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.text import megabytes

PACKAGES = (
    *("torch", "torchvision", "numpy", "accelerate", "open_clip_torch", "dalle2-pytorch", "av"),
    *("soundfile", "soxr", "safetensors", "tokenizers", "transformers", "typer", "rich"),
)
VARIABLES = re.compile(
    r"CLIPSONIC_\w+|HF_(TOKEN|ENDPOINT|HUB_OFFLINE)|(OMP|MKL)_NUM_THREADS|CUDA_VISIBLE_DEVICES|"
    r"PYTORCH_\w+|TORCH_\w+|TMPDIR|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|(https?|all|no)_proxy|"
    r"(RANK|WORLD_SIZE|LOCAL_RANK)",
    re.IGNORECASE,
)
"""Environment variables that change what clipsonic does."""
SECRETS = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)


def describe() -> Facts:
    """Describe versions, devices, folders, models and the environment."""
    default, why_not = default_or_none()
    details: dict[str, Any] = {
        "clipsonic": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "executable": sys.executable,
        "cores": cores(),
        "memory": memory(),
        **devices(),
        "folders": folders(),
        "models": model_folders.names(),
        "default_model": default or why_not,
        "weights": [row.name for row in ASSETS.values() if assets.state(row) == "here"],
        "environment": environment(),
    }
    packages = [f"{name} {found}" for name, found in details["packages"].items() if found]
    facts = {
        "clipsonic": f"{__version__} ({Path(__file__).parents[2]})",
        "python": f"{details['python']} ({sys.executable})",
        "packages": ", ".join(packages),
        "platform": details["platform"],
        "cores": f"{details['cores']}, of which torch uses {details['threads'] or '?'}",
        "memory": "unknown" if details["memory"] is None else megabytes(details["memory"]),
        "devices": ", ".join(details["devices"]) or "none",
        "runs on": _runs_on(details),
        **{place: _folder(folder) for place, folder in details["folders"].items()},
        "models": ", ".join(details["models"]),
        "default": details["default_model"],
        "weights": ", ".join(details["weights"]) or "none are downloaded",
        "variables": " ".join(f"{k}={v}" for k, v in details["environment"].items()) or "none",
    }
    return facts, details


def memory() -> int | None:
    """Return the bytes of memory; None where the system does not say."""
    known = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= {*getattr(os, "sysconf_names", {})}
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else None


def devices() -> dict[str, Any]:
    """Return the devices that torch finds, its threads, and the device and dtype it would use.

    An installation of torch that cannot be imported is described, not raised.
    """
    try:
        import torch

        from clipsonic_cli.device import auto_dtype, choose_device

        device = choose_device("auto")
        dtype, reason = auto_dtype(device)
        gpus = [
            f"cuda:{n} {torch.cuda.get_device_name(n)} "
            f"({megabytes(torch.cuda.get_device_properties(n).total_memory)})"
            for n in range(torch.cuda.device_count())
        ]
        mps = ["mps"] if torch.backends.mps.is_available() else []
        return {
            "devices": [*gpus, *mps, "cpu"],
            "threads": torch.get_num_threads(),
            "device": device.type,
            "dtype": str(dtype).removeprefix("torch."),
            "dtype_reason": reason,
        }
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        absent = dict.fromkeys(("threads", "dtype", "dtype_reason"))
        return {"devices": [], "device": f"none: {reason}", **absent}


def _runs_on(details: dict[str, Any]) -> str:
    """Format where networks run, in which precision, and why in this one."""
    if details["dtype"] is None:
        return str(details["device"])
    return f"{details['device']} in {details['dtype']} ({details['dtype_reason']})"


def folders() -> dict[str, dict[str, Any]]:
    """Return the folders of clipsonic: path, bytes by what is in it, and bytes that are free."""
    found: dict[str, dict[str, Any]] = {}
    for name, find in (("home", home.data_home), ("cache", home.cache_home)):
        try:
            path = find()
        except home.NoHome as error:
            found[name] = {"path": None, "error": str(error)}
            continue
        sizes = {entry.name: _size(entry) for entry in sorted(path.glob("*"))}
        found[name] = {"path": str(path), "bytes": sizes, "free": free_bytes(path)}
    return found


def _size(entry: Path) -> int:
    """Return the bytes of a file, or of all files in a folder that can be read."""
    total = 0
    for file in (entry, *entry.rglob("*")):
        with suppress(OSError):  # it was deleted meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total


def environment() -> dict[str, str]:
    """Return the variables that change what clipsonic does, without passwords and tokens."""
    found = {name: os.environ[name] for name in sorted(os.environ) if VARIABLES.fullmatch(name)}
    return {
        name: "(set)" if SECRETS.search(name) and value else re.sub("//[^/@]*@", "//...@", value)
        for name, value in found.items()
    }


def _folder(folder: dict[str, Any]) -> str:
    """Format a folder."""
    if folder["path"] is None:
        return str(folder["error"])
    sizes = ", ".join(f"{name} {megabytes(size)}" for name, size in folder["bytes"].items())
    return f"{folder['path']} ({sizes or 'empty'}; {megabytes(folder['free'])} are free)"

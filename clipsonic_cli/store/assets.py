"""Find, verify and remove published weights on disk: one folder per asset, with a receipt.

weights/openai-clip/clip.safetensors     converted from the files of its row of the manifest
weights/openai-clip/receipt.json         urls, lengths and digests
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.errors import MissingWeights
from clipsonic_cli.store.home import data_home, find_folder, why_unreadable
from clipsonic_cli.store.manifest import ASSETS, Asset, standing_in

RECEIPT = "receipt.json"
State = Literal["absent", "partial", "here"]


def folder(asset: Asset) -> Path:
    """Return the folder of an asset, which need not exist."""
    return data_home() / "weights" / asset.name


def _find_folder(asset: Asset) -> Path | None:
    """Return the folder of an asset, or None if there is no folder of weights."""
    weights = find_folder("weights")
    return None if weights is None else weights / asset.name


def file_of(asset: Asset, name: str | None = None) -> Path:
    """Return a file of an asset; None is the bundle it was converted into, or its only file.

    Raises:
        MissingWeights: The asset is not on this machine; names the command that gets it.
    """
    if state(asset) != "here":
        raise MissingWeights(
            f"'{asset.name}' ({asset.title}) is not on this machine. "
            f"To get it: clipsonic download {asset.name}.{why_unreadable()}"
        )
    if name is None:
        name = f"{asset.part}.safetensors" if asset.part else asset.files[0].name
    return folder(asset) / name


def part_here(part: str) -> Path | None:
    """Return the bundle of the first asset on this machine that can serve as a part of a model."""
    for asset in standing_in(part):
        if state(asset) == "here":
            return file_of(asset)
    return None


def state(asset: Asset) -> State:
    """Return whether an asset is here, by its receipt and the lengths of its files."""
    place = _find_folder(asset)
    if place is None:
        return "absent"
    receipt = read_receipt(place)
    try:
        if receipt is not None and all(
            (place / name).is_file() and (place / name).stat().st_size == entry["bytes"]
            for name, entry in receipt["kept"].items()
        ):
            return "here"
        return "partial" if any(path.suffix != ".lock" for path in place.iterdir()) else "absent"
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:  # the folder cannot be read
        return "partial"


def on_disk(asset: Asset) -> int:
    """Return the bytes an asset takes on disk."""
    place = _find_folder(asset)
    files = place.rglob("*") if place is not None else []
    return sum(path.stat().st_size for path in files if path.is_file())


def verify(asset: Asset) -> list[str]:
    """Hash the files of an asset; return a line per fault, or raise MissingWeights."""
    file_of(asset)
    receipt = read_receipt(folder(asset))
    assert receipt is not None  # as the asset is here
    command = f"clipsonic download --remove {asset.name} && clipsonic download {asset.name}"
    return [f"{fault}. Get it again: {command}" for fault in changed(folder(asset), receipt)]


def changed(place: Path, receipt: Mapping[str, Any]) -> list[str]:
    """Hash the files of a folder and format how they differ from its receipt."""
    faults = []
    for name, entry in receipt["kept"].items():
        if not (place / name).is_file():
            faults.append(f"{name} is missing")
        elif (current := describe(place / name)) != entry:
            faults.append(f"{name} has sha256 {current['sha256']}, it was {entry['sha256']}")
    return faults


def remove(asset: Asset) -> int:
    """Delete an asset and its partial downloads, but no pins; return the bytes freed."""
    freed = on_disk(asset)
    if _find_folder(asset) is not None and folder(asset).is_dir():
        with FileLock(folder(asset).parent / f"{asset.name}.lock"):
            shutil.rmtree(folder(asset))
    return freed


def recorded_digest(path: Path) -> str | None:
    """Return the SHA-256 a receipt records for a file; None for a file of no asset."""
    for asset in ASSETS.values():
        if path.parent == _find_folder(asset) and (receipt := read_receipt(path.parent)):
            digest: str | None = receipt["kept"].get(path.name, {}).get("sha256")
            return digest
    return None


def read_receipt(place: Path) -> dict[str, Any] | None:
    """Read the receipt of a folder; None if it is missing or damaged."""
    try:
        receipt = json.loads(bounded.read_bytes(place / RECEIPT, 1 << 20), parse_constant=_reject)
        kept = receipt["kept"]
        valid = kept and all(
            type(entry["bytes"]) is int
            and re.fullmatch("[0-9a-f]{64}", entry["sha256"])
            and re.fullmatch(r"\w[\w.-]{0,119}", name)  # of its own folder, for every system
            for name, entry in kept.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return receipt if valid else None


def _reject(constant: str) -> None:
    """Raise ValueError for NaN and the like, which are not JSON."""
    raise ValueError(constant)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a receipt, or another JSON object, atomically."""
    with written(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def describe(path: Path) -> dict[str, Any]:
    """Return a file's entry in a receipt: its length and digest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}

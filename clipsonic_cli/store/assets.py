"""Published weights on this machine: one folder an asset, with a receipt of what was fetched.

    weights/openai-clip/clip.safetensors     made of the files of its row of the manifest
    weights/openai-clip/receipt.json         urls, lengths and digests

Knows: folders and receipts. Does not know: how an asset gets here (``store/install.py``), and what
is in its files.
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
from clipsonic_cli.errors import MissingWeights
from clipsonic_cli.store.home import data_home, find_folder, why_unreadable
from clipsonic_cli.store.manifest import ASSETS, Asset, standing_in

RECEIPT = "receipt.json"
State = Literal["absent", "partial", "here"]


def folder(asset: Asset) -> Path:
    """Return where an asset lies, whether it is there or not."""
    return data_home() / "weights" / asset.name


def _place(asset: Asset) -> Path | None:
    """Return where an asset lies, or None where no weights can lie."""
    weights = find_folder("weights")
    return None if weights is None else weights / asset.name


def file_of(asset: Asset, name: str | None = None) -> Path:
    """Return a file of an asset that is here.

    Args:
        asset: A row of the manifest.
        name: One of its files; None is the bundle it was converted into, or its only file.

    Raises:
        MissingWeights: It is not on this machine; names the command that gets it.
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
    """Return the bundle of the first asset on this machine that can play a part of a model."""
    for asset in standing_in(part):
        if state(asset) == "here":
            return file_of(asset)
    return None


def state(asset: Asset) -> State:
    """Return whether an asset is here, by its receipt and the lengths of its files."""
    place = _place(asset)
    if place is None:
        return "absent"
    receipt = read_receipt(place)
    try:
        if receipt is not None and all(
            (place / name).is_file() and (place / name).stat().st_size == told["bytes"]
            for name, told in receipt["kept"].items()
        ):
            return "here"
        return "partial" if any(path.suffix != ".lock" for path in place.iterdir()) else "absent"
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:  # a folder that may not be looked into
        return "partial"


def on_disk(asset: Asset) -> int:
    """Return the bytes an asset takes here."""
    place = _place(asset)
    files = place.rglob("*") if place is not None else []
    return sum(path.stat().st_size for path in files if path.is_file())


def verify(asset: Asset) -> list[str]:
    """Hash what is here of an asset again.

    Returns:
        What is wrong, one line each; empty when all is as it was fetched.

    Raises:
        MissingWeights: It is not here.
    """
    file_of(asset)
    receipt = read_receipt(folder(asset))
    assert receipt is not None  # as the asset is here
    again = f"clipsonic download --remove {asset.name} && clipsonic download {asset.name}"
    return [f"{fault}. Get it again: {again}" for fault in changed(folder(asset), receipt)]


def changed(place: Path, receipt: Mapping[str, Any]) -> list[str]:
    """Hash the files of a folder again and compares them with its receipt.

    Returns:
        What differs, some words each.
    """
    faults = []
    for name, told in receipt["kept"].items():
        if not (place / name).is_file():
            faults.append(f"{name} is missing")
        elif (seen := describe(place / name)) != told:
            faults.append(f"{name} has sha256 {seen['sha256']}, it was {told['sha256']}")
    return faults


def remove(asset: Asset) -> int:
    """Delete an asset and what was begun of it; its pins are kept.

    Returns:
        Bytes freed.
    """
    freed = on_disk(asset)
    if _place(asset) is not None and folder(asset).is_dir():
        with FileLock(folder(asset).parent / f"{asset.name}.lock"):
            shutil.rmtree(folder(asset))
    return freed


def recorded_digest(path: Path) -> str | None:
    """Return the SHA-256 a receipt records for a file here, or None where it is of no asset."""
    for asset in ASSETS.values():
        if path.parent == _place(asset) and (receipt := read_receipt(path.parent)) is not None:
            digest: str | None = receipt["kept"].get(path.name, {}).get("sha256")
            return digest
    return None


def read_receipt(place: Path) -> dict[str, Any] | None:
    """Return the receipt of a folder, or None where there is none that can be read."""
    try:
        receipt = json.loads(bounded.read_bytes(place / RECEIPT, 1 << 20), parse_constant=_refuse)
        kept = receipt["kept"]
        sound = kept and all(
            type(told["bytes"]) is int and re.fullmatch("[0-9a-f]{64}", told["sha256"])
            for told in kept.values()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    # A receipt names files of its own folder only, by names that every system takes.
    return (
        receipt if sound and all(re.fullmatch(r"\w[\w.-]{0,119}", name) for name in kept) else None
    )


def _refuse(constant: str) -> None:
    """Refuses NaN and the like, which are no JSON."""
    raise ValueError(constant)


def describe(path: Path) -> dict[str, Any]:
    """Return a file's length and digest, as a receipt has them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}

"""Install published weights: fetch, verify, convert into a bundle, write a receipt.

An asset that is a part of a model is converted once, and its own files are then deleted; a warm
start stays as it was published. Digests of files whose publishers state none are pinned in
``weights/pins.json`` at the first download, once their conversion has succeeded.
"""

import contextlib
import datetime
import errno
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from filelock import FileLock

from clipsonic_cli import bounded
from clipsonic_cli.errors import BadBundle, FetchFailed, NoConnection
from clipsonic_cli.store import assets
from clipsonic_cli.store.bundle import Bundle, write
from clipsonic_cli.store.fetch import Fetched, FileReport, acquired, check_space, disk_error, fetch
from clipsonic_cli.store.home import data_home
from clipsonic_cli.store.manifest import Asset, RemoteFile
from clipsonic_cli.store.web import show

Convert = Callable[[Mapping[str, Path]], Bundle]


def install(asset: Asset, *, convert: Convert | None, report: FileReport) -> None:
    """Fetch an asset, verify it and convert it into a bundle, unless it is here.

    Args:
        asset: A row of the manifest.
        convert: Builds a bundle from its files by name; None keeps the files as they are.
        report: Called while files are fetched; while another process does, with (the first file,
            0, 0).

    Raises:
        FetchFailed: A file could not be fetched or written.
        BadBundle: A file is not what its publisher describes. Files without a known digest are
            deleted, and not pinned.
    """
    if assets.state(asset) == "here":
        return  # without the lock, as the folder may be read-only
    place = assets.folder(asset)
    lock = FileLock(place.parent / f"{asset.name}.lock")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with acquired(lock, lambda *_: report(asset.files[0].name, 0, 0)):
            if assets.state(asset) != "here":
                _install(asset, place, convert, report)
    except OSError as error:
        raise disk_error(place, error) from None


def _install(asset: Asset, place: Path, convert: Convert | None, report: FileReport) -> None:
    """Install an asset under the lock."""
    # Clean up, check space.
    for leftover in place.glob(".*.part"):  # of a process killed while it wrote
        leftover.unlink()
    copies = 1 if convert is None else 2  # the conversion is written before its files are deleted
    check_space(asset.name, copies * asset.size - assets.on_disk(asset), place)
    # Fetch.
    with _pins() as pins:
        known = {file.name: _known_digest(file, pins) for file in asset.files}
    try:
        fetched = {file.name: _fetch(file, known[file.name], place, report) for file in asset.files}
    except NoConnection as error:
        missing = [show(file.urls[0]) for file in asset.files if not (place / file.name).exists()]
        raise NoConnection(
            f"{error} Or fetch elsewhere, copy into {place}, and give the same command again: "
            f"{' '.join(missing)}"
        ) from None
    sources = {name: file.path for name, file in fetched.items()}
    # Convert.
    kept = sources
    if convert is not None:
        kept = {f"{asset.part}.safetensors": place / f"{asset.part}.safetensors"}
        try:
            bundle = convert(sources)
        except BadBundle:
            for name, path in sources.items():
                if len(known[name] or "") < 64:  # the next download may bring the right one
                    path.unlink()
            raise
        for path in kept.values():
            write(path, bundle)
    # Pin and record.
    with _pins() as pins:
        pins |= {file.urls[0]: fetched[file.name].sha256 for file in asset.files}
    receipt = {
        "asset": asset.name,
        "licence": asset.licence,
        "fetched": {
            file.name: {
                "url": fetched[file.name].url or file.urls[0],  # None: it existed already
                "bytes": fetched[file.name].bytes,
                "sha256": fetched[file.name].sha256,
            }
            for file in asset.files
        },
        "kept": {name: assets.describe(path) for name, path in kept.items()},
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    assets.write_json(place / assets.RECEIPT, receipt)
    for name, path in sources.items():
        if name not in kept:
            path.unlink()


def _known_digest(file: RemoteFile, pins: Mapping[str, str]) -> str | None:
    """Return the digest a file must have: its row's if that is complete, else the pinned one."""
    stated = file.sha256
    return stated if stated and len(stated) == 64 else pins.get(file.urls[0], stated)


def _fetch(file: RemoteFile, known: str | None, place: Path, report: FileReport) -> Fetched:
    """Fetch a file; a mismatch with a pinned digest is an error that names the pins."""
    try:
        return fetch(
            file.urls,
            place / file.name,
            size=file.bytes,
            sha256=known,
            report=partial(report, file.name),
        )
    except FetchFailed as error:
        if known is None or known == file.sha256 or known not in str(error):
            raise
        raise FetchFailed(
            f"{error} {known[:8]}... was pinned at the first download here; if that was the wrong "
            f"file, delete {_pins_path()}."
        ) from None


def _pins_path() -> Path:
    return data_home() / "weights" / "pins.json"


@contextlib.contextmanager
def _pins() -> Iterator[dict[str, str]]:
    """Yield the pins by a file's first URL, and write them if they changed.

    Raises:
        FetchFailed: The file of pins is damaged.
    """
    path = _pins_path()
    with FileLock(path.with_suffix(".lock")):
        try:
            pins = bounded.read_json(path, 1 << 20)
        except FileNotFoundError:
            pins = {}
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EFBIG:
                raise
            pins = None
        if not isinstance(pins, dict) or not all(map(_is_digest, pins.values())):
            raise FetchFailed(
                f"{path}, the digests pinned at first downloads, is damaged. Delete it; the next "
                "downloads are pinned again."
            )
        before = dict(pins)
        yield pins
        if pins != before:
            assets.write_json(path, pins)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None

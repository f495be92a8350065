"""How published weights get here: fetched, verified, converted into a bundle, told in a receipt.

An asset that plays a part of a model is converted once, and its own files are then deleted; a warm
start stays as it was published. Digests of files whose publishers state none are pinned in
``weights/pins.json`` at the first download, once an adapter has taken them. Knows: the order of
these. Does not know: the adapters
(``clipsonic_cli/published.py``).
"""

import contextlib
import datetime
import errno
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.errors import BadBundle, FetchFailed
from clipsonic_cli.store import assets
from clipsonic_cli.store.bundle import Bundle, write
from clipsonic_cli.store.fetch import Fetched, acquired, disk_error, fetch
from clipsonic_cli.store.home import data_home
from clipsonic_cli.store.manifest import Asset, RemoteFile

Convert = Callable[[Mapping[str, Path]], Bundle]


def install(
    asset: Asset,
    *,
    convert: Convert | None,
    report: Callable[[str, int, int], None],
    download: Callable[..., Fetched] = fetch,
) -> None:
    """Fetch an asset, verifies it, and converts it into a bundle.

    Args:
        asset: What to get; nothing is done when it is here.
        convert: Makes a bundle of its files by name; None keeps the files as they are.
        report: Called as ``report(file name, bytes done, bytes in all)``; while another process
            is at it, as ``report(name of the first file, 0, 0)``.
        download: Fetches one file.

    Raises:
        FetchFailed: A file could not be got or written.
        BadBundle: A file is not what its publisher describes. Those that no digest vouches for are
            deleted, and are not pinned.
    """
    if assets.state(asset) == "here":
        return  # unlocked, as the folder may only be read
    place = assets.folder(asset)
    lock = FileLock(place.parent / f"{asset.name}.lock")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with acquired(lock, lambda *_: report(asset.files[0].name, 0, 0)):
            if assets.state(asset) != "here":
                _install(asset, place, convert, report, download)
    except OSError as error:
        raise disk_error(place, error) from None


def _install(
    asset: Asset,
    place: Path,
    convert: Convert | None,
    report: Callable[[str, int, int], None],
    download: Callable[..., Fetched],
) -> None:
    """Does what :func:`install` says, under the lock."""
    for left in place.glob(".*.part"):  # half a bundle or receipt, by a process that was killed
        left.unlink()
    _check_room(asset, place, twice=convert is not None)
    with _pins() as pins:
        known = {file.name: _known_digest(file, pins) for file in asset.files}
    fetched = {
        file.name: _fetch(file, known[file.name], place, report, download) for file in asset.files
    }
    sources = {name: one.path for name, one in fetched.items()}
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
    with _pins() as pins:
        pins |= {file.urls[0]: fetched[file.name].sha256 for file in asset.files}
    receipt = {
        "asset": asset.name,
        "licence": asset.licence,
        "fetched": {
            file.name: {
                "url": fetched[file.name].url or file.urls[0],  # None: it lay here already
                "bytes": fetched[file.name].bytes,
                "sha256": fetched[file.name].sha256,
            }
            for file in asset.files
        },
        "kept": {name: assets.describe(path) for name, path in kept.items()},
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    _write_json(place / assets.RECEIPT, receipt)
    for name, path in sources.items():
        if name not in kept:
            path.unlink()


def _check_room(asset: Asset, place: Path, *, twice: bool) -> None:
    """Refuses to begin what the disk cannot hold: the files, and beside them what they become.

    Raises:
        FetchFailed: So it is.
    """
    needed = asset.size * (2 if twice else 1) - assets.on_disk(asset)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise FetchFailed(
            f"{asset.name} needs about {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in "
            f"{place}. Make room, or set CLIPSONIC_HOME to a folder on a larger disk."
        )


def _known_digest(file: RemoteFile, pins: Mapping[str, str]) -> str | None:
    """Return the digest a file must have: its row's if that is whole, else the pinned one."""
    stated = file.sha256
    return stated if stated and len(stated) == 64 else pins.get(file.urls[0], stated)


def _fetch(
    file: RemoteFile,
    known: str | None,
    place: Path,
    report: Callable[[str, int, int], None],
    download: Callable[..., Fetched],
) -> Fetched:
    """Fetch a file by the digest that is known of it; says so where that is a pinned one."""
    try:
        return download(
            file.urls,
            place / file.name,
            size=file.bytes,
            sha256=known,
            report=lambda done, total: report(file.name, done, total),
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
    """Return the pins, by a file's first URL, and writes them when they were changed.

    Raises:
        FetchFailed: They are damaged, so that nothing can be compared with them.
    """
    path = _pins_path()
    with FileLock(path.with_suffix(".lock")):
        try:
            pins = bounded.read_json(path, 1 << 20)
        except FileNotFoundError:
            pins = {}
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            pins = None
        except ValueError:
            pins = None
        if not isinstance(pins, dict) or not all(map(_is_digest, pins.values())):
            raise FetchFailed(
                f"{path}, the digests pinned at first downloads, is damaged. Delete it, and they "
                "are pinned anew."
            )
        before = dict(pins)
        yield pins
        if pins != before:
            _write_json(path, pins)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with written(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

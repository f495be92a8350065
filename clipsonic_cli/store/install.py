"""How published weights get here: fetched, verified, converted into a bundle, told in a receipt.

An asset that plays a part of a model is converted once, and its own files are then deleted; a warm
start stays as it was published. Digests of files whose publishers state none are pinned in
``weights/pins.json`` at the first download. Knows: the order of these. Does not know: the adapters
(``clipsonic_cli/published.py``).
"""

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from clipsonic_cli.store import assets
from clipsonic_cli.store.bundle import Bundle, write
from clipsonic_cli.store.fetch import Fetched, fetch
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
    """Fetches an asset, verifies it, and converts it into a bundle.

    Args:
        asset: What to get; nothing is done when it is here.
        convert: Makes a bundle of its files by name; None keeps the files as they are.
        report: Called as ``report(file name, bytes done, bytes in all)``.
        download: Fetches one file.

    Raises:
        FetchFailed: A file could not be got.
        BadBundle: A file is not what its publisher describes; it is deleted.
    """
    place = assets.folder(asset)
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / f"{asset.name}.lock"):
        if assets.state(asset) == "here":
            return
        fetched = {file.name: _fetch_pinned(file, place, report, download) for file in asset.files}
        sources = {name: one.path for name, one in fetched.items()}
        kept = sources
        if convert is not None:
            kept = {f"{asset.part}.safetensors": place / f"{asset.part}.safetensors"}
            bundle = convert(sources)
            for path in kept.values():
                write(path, bundle)
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


def _fetch_pinned(
    file: RemoteFile,
    place: Path,
    report: Callable[[str, int, int], None],
    download: Callable[..., Fetched],
) -> Fetched:
    """Fetches a file by the digest its row or the pins give; pins it where there was none."""
    expected = file.sha256
    with _pins() as pins:
        if expected is None or len(expected) < 64:
            expected = pins.get(file.urls[0], expected)
    fetched = download(
        file.urls,
        place / file.name,
        size=file.bytes,
        sha256=expected,
        report=lambda done, total: report(file.name, done, total),
    )
    with _pins() as pins:
        pins[file.urls[0]] = fetched.sha256
    return fetched


@contextlib.contextmanager
def _pins() -> Iterator[dict[str, str]]:
    """Gives the pins, by a file's first URL, and writes them when they were changed."""
    path = data_home() / "weights" / "pins.json"
    with FileLock(path.with_suffix(".lock")):
        try:
            pins = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pins = {}
        before = dict(pins)
        yield pins
        if pins != before:
            _write_json(path, pins)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)

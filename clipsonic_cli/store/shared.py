"""Install models that people share: from a web address, the Hugging Face hub or a local file.

A shared model is a zip archive, a hub repository or a folder of parts (``unet.safetensors`` and so
on, ``store/bundle.py``), or a single part. It is fetched and checked in a temporary folder and then
appears as a whole under its name.
"""

import errno
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from clipsonic_cli.errors import BadBundle, FetchFailed, UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import assets, bundle, model_folders
from clipsonic_cli.store.compatibility import GIVING, check_fits
from clipsonic_cli.store.fetch import (
    FileReport,
    acquired,
    check_space,
    disk_error,
    fetch,
    fetch_json,
)
from clipsonic_cli.store.home import data_home, expanded, find_folder
from clipsonic_cli.store.manifest import ASSETS, HUB
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder, find, names
from clipsonic_cli.store.web import check_url

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARTS = re.compile(
    r"(unet|student|prior|bridge|vocoder|statistics|clip|clap)(-[a-z-]{1,32})?\.safetensors"
)
DOCUMENTS = re.compile(r"(MODEL_CARD|README|LICEN[CS]E[A-Z-]{0,32})(\.md|\.txt)?")
STEMS = {"clip-image": "unet", "clip-text": "unet-clip-text", "clap-text": "unet-clap-text"}
"""Name of a U-Net's file by the embedding space it was trained on."""
BLOAT = 20
"""Unpacked over packed size of an archive, at most; weights hardly compress at all."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, EOFError, RuntimeError, ValueError, struct.error),
)
"""Errors of zipfile and its codecs for an archive that is damaged or that they cannot read."""
MEMBERS = 10_000
"""Entries of an archive at most."""
MAX_DICTIONARY = 256 << 20
"""Bytes of memory for a member compressed by LZMA at most."""
LOCAL_NAMES = 26
"""Bytes of a member's local header before the lengths of its name and its extra field."""
LZMA_SIZE = 5
"""Bytes of LZMA data before the size of its dictionary: APPNOTE 6.3.10, 5.8.8."""


def is_source(text: str) -> bool:
    """Return whether a text is a source of a shared model, not the name of published weights."""
    local = expanded(text)
    return "://" in text or text.startswith("hf:") or local.suffix != "" or local.is_dir()


def install(source: str, *, name: str | None, report: FileReport) -> ModelFolder:
    """Fetch or copy a shared model, check it, and put it among the models.

    Args:
        source: ``https://...`` to a zip archive or a part, ``hf:owner/name``, or a local archive,
            part or folder.
        name: Its name on this machine; None is its own.
        report: Called while files are fetched.

    Raises:
        UsageError: The source or the name is invalid, or the name is taken.
        FetchFailed: It could not be fetched or written.
        BadBundle: It has no parts, or parts that are damaged or do not fit each other.
    """
    # Check the name.
    if "://" in source:
        check_url(source)  # before any other code parses it
    name = name or default_name(source)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-', up to 64. "
            "Choose another with `name`."
        )
    if name in ASSETS:
        raise UsageError(f"'{name}' is the name of published weights. Choose another with `name`.")
    _check_free(name)
    # Fetch and check in a temporary folder.
    incoming, models = data_home() / "incoming", data_home() / "models"
    # Named by its source too, so that no source resumes the partial downloads of another.
    digest = hashlib.sha256(source.encode(errors="replace")).hexdigest()[:16]
    aside = incoming / f"{name}-{digest}"
    parts = aside / "parts"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        with acquired(FileLock(incoming / f"{name}.lock"), lambda *_: report(name, 0, 0)):
            _check_free(name)  # another process may have just installed it
            shutil.rmtree(parts, ignore_errors=True)
            parts.mkdir(parents=True)
            try:
                _gather(source, aside, parts, report)
                _check(source, parts)
                kept = {path.name: assets.describe(path) for path in sorted(parts.iterdir())}
                assets.write_json(parts / assets.RECEIPT, {"source": source, "kept": kept})
                models.mkdir(parents=True, exist_ok=True)
                parts.rename(models / name)
            except (FetchFailed, OSError):
                raise  # the next call resumes
            except Exception:  # the same bytes would fail the same way again
                shutil.rmtree(aside)
                raise
            finally:
                shutil.rmtree(parts, ignore_errors=True)
            shutil.rmtree(aside)
    except OSError as error:
        raise disk_error(models / name, error) from None
    return find(name)


def check_removable(name: str) -> ModelFolder:
    """Find a model that can be removed.

    Raises:
        UsageError: There is no such model, or it is part of the package or in no place of ours.
    """
    if name not in names() and not os.path.exists(name):  # noqa: PTH110 - of any length
        raise unknown("model", name, names())
    model = find(name)
    if model.path.parent == model_folders.BUNDLED:
        raise UsageError(f"Model '{name}' is part of clipsonic and cannot be removed.")
    if model.path.parent != find_folder("models"):
        raise UsageError(f"Model '{name}' is no installed one; delete its folder yourself.")
    return model


def remove(name: str) -> int:
    """Delete an installed model (see :func:`check_removable`); return the bytes freed."""
    model = check_removable(name)
    if model.path.is_symlink():  # its target is not ours to delete
        model.path.unlink()
        return 0
    freed = sum(path.stat().st_size for path in model.path.rglob("*") if path.is_file())
    shutil.rmtree(model.path)
    return freed


def _check_free(name: str) -> None:
    """Check that no model on this machine has the name."""
    if name in names():
        raise UsageError(
            f"There is a model '{name}' already. Choose another with `name`, or remove it first: "
            f"clipsonic models remove {name}"
        )


def default_name(source: str) -> str:
    """Return the name of a source's repository, archive or file."""
    path = source.removeprefix("hf:").partition("@")[0] if source.startswith("hf:") else source
    if "://" in source:
        path = urlsplit(source).path
    last = PurePosixPath(Path(path).as_posix()).name
    return last.removesuffix(".zip").removesuffix(SUFFIX)


def _gather(source: str, aside: Path, parts: Path, report: FileReport) -> None:
    """Put a shared model's files into ``parts``."""
    # Fetch.
    if source.startswith("hf:"):
        _gather_hub(source.removeprefix("hf:"), aside, parts, report)
        return
    if "://" in source:
        file = PurePosixPath(urlsplit(source).path).name
        if Path(file).suffix not in (".zip", SUFFIX):
            raise UsageError(f"'{source}' must be the address of a .zip or {SUFFIX} file.")
        local = aside / file
        fetch((source,), local, report=partial(report, file))
    else:
        local = expanded(source)
    # Copy or unpack.
    if local.is_dir():
        for path in sorted(local.iterdir()):
            if path.is_file() and _allowed(path.name):
                shutil.copyfile(path, parts / path.name)
    elif not local.is_file():
        raise UsageError(f"There is no file or folder '{source}'.")
    elif local.suffix == ".zip":
        _unpack(local, parts)
    elif local.suffix == SUFFIX:
        shutil.copyfile(local, parts / f"{stem_of(bundle.read_header(local))}{SUFFIX}")
    else:
        raise UsageError(f"'{source}' must be a .zip or {SUFFIX} file, or a folder.")


def _gather_hub(repository: str, aside: Path, parts: Path, report: FileReport) -> None:
    """Fetch the parts of a hub repository, each verified by the digest the hub states."""
    repository, _, revision = repository.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"'hf:{repository}' is no hub repository; give hf:owner/name.")
    revision = revision or "main"
    listing = fetch_json(f"{HUB}/api/models/{repository}/revision/{revision}?blobs=true")
    files = _listed(listing, repository)
    for name, size, sha256 in files:
        path = aside / name
        # A file of an interrupted call may be of an older revision.
        if path.exists() and (sha256 is None or assets.describe(path)["sha256"] != sha256):
            path.unlink()
        fetch(
            (f"{HUB}/{repository}/resolve/{revision}/{name}",),
            path,
            size=size,
            sha256=sha256,
            report=partial(report, name),
        )
    for name, _, _ in files:  # after all have come, so that an interrupted call keeps them
        (aside / name).rename(parts / name)


def _listed(listing: Any, repository: str) -> list[tuple[str, int | None, str | None]]:
    """Return name, length and SHA-256 of a model's files from the hub's listing of a repository."""
    try:
        files = [
            (file["rfilename"], file.get("size"), (file.get("lfs") or {}).get("sha256"))
            for file in listing["siblings"]
        ]
        allowed = [file for file in files if _allowed(file[0])]
        if all(sha256 is None or re.fullmatch("[0-9a-f]{64}", sha256) for *_, sha256 in allowed):
            return allowed
    except (AttributeError, LookupError, TypeError):
        pass
    raise FetchFailed(f"The hub's listing of '{repository}' is not usable. Try again later.")


def _unpack(archive: Path, parts: Path) -> None:
    """Extract the files of a model from a zip archive, and nothing else.

    Raises:
        BadBundle: It is damaged, or too large unpacked.
        FetchFailed: The disk has no space for it.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            entries = dict(_entries(archive, files))
            needed = sum(entry.file_size for entry in entries.values())
            packed_size = archive.stat().st_size
            if needed > BLOAT * packed_size:
                raise BadBundle(
                    f"'{archive.name}' of {packed_size:,} bytes would unpack to {needed:,}, over "
                    f"{BLOAT} times as many, so these are no weights."
                )
            check_space(f"'{archive.name}' unpacked", needed, parts)
            for name, entry in sorted(entries.items()):
                _check_dictionary(archive, entry)
                with files.open(entry) as packed, (parts / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
                    if file.tell() != entry.file_size:
                        raise BadBundle(f"'{archive.name}' is damaged: {name} ends early.")
    except (*DAMAGED, OSError) as error:
        # note: bz2's errors have no number, and EINVAL is an offset before the file's start.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise BadBundle(f"'{archive.name}' is no zip archive, or damaged ({error}).") from None


def _entries(archive: Path, files: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the entries of a model's files by name: regular ones at the top or in one folder."""
    entries = files.infolist()
    if len(entries) > MEMBERS:
        raise BadBundle(
            f"'{archive.name}' has {len(entries):,} entries, at most {MEMBERS:,} are allowed."
        )
    seen = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        link = stat.S_ISLNK(entry.external_attr >> 16)
        if entry.is_dir() or link or len(path.parts) > 2 or not _allowed(path.name):
            continue
        if path.name in seen:
            raise BadBundle(f"'{archive.name}' has more than one file {path.name}.")
        seen.add(path.name)
        yield path.name, entry


def _check_dictionary(archive: Path, entry: zipfile.ZipInfo) -> None:
    """Check the memory that LZMA would allocate at once for a member; raise ValueError."""
    if entry.compress_type != zipfile.ZIP_LZMA:
        return
    with archive.open("rb") as file:
        file.seek(entry.header_offset + LOCAL_NAMES)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra + LZMA_SIZE, 1)
        (size,) = struct.unpack("<I", file.read(4))
    if size > MAX_DICTIONARY:
        raise ValueError(f"{entry.filename} needs {size:,} bytes of memory to be unpacked")


def _check(source: str, parts: Path) -> None:
    """Check that a model's parts are what their names say, and fit each other."""
    headers = {path.stem: bundle.read_header(path) for path in sorted(parts.glob(f"*{SUFFIX}"))}
    if not headers:
        raise BadBundle(
            f"'{source}' has no part of a model (unet{SUFFIX}, vocoder{SUFFIX} and so on)."
        )
    for stem, header in headers.items():
        if stem.partition("-")[0] != header.kind:
            raise BadBundle(f"'{source}' has a file {stem}{SUFFIX} that holds a {header.kind}.")
    giving = [header for header in headers.values() if isinstance(header.config, GIVING)]
    for header in headers.values():
        if header.kind in ("unet", "student"):
            reads_clip = header.space != "clap-text"
            check_fits(
                unet=header,
                vocoder=headers.get("vocoder"),
                clip=headers.get("clip") if reads_clip else None,
                sources=giving if header.space == "clip-image" else (),
            )


def stem_of(header: bundle.Header) -> str:
    """Return the name of a part's file in a model's folder, without suffix."""
    return STEMS[header.space] if header.kind == "unet" and header.space else header.kind


def _allowed(name: str) -> bool:
    """Return whether a file belongs to a model; no name that leaves its folder does."""
    return bool(PARTS.fullmatch(name) or DOCUMENTS.fullmatch(name))

"""Models that people share: from a web address, the Hugging Face hub or a file, under a name here.

A shared model is a folder's worth of parts (``unet.safetensors`` and so on, ``store/bundle.py``),
as a zip archive, a hub repository or a folder; or one part alone. It is fetched and checked aside
and then appears whole.

Knows: what may be in a shared model. Does not know: the command line.
"""

import errno
import hashlib
import json
import lzma
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from clipsonic_cli.errors import BadBundle, FetchFailed, UsageError
from clipsonic_cli.store import assets, bundle
from clipsonic_cli.store.compatibility import check_fits
from clipsonic_cli.store.fetch import Fetched, acquired, disk_error, fetch, fetch_json
from clipsonic_cli.store.home import data_home, expanded, find_folder
from clipsonic_cli.store.manifest import ASSETS, HUB
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder, find, names
from clipsonic_cli.store.web import check_url

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARTS = re.compile(r"(unet|prior|vocoder|clip|clap)(-[a-z-]{1,32})?\.safetensors")
PAPERS = re.compile(r"(MODEL_CARD|README|LICEN[CS]E[A-Z-]{0,32})(\.md|\.txt)?")
STEMS = {
    "clip-image": "unet",
    "clip-text": "unet-clip-text",
    "clap-text": "unet-clap-text",
}
"""What a U-Net's file is called, by the space it was trained on."""
BLOAT = 20
"""How many times its own size an archive may unpack to; weights hardly pack at all."""

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, EOFError, RuntimeError, ValueError, struct.error),
)
"""What zipfile and the codecs within it raise for a damaged archive, or one they cannot read."""
MEMBERS = 10_000
"""Entries of an archive at most."""
MAX_DICTIONARY = 256 << 20
"""Bytes of memory for a member packed by LZMA at most."""
LOCAL_NAMES = 26
"""Bytes of a member's own header before the lengths of its name and its extra field."""
LZMA_SIZE = 5
"""Bytes of what is packed by LZMA before the size of its dictionary: APPNOTE 6.3.10, 5.8.8."""

Report = Callable[[str, int, int], None]


def is_source(text: str) -> bool:
    """Report where a shared model comes from, from the name of weights in the manifest."""
    local = expanded(text)
    return "://" in text or text.startswith("hf:") or local.suffix != "" or local.is_dir()


def install(
    source: str, *, name: str | None, report: Report, download: Callable[..., Fetched] = fetch
) -> ModelFolder:
    """Fetch or copies a shared model, checks it, and puts it among the models.

    Args:
        source: ``https://...`` to a zip archive or a part, ``hf:owner/name``, or a local archive,
            part or folder.
        name: What to call it; None is its own name.
        report: Called as ``report(file name, bytes done, bytes in all)``.
        download: Fetches one file.

    Returns:
        The model.

    Raises:
        UsageError: The source or the name is none, or the name is taken.
        FetchFailed: It could not be got or written.
        BadBundle: It holds no parts, or parts that are damaged or do not fit each other.
    """
    if "://" in source:
        check_url(source)  # before any other code parses it
    name = name or default_name(source)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-', up to 64. "
            "Choose another `name`."
        )
    if name in ASSETS:
        raise UsageError(f"'{name}' is the name of published weights. Choose another `name`.")
    _check_free(name)
    incoming = data_home() / "incoming"
    # By its source too, so that what one source left unfinished is never taken for another's.
    aside = incoming / f"{name}-{hashlib.sha256(source.encode(errors='replace')).hexdigest()[:16]}"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        with acquired(FileLock(incoming / f"{name}.lock"), lambda *_: report(name, 0, 0)):
            _check_free(name)  # another process may have just installed it
            aside.mkdir(exist_ok=True)
            parts = aside / "parts"
            shutil.rmtree(parts, ignore_errors=True)
            parts.mkdir()
            try:
                _gather(source, aside, parts, report, download)
                _check(source, parts)
                _write_receipt(source, parts)
                shelf = data_home() / "models"
                shelf.mkdir(parents=True, exist_ok=True)
                parts.rename(shelf / name)
            except FetchFailed:
                raise  # what came is gone on with
            except OSError:
                raise  # the disk is full, say: what came is kept
            except Exception:  # whatever it is, the same bytes would fail the same way again
                shutil.rmtree(aside)
                raise
            finally:
                shutil.rmtree(parts, ignore_errors=True)
            shutil.rmtree(aside)
    except OSError as error:
        raise disk_error(data_home() / "models" / name, error) from None
    return find(name)


def remove(name: str) -> int:
    """Delete a model of the person's own.

    Returns:
        Bytes freed.

    Raises:
        UsageError: There is no such model, or it is part of the package.
    """
    model = find(name)
    if model.path.parent != find_folder("models"):
        raise UsageError(f"Model '{name}' is part of clipsonic and is not removed.")
    if model.path.is_symlink():  # what it points to is not ours to delete
        model.path.unlink()
        return 0
    freed = sum(path.stat().st_size for path in model.path.rglob("*") if path.is_file())
    shutil.rmtree(model.path)
    return freed


def _check_free(name: str) -> None:
    """Refuses the name of a model that is here.

    Raises:
        UsageError: So it is.
    """
    if name in names():
        raise UsageError(
            f"There is a model '{name}' already. Choose another `name`, or take it away "
            f"first: clipsonic download --remove {name}"
        )


def _write_receipt(source: str, parts: Path) -> None:
    """Write down whence a model came and its digests, for ``--verify``."""
    kept = {path.name: assets.describe(path) for path in sorted(parts.iterdir())}
    text = json.dumps({"source": source, "kept": kept}, indent=1)
    (parts / assets.RECEIPT).write_text(text + "\n", encoding="utf-8")


def default_name(source: str) -> str:
    """Return the name a shared model has by itself: its repository's, archive's or file's."""
    path = source.removeprefix("hf:").partition("@")[0] if source.startswith("hf:") else source
    if "://" in source:
        path = urlsplit(source).path
    last = PurePosixPath(Path(path).as_posix()).name
    return last.removesuffix(".zip").removesuffix(SUFFIX)


def _gather(
    source: str, aside: Path, parts: Path, report: Report, download: Callable[..., Fetched]
) -> None:
    """Put a shared model's files into ``parts``."""
    if source.startswith("hf:"):
        _gather_hub(source.removeprefix("hf:"), aside, parts, report, download)
        return
    if "://" in source:
        file = PurePosixPath(urlsplit(source).path).name
        if Path(file).suffix not in (".zip", SUFFIX):
            raise UsageError(f"'{source}' names no .zip or {SUFFIX} file; a model is one of these.")
        fetched = download(
            (source,), aside / file, report=lambda done, total: report(file, done, total)
        )
        local = fetched.path
    else:
        local = expanded(source)
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
        raise UsageError(
            f"'{source}' is no .zip, {SUFFIX} file or folder; a model is one of these."
        )


def _gather_hub(
    repository: str, aside: Path, parts: Path, report: Report, download: Callable[..., Fetched]
) -> None:
    """Fetch the parts of a hub repository, each verified by the digest the hub states."""
    repository, _, revision = repository.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"'hf:{repository}' is no hub repository; give hf:owner/name.")
    revision = revision or "main"
    told = fetch_json(f"{HUB}/api/models/{repository}/revision/{revision}?blobs=true")
    fetched = []
    for name, size, sha256 in _listed(told, repository):
        path = aside / name
        # What an interrupted call left may be of an older revision.
        if path.exists() and (sha256 is None or assets.describe(path)["sha256"] != sha256):
            path.unlink()
        fetched.append(
            download(
                (f"{HUB}/{repository}/resolve/{revision}/{name}",),
                path,
                size=size,
                sha256=sha256,
                report=lambda done, total, name=name: report(name, done, total),
            )
        )
    for file in fetched:  # not before all are there, so that an interrupted call keeps them
        file.path.rename(parts / file.path.name)


def _listed(told: Any, repository: str) -> list[tuple[str, int | None, str | None]]:
    """Return name, length and SHA-256 of a model's files from what the hub says of a repository.

    Raises:
        FetchFailed: It says it in another way than it should.
    """
    try:
        files = [
            (file["rfilename"], file.get("size"), (file.get("lfs") or {}).get("sha256"))
            for file in told["siblings"]
        ]
        allowed = [file for file in files if _allowed(file[0])]
        if all(sha256 is None or re.fullmatch("[0-9a-f]{64}", sha256) for *_, sha256 in allowed):
            return allowed
    except (AttributeError, LookupError, TypeError):
        pass
    raise FetchFailed(f"The hub does not say what is in '{repository}'. Try again later.")


def _unpack(archive: Path, parts: Path) -> None:
    """Take what a model consists of out of a zip archive, and nothing else.

    Raises:
        BadBundle: It is damaged, or would be larger than the room there is.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            if len(files.infolist()) > MEMBERS:
                raise BadBundle(
                    f"'{archive.name}' has {len(files.infolist()):,} entries, allowed are "
                    f"{MEMBERS:,}."
                )
            wanted: dict[str, zipfile.ZipInfo] = {}
            for entry in files.infolist():
                path = PurePosixPath(entry.filename)
                if (
                    entry.is_dir()
                    or len(path.parts) > 2  # it is not at the top, nor in one folder
                    or not _allowed(path.name)
                    or stat.S_ISLNK(entry.external_attr >> 16)
                ):
                    continue
                if path.name in wanted:
                    raise BadBundle(f"'{archive.name}' has more than one file {path.name}.")
                wanted[path.name] = entry
            needed = sum(entry.file_size for entry in wanted.values())
            packed_size, free = archive.stat().st_size, shutil.disk_usage(parts).free
            if needed > BLOAT * packed_size:
                raise BadBundle(
                    f"'{archive.name}' of {packed_size:,} bytes would unpack to {needed:,}, over "
                    f"{BLOAT} times as many: these are no weights."
                )
            if needed > free:
                raise BadBundle(
                    f"'{archive.name}' needs {needed / 1e6:.0f} MB unpacked, {free / 1e6:.0f} MB "
                    "are free. Free some space."
                )
            for name, entry in sorted(wanted.items()):
                _check_dictionary(archive, entry)
                with files.open(entry) as packed, (parts / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
                    if file.tell() != entry.file_size:
                        raise BadBundle(f"'{archive.name}' is damaged: {name} ends early.")
    except (*DAMAGED, OSError) as error:
        # Of the system; bz2's own have no number, and EINVAL is a place before the file begins.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise BadBundle(f"'{archive.name}' is no zip archive, or damaged ({error}).") from None


def _check_dictionary(archive: Path, entry: zipfile.ZipInfo) -> None:
    """Check the memory that a member says its unpacking takes, which LZMA allocates at once.

    Raises:
        ValueError: It is more than :data:`MAX_DICTIONARY`.
    """
    if entry.compress_type != zipfile.ZIP_LZMA:
        return
    with archive.open("rb") as file:
        file.seek(entry.header_offset + LOCAL_NAMES)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra + LZMA_SIZE, 1)
        (size,) = struct.unpack("<I", file.read(4))
    if size > MAX_DICTIONARY:
        raise ValueError(f"{entry.filename} wants {size:,} bytes to be unpacked")


def _check(source: str, parts: Path) -> None:
    """Refuses a model whose parts are not what their names say, or do not fit each other.

    Raises:
        BadBundle: So it is.
    """
    headers = {path.stem: bundle.read_header(path) for path in sorted(parts.glob(f"*{SUFFIX}"))}
    if not headers:
        raise BadBundle(
            f"'{source}' holds no part of a model (unet{SUFFIX}, vocoder{SUFFIX} and so on)."
        )
    for stem, header in headers.items():
        if stem.partition("-")[0] != header.kind:
            raise BadBundle(f"'{source}' has a file {stem}{SUFFIX} that holds a {header.kind}.")
    for header in headers.values():
        if header.kind == "unet":
            # CLAP's vectors are no concern of a CLIP or of a prior.
            reads_clip = header.space != "clap-text"
            check_fits(
                unet=header,
                vocoder=headers.get("vocoder"),
                clip=headers.get("clip") if reads_clip else None,
                prior=headers.get("prior") if header.space == "clip-image" else None,
            )


def stem_of(header: bundle.Header) -> str:
    """Return what a part's file is called in a model's folder."""
    return STEMS[header.space] if header.kind == "unet" and header.space else header.kind


def _allowed(name: str) -> bool:
    """Report the files of a model; a name that leaves its folder is none."""
    return bool(PARTS.fullmatch(name) or PAPERS.fullmatch(name))

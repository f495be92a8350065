"""Models that people share: from a web address, the Hugging Face hub or a file, under a name here.

A shared model is a folder's worth of parts (``unet.safetensors`` and so on, ``store/bundle.py``),
as a zip archive, a hub repository or a folder; or one part alone. It is fetched and checked aside
and then appears whole.

Knows: what may be in a shared model. Does not know: the command line.
"""

import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock

from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.store import bundle
from clipsonic_cli.store.fetch import Fetched, fetch, fetch_json
from clipsonic_cli.store.home import data_home
from clipsonic_cli.store.manifest import HUB
from clipsonic_cli.store.models import SUFFIX, ModelFolder, find, names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARTS = re.compile(r"(unet|prior|vocoder|clip|clap)(-[a-z-]+)?\.safetensors")
PAPERS = re.compile(r"(MODEL_CARD|README|LICEN[CS]E[A-Z-]*)(\.md|\.txt)?")
STEMS = {
    "clip-image": "unet",
    "clip-text": "unet-clip-text",
    "clap-text": "unet-clap-text",
}
"""What a U-Net's file is called, by the space it was trained on."""

Report = Callable[[str, int, int], None]


def is_source(text: str) -> bool:
    """Tells where a shared model comes from, from the name of weights in the manifest."""
    local = Path(text).expanduser()
    return "://" in text or text.startswith("hf:") or local.suffix != "" or local.is_dir()


def install(
    source: str, *, name: str | None, report: Report, download: Callable[..., Fetched] = fetch
) -> ModelFolder:
    """Fetches or copies a shared model, checks it, and puts it among the models.

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
        FetchFailed: It could not be got.
        BadBundle: It holds no parts, or parts that are damaged or do not fit each other.
    """
    name = name or default_name(source)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-', up to 64. "
            "Choose one with --as."
        )
    if name in names():
        raise UsageError(
            f"There is a model '{name}' already. Choose another name with --as, or take it away "
            f"first: clipsonic download --remove {name}"
        )
    aside = data_home() / "incoming" / name
    aside.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(aside.with_name(f"{name}.lock")):
        aside.mkdir(exist_ok=True)
        parts = aside / "parts"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        _gather(source, aside, parts, report, download)
        _check(source, parts)
        shelf = data_home() / "models"
        shelf.mkdir(parents=True, exist_ok=True)
        parts.rename(shelf / name)
        shutil.rmtree(aside)
    return find(name)


def remove(name: str) -> int:
    """Deletes a model of the person's own.

    Returns:
        Bytes freed.

    Raises:
        UsageError: There is no such model, or it is part of the package.
    """
    model = find(name)
    if model.path.parent != (data_home() / "models").absolute():
        raise UsageError(f"Model '{name}' is part of clipsonic and is not removed.")
    freed = sum(path.stat().st_size for path in model.path.rglob("*") if path.is_file())
    shutil.rmtree(model.path)
    return freed


def default_name(source: str) -> str:
    """Gives the name a shared model has by itself: its repository's, archive's or file's."""
    path = source.removeprefix("hf:").partition("@")[0] if source.startswith("hf:") else source
    if "://" in source:
        path = urlsplit(source).path
    last = PurePosixPath(Path(path).as_posix()).name
    return last.removesuffix(".zip").removesuffix(SUFFIX)


def _gather(
    source: str, aside: Path, parts: Path, report: Report, download: Callable[..., Fetched]
) -> None:
    """Puts a shared model's files into ``parts``."""
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
        local = Path(source).expanduser()
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
    """Fetches the parts of a hub repository, each verified by the digest the hub states."""
    repository, _, revision = repository.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"'hf:{repository}' is no hub repository; give hf:owner/name.")
    revision = revision or "main"
    told = fetch_json(f"{HUB}/api/models/{repository}/revision/{revision}?blobs=true")
    for file in told.get("siblings", []):
        name = str(file.get("rfilename"))
        if _allowed(name):
            fetched = download(
                (f"{HUB}/{repository}/resolve/{revision}/{name}",),
                aside / name,
                size=file.get("size"),
                sha256=(file.get("lfs") or {}).get("sha256"),
                report=lambda done, total, name=name: report(name, done, total),
            )
            fetched.path.rename(parts / name)


def _unpack(archive: Path, parts: Path) -> None:
    """Takes what a model consists of out of a zip archive, and nothing else.

    Raises:
        BadBundle: It is damaged, or would be larger than the room there is.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            wanted = {
                PurePosixPath(entry.filename).name: entry
                for entry in files.infolist()
                if not entry.is_dir()
                and len(PurePosixPath(entry.filename).parts) <= 2  # at the top, or in one folder
                and _allowed(PurePosixPath(entry.filename).name)
                and not stat.S_ISLNK(entry.external_attr >> 16)
            }
            needed, free = (
                sum(entry.file_size for entry in wanted.values()),
                shutil.disk_usage(parts).free,
            )
            if needed > free:
                raise BadBundle(
                    f"'{archive.name}' needs {needed / 1e6:.0f} MB unpacked, {free / 1e6:.0f} MB "
                    "are free. Free some space."
                )
            for name, entry in wanted.items():
                with files.open(entry) as packed, (parts / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise BadBundle(f"'{archive.name}' is no zip archive, or damaged ({error}).") from None


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
            bundle.check_fits(
                unet=header,
                vocoder=headers.get("vocoder"),
                clip=headers.get("clip") if reads_clip else None,
                prior=headers.get("prior") if header.space == "clip-image" else None,
            )


def stem_of(header: bundle.Header) -> str:
    """Gives what a part's file is called in a model's folder."""
    return STEMS[header.space] if header.kind == "unet" and header.space else header.kind


def _allowed(name: str) -> bool:
    """Tells the files of a model; a name that leaves its folder is none."""
    return bool(PARTS.fullmatch(name) or PAPERS.fullmatch(name))

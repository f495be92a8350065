"""Read WebDataset shards: tar files in which adjacent members of one name are a clip.

``KEY.mp4`` is the video, or ``KEY.jpg`` and ``KEY.wav`` image and audio; ``KEY.txt`` holds the
label, ``KEY.json`` any of ``label``, ``split``, ``start`` and ``seconds``. Shards are a folder's
``*.tar``, one file, or a pattern like ``https://example.org/clips-{000..031}.tar``, local or not.
Members are read from within the tar file, on the web by ranges, so it must not be compressed.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from clipsonic_cli.data.clip_list import clip_details
from clipsonic_cli.data.clips import Reader, check_exists, is_address
from clipsonic_cli.data.files import AUDIO, IMAGES, VIDEOS, name_of
from clipsonic_cli.data.list_row import ListRow
from clipsonic_cli.data.source import open_shard
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip, Member


def detect(source: str) -> bool:
    """Return whether it is an address, pattern or file that ends in .tar, or a folder of such."""
    if is_address(source) or not Path(source).is_dir():
        return source.endswith(".tar")
    return bool(_in_folder(Path(source)))


def read(source: str) -> Iterator[Clip]:
    """Yield the clips shard by shard; for a damaged shard one clip with that problem comes last."""
    for shard, name in _shards(source):
        yield from _in_shard(shard, name)


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern stands for: ``{000..031}`` counts, ``{a,b}`` lists."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        return [pattern]
    if match[3] is not None:
        middles = match[3].split(",")
    else:
        first, last = int(match[1]), int(match[2])
        if last - first >= 1_000_000:
            raise UsageError(f"'{pattern}' stands for more than 1,000,000 shards.")
        middles = [f"{number:0{len(match[1])}d}" for number in range(first, last + 1)]
    tails = expand(pattern[match.end() :])
    return [pattern[: match.start()] + middle + tail for middle in middles for tail in tails]


def _shards(source: str) -> list[tuple[str, str]]:
    """Return the shards, each with the prefix of its clips' ids."""
    root = Path(source)
    if not is_address(source) and root.is_dir():
        return [(str(path), name_of(path, root)) for path in _in_folder(root)]
    shards = expand(source)
    for shard in shards:
        if not shard.endswith(".tar"):
            raise UsageError(f"'{shard}' is no uncompressed tar file (.tar).")
        check_exists(shard)
    return [(shard, PurePosixPath(shard).name) for shard in shards]


def _in_folder(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.tar")), *sorted(root.glob("*/*.tar"))]


def _in_shard(shard: str, name: str) -> Iterator[Clip]:
    key: str | None = None
    files: dict[str, Member] = {}
    texts: dict[str, bytes] = {}
    problem = failure = None
    try:
        with open_shard(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                vars(tar)["members"] = []  # or every header stays in memory
                if info.isdir():
                    continue
                own, suffix = _split(info.name)
                if own != key:
                    if key is not None:
                        yield _clip(f"{name}/{key}", files, texts, problem)
                    key, files, texts, problem = own, {}, {}, None
                problem = problem or _unsafe(info)
                if suffix in (".txt", ".json") and info.size <= 1 << 20 and info.isreg():
                    content = tar.extractfile(info)
                    texts[suffix] = content.read() if content else b""
                else:
                    files[suffix] = Member(
                        shard=shard, name=info.name, offset=info.offset_data, size=info.size
                    )
    except (tarfile.TarError, OSError) as error:
        failure = f"the shard is listed up to here: {' '.join(str(error).split())}"
    if key is not None:
        yield _clip(f"{name}/{key}", files, texts, problem)
    if failure is not None:
        yield Clip(id=name, media=Path(shard), problem=failure)


def _clip(
    name: str, files: dict[str, Member], texts: dict[str, bytes], problem: str | None
) -> Clip:
    videos, images, audio = (
        [files[suffix] for suffix in sorted(files) if suffix in kind]
        for kind in (VIDEOS, IMAGES, AUDIO)
    )
    details: dict[str, Any] = {}
    try:
        details = _details(texts)
    except (ValueError, RecursionError) as error:
        problem = problem or f"its text or JSON: {error}"
    if not videos and not (images and audio):
        problem = problem or "neither a video nor an image with an audio file"
    media = [*videos, *images, *audio, *files.values()]
    if not media:
        return Clip(id=name, media=Path(name), problem=problem)
    start = details.get("start")
    return Clip(
        id=f"{name}@{start:g}" if start else name,
        media=media[0],
        sound=audio[0] if audio else None,
        problem=problem,
        **details,
    )


def _details(texts: dict[str, bytes]) -> dict[str, Any]:
    described = json.loads(texts.get(".json", b"{}"))
    if not isinstance(described, dict):
        raise ValueError("no JSON object")
    details = clip_details(ListRow(line=1, cells={k: v for k, v in described.items() if v != ""}))
    if details["label"] is None and ".txt" in texts:
        details["label"] = texts[".txt"].decode().strip() or None
    return details


def _split(name: str) -> tuple[str, str]:
    """Return the key, which ends at the first dot of the file's name, and the last suffix."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", "." + extension.rpartition(".")[2].lower()


def _unsafe(info: tarfile.TarInfo) -> str | None:
    """Return why a member cannot be used, or None."""
    path = PurePosixPath(info.name)
    if path.is_absolute() or ".." in path.parts or "\\" in info.name:
        return "its name leads out of the shard"
    if not info.isreg() or info.issparse():
        return "a link or device in the shard, no file"
    return None


READER = Reader(detect=detect, read=read)

"""Readers of models: parts, shared archives, listings, receipts and cached vectors."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import urllib3
from reader import Reader, encoded

from clipsonic_cli.cli.info.model import describe
from clipsonic_cli.cli.models.describe import describe_model
from clipsonic_cli.config import MelSpec
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.encoders.prior import PriorEncoder, load_prior
from clipsonic_cli.encoders.tokenizers import TOKENIZER
from clipsonic_cli.errors import BadBundle, ClipsonicError, UsageError
from clipsonic_cli.parts import Parts
from clipsonic_cli.store import assets, bundle, install, shared, web
from clipsonic_cli.store.home import data_home
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.store.partial import Partial

CODECS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
DIGEST = "0" * 64
LISTING = {
    "id": "somebody/model",
    "siblings": [
        {"rfilename": "unet.safetensors", "size": 10, "lfs": {"sha256": DIGEST, "size": 10}},
        {"rfilename": "README.md", "size": 3},
    ],
}
RECEIPT = {"asset": "clap", "kept": {"clap.safetensors": {"bytes": 3, "sha256": DIGEST}}}
PART = {"url": "https://a/b", "validator": '"1"', "etag": '"1"', "total": 3, "stated": DIGEST}
READ: dict[str, Callable[[Parts], object]] = {
    "unet": lambda parts: parts.denoiser("unet"),
    "vocoder": lambda parts: (parts.default_vocoder(), parts.vocoder("bigvgan", MelSpec())),
    "clip": lambda parts: _clip(parts),
    "prior": lambda parts: _prior(parts),
}


def rows(models: Path) -> Iterator[Reader]:
    for part, read in READ.items():
        content = (models / f"{part}.safetensors").read_bytes()
        yield Reader(
            name=f"the header of a {part}",
            file=f"{part}.safetensors",
            text=_described(content),
            build=lambda text, content=content: _with_header(content, text),
            read=lambda path, read=read: _part(path, read),
        )
    clip = models / "clip.safetensors"
    yield Reader(
        name="a tokenizer",
        file="clip.safetensors",
        text=bytes(bundle.load(clip, kind="clip").weights[TOKENIZER].tolist()).decode(),
        build=lambda text: _with_tokenizer(clip.read_bytes(), encoded(text)),
        read=lambda path: _part(path, _clip),
    )
    for name, codec in CODECS.items():
        yield Reader(
            name=f"a shared model ({name})",
            file="model.zip",
            content=_archive(models / "vocoder.safetensors", codec),
            read=_install,
            errors=(BadBundle, UsageError),  # no FetchFailed: it is not the disk's fault
        )
    yield Reader(
        name="a listing of the hub",
        file="answer",
        text=json.dumps(LISTING),
        read=_listing,
        errors=(ClipsonicError, web.Unavailable),
    )
    yield Reader(
        name="a receipt", file=assets.RECEIPT, text=json.dumps(RECEIPT), read=_receipt, errors=()
    )
    yield Reader(name="pins", file="pins.json", text=json.dumps({"https://a": DIGEST}), read=_pins)
    yield Reader(
        name="the side file of a download",
        file="x.part.json",
        text=json.dumps(PART),
        read=lambda path: Partial(path.with_name("x"), lambda done, total: None),
        errors=(),
    )
    vector = io.BytesIO()
    np.save(vector, np.ones(32, np.float32))
    yield Reader(
        name="a cached vector", file="key.npy", content=vector.getvalue(), read=_vector, errors=()
    )


def _part(path: Path, read: Callable[[Parts], object]) -> None:
    describe_model(ModelFolder(path.parent))
    with suppress(ClipsonicError):
        describe(ModelFolder(path.parent))
    read(Parts(ModelFolder(path.parent), torch.device("cpu"), torch.float32))


def _clip(parts: Parts) -> None:
    clip = load_clip(bundle.load(parts.folder.part("clip"), kind="clip"))
    clip.embed_text(["rain 1"])


def _prior(parts: Parts) -> None:
    part = bundle.load(parts.folder.part("prior"), kind="prior")
    load_prior(part, "prior")


def _described(content: bytes) -> str:
    (length,) = struct.unpack("<Q", content[:8])
    text: str = json.loads(content[8 : 8 + length])["__metadata__"][bundle.KEY]
    return text


def _with_header(content: bytes, text: str) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"][bundle.KEY] = text
    return _joined(header, content[8 + length :])


def _with_tokenizer(content: bytes, tokenizer: bytes) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    header[TOKENIZER]["shape"] = [len(tokenizer)]
    header[TOKENIZER]["data_offsets"] = [len(data), len(data) + len(tokenizer)]
    # safetensors wants no gaps: what was the tokenizer becomes a weight that nobody asks for.
    old = json.loads(content[8 : 8 + length])[TOKENIZER]
    header.pop(TOKENIZER)
    start, stop = old["data_offsets"]
    cut = data[:start] + data[stop:]
    for entry in header.values():
        if "data_offsets" in entry and entry["data_offsets"][0] >= stop:
            entry["data_offsets"] = [at - (stop - start) for at in entry["data_offsets"]]
    end = len(cut)
    header[TOKENIZER] = {
        "dtype": "U8",
        "shape": [len(tokenizer)],
        "data_offsets": [end, end + len(tokenizer)],
    }
    return _joined(header, cut + tokenizer)


def _joined(header: dict[str, object], data: bytes) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def _archive(part: Path, codec: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", codec) as archive:
        for name, content in (
            ("model/vocoder.safetensors", part.read_bytes()),
            ("model/LICENSE.md", b"CC0\n" * 30),
        ):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, codec)
    return made.getvalue()


def _install(path: Path) -> None:
    name = f"fuzz-{path.parent.name}"
    if (data_home() / "models" / name).is_dir():
        shared.remove(name)
    shared.install(str(path), name=name, report=lambda name, done, total: None)
    shared.remove(name)


def _listing(path: Path) -> None:
    answer = urllib3.HTTPResponse(io.BytesIO(path.read_bytes()), preload_content=False)
    loaded = web.read_json(SimpleNamespace(raw=answer), "https://example.org/api")  # type: ignore[arg-type]
    shared._listed(loaded, "somebody/model")


def _receipt(path: Path) -> None:
    receipt = assets.read_receipt(path.parent)
    if receipt is not None:
        assets.changed(path.parent, receipt)


def _pins(path: Path) -> None:
    place = data_home() / "weights"
    place.mkdir(parents=True, exist_ok=True)
    install._pins_path().write_bytes(path.read_bytes())
    try:
        with install._pins():
            pass
    finally:
        install._pins_path().unlink()


def _vector(path: Path) -> None:
    encoder = SimpleNamespace(_memory={}, cache=path.parent, clip=SimpleNamespace(dim=32))
    PriorEncoder._recall(encoder, "key")  # type: ignore[arg-type]

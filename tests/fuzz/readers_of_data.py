"""Readers of what people bring: lists, archives of clips, pictures and sounds."""

import contextlib
import dataclasses
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import soundfile
import torch
from PIL import Image
from reader import Reader

from clipsonic_cli.audio import files, level
from clipsonic_cli.cli.generate.requests import read_requests
from clipsonic_cli.config import Recipe
from clipsonic_cli.data import clip_list, listing, music, vggsound, webdataset
from clipsonic_cli.data.sound_files import read_sound_file
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.prompts import read_prompts
from clipsonic_cli.images import read_image, square
from clipsonic_cli.sound import read_recipe

PROMPTS = [
    {"text": "rain", "seed": 3, "seconds": 2.5, "negative": "wind", "note": "x"},
    {"text": "a cello", "steps": 10, "guidance": 2.0, "mode": "sd", "sampler": "ddim"},
]
CLIPS = [
    {"media": "a.mp4", "label": "rain", "split": "train", "start": 0.5, "seconds": 2.0},
    {"media": "b.mp4", "sound": "b.wav", "label": "wind", "split": "test"},
]
ANSWERS = [{"file": "a.wav", "prompt": "rain"}, {"file": "b.wav", "prompt": "wind"}]
LISTS = {
    "prompts for generate": (PROMPTS, lambda path: read_requests([], [], path, None)),
    "a list of clips": (CLIPS, lambda path: (_all(clip_list.read(str(path))), _unused(path))),
    "prompts for eval": (ANSWERS, read_prompts),
}
MUSIC = {"videos": {"cello": ["abc", "def"], "acoustic_guitar": ["ghi"]}}
VGGSOUND = "abc,30,playing cello,train\ndef,0,rain,test\n"
PICTURES = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP"}


def rows() -> Iterator[Reader]:
    for name, (content, read) in LISTS.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in content)
        texts = {"csv": _csv(content), "jsonl": lines, "json": json.dumps(content)}
        for suffix, text in texts.items():
            yield Reader(name=f"{name} ({suffix})", file=f"x.{suffix}", text=text, read=read)
    yield Reader(
        name="prompts for generate (txt)",
        file="x.txt",
        text="rain\nwind\n",
        read=LISTS["prompts for generate"][1],
    )
    yield Reader(
        name="MUSIC's list",
        file="x.json",
        text=json.dumps(MUSIC),
        read=_music,
        errors=(UsageError,),
    )
    yield Reader(name="VGGSound's list", file="x.csv", text=VGGSOUND, read=_vggsound)
    for form, number in {
        "ustar": tarfile.USTAR_FORMAT,
        "pax": tarfile.PAX_FORMAT,
        "gnu": 1,
    }.items():
        yield Reader(
            name=f"clips in a tar ({form})", file="x.tar", content=_tar(number), read=_clips
        )
    for suffix in ("wav", "flac", "ogg"):
        yield Reader(
            name=f"a recipe in a {suffix}",
            file=f"x.{suffix}",
            text=json.dumps(
                {
                    "clipsonic": "0",
                    "recipe": _recipe(),
                    "finish": {"trim": True, "rate": 8000, "normalize": -23.0},
                    level.GAIN: 0.5,
                }
            ),
            build=lambda text, suffix=suffix: _sound(text, suffix),
            read=_read_recipe,
        )
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "m4a", "mp4"):
        yield Reader(
            name=f"a sound ({suffix})",
            file=f"x.{suffix}",
            content=_foreign(suffix),
            read=lambda path: (read_sound_file(path), level.read_gain(path)),
        )
    for suffix, form in PICTURES.items():
        yield Reader(
            name=f"a picture ({suffix})",
            file=f"x.{suffix}",
            content=_picture(form),
            read=lambda path: square(read_image(path), 224),
        )


def _all(clips: Iterable[object]) -> None:
    for clip in clips:
        repr(clip)


def _unused(path: Path) -> None:
    clip_list.unused_columns(str(path))


def _csv(rows_: list[dict[str, object]]) -> str:
    names = list(dict.fromkeys(name for row in rows_ for name in row))
    lines = [names, *([row.get(name, "") for name in names] for row in rows_)]
    return "".join(",".join(map(str, line)) + "\n" for line in lines)


def _music(path: Path) -> None:
    if music.detect(str(path)):
        _all(music.read(str(path)))


def _vggsound(path: Path) -> None:
    if vggsound.detect(str(path)):
        _all(vggsound.read(str(path)))


def _tar(form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, content in (
            ("a.mp4", b"video"),
            ("a.json", b'{"label": "rain", "split": "train", "start": 0.5}'),
            (f"{'deep/' * 18}\u00e9.mp4", b"video"),
            (f"{'deep/' * 18}\u00e9.txt", b"wind"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _clips(path: Path) -> None:
    _all(webdataset.read(str(path)))
    listing._clips_in(path)


def _recipe() -> dict[str, object]:
    return dataclasses.asdict(Recipe(text="rain", negative="wind", seed=3))


def _sound(text: str, suffix: str) -> bytes:
    """Return a sound with a comment, as whoever writes hostile ones can: of any bytes."""
    plain = text.encode(errors="replace").replace(b"\0", b"?").decode()[: files.MAX_COMMENT // 4]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{suffix}")
        files.write(path, torch.zeros(4000), 16_000, metadata={"comment": plain})
        return path.read_bytes()


def _read_recipe(path: Path) -> None:
    level.read_description(path)
    with contextlib.suppress(UsageError):
        level.read_gain(path)
    read_recipe(path)


def _foreign(suffix: str) -> bytes:
    made = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, (8000, 2)).astype(np.float32)
    if suffix not in ("m4a", "mp4"):
        soundfile.write(made, samples, 16_000, format=suffix.upper())
        return made.getvalue()
    with av.open(made, "w", format="mp4") as container:
        container.metadata["comment"] = "{}"
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, :, 0].copy(), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return made.getvalue()


def _picture(form: str) -> bytes:
    made = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a violin"
    image = Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3))
    if form == "GIF":
        image.quantize().save(made, form)
    else:
        image.save(made, form, **({} if form == "BMP" else {"exif": exif}))
    return made.getvalue()

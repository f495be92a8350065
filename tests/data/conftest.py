"""Data sets of every format, with real media in them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from make_media import put, write_media, write_tar
from PIL import Image

Maker = Callable[[Path], Path]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half seconds of tone and moving images."""
    path = tmp_path_factory.mktemp("media") / "video.mp4"
    return write_media(path, seconds=2.5)


@pytest.fixture
def make(video: Path, image: bytes) -> dict[str, Maker]:
    """By the name of a reader, what lays out a small data set of that format in a folder."""
    content = video.read_bytes()
    sound = write_media(video.with_suffix(".wav"), video=None, audio="pcm_s16le").read_bytes()

    def folder(root: Path) -> Path:
        for name in ("dog/a.mp4", "dog/b.mp4", "acoustic_guitar/c.mp4", "d.mp4"):
            put(root / name, content)
        return root

    def pairs(root: Path) -> Path:
        for name in ("dog/a", "dog/b", "c"):
            put(root / f"{name}.png", image)
            put(root / f"{name}.wav", sound)
        return root

    def manifest(root: Path) -> Path:
        rows = "media,label,split,start\na.mp4,dog,train,0\na.mp4,dog,train,1.5\nb.mp4,cat,test,\n"
        put(root / "manifest.csv", rows.encode())
        put(root / "a.mp4", content)
        put(root / "b.mp4", content)
        return root

    def vggsound(root: Path) -> Path:
        rows = '---g-f_I2yQ,1,"people, crowd",test\n-0_abcdefgh,30,dog barking,train\n'
        put(root / "vggsound.csv", rows.encode())
        put(root / "---g-f_I2yQ_000001.mp4", content)
        put(root / "videos/-0_abcdefgh_30.mkv", content)
        return root

    def music(root: Path) -> Path:
        videos = {"acoustic_guitar": ["a-_1", "b"], "tuba": ["c"]}
        put(root / "MUSIC_solo_videos.json", json.dumps({"videos": videos}).encode())
        for name in ("a-_1", "b", "c"):
            put(root / f"{name}.mp4", content)
        return root

    def shards(root: Path) -> Path:
        files = {"a.mp4": content, "a.txt": b"dog\n", "b.png": image, "b.wav": sound}
        write_tar(root / "000.tar", files)
        write_tar(root / "001.tar", {"a.mp4": content, "a.json": b'{"label": "cat"}'})
        return root

    makers = [folder, pairs, manifest, vggsound, music, shards]
    return {maker.__name__: maker for maker in makers}


@pytest.fixture(scope="session")
def image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 100, 50)).save(buffer, "PNG")
    return buffer.getvalue()

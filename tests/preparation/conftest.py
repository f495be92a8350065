"""A few clips, a tiny CLIP, and what preparing them with it gives."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from make_media import tone, write_media
from pairs import Shades, gathered, write_pair

from clipsonic_cli.data.check import Rules
from clipsonic_cli.encoders.clip import ClipModel as ClipEncoder
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.preparation.catalogue import Catalogue
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.prepare import prepare
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Clip

Prepare = Callable[..., Catalogue]


@pytest.fixture(scope="session")
def encoder(micro: Path) -> ClipEncoder:
    clip = load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))
    return ClipEncoder(Shades(clip.network), clip.config, clip.tokenize, "shades")


@pytest.fixture(scope="session")
def config(encoder: ClipEncoder) -> PreparationConfig:
    return PreparationConfig(encoder=encoder.identity, waves=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Two videos, and a still image with its audio."""
    root = tmp_path_factory.mktemp("clips")
    for name, seconds, hz in (("a", 3.0, 440.0), ("b", 2.5, 990.0)):
        write_media(root / f"{name}.mp4", seconds=seconds, samples=tone(seconds, 16_000, hz))
    image, sound = write_pair(root / "c", 4.0, 220.0)
    return [
        Clip(id="a", media=root / "a.mp4", label="dog", split="train"),
        Clip(id="b", media=root / "b.mp4", label="cat", split="train"),
        Clip(id="c", media=image, sound=sound, label="dog", split="valid"),
    ]


@pytest.fixture(scope="session")
def prepared(encoder: ClipEncoder, config: PreparationConfig) -> Prepare:
    """Prepare clips in a folder, and return those that are kept."""

    def prepare_in(
        folder: Path, clips: Sequence[Clip], config: PreparationConfig = config, **settings: object
    ) -> Catalogue:
        settings = {"clip_encoder": encoder, "rules": Rules(), "workers": 0} | settings
        prepare(clips, folder, config, **settings)
        return gathered(folder, clips, config, settings["rules"])

    return prepare_in


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory, prepared: Prepare, clips: list[Clip]) -> Catalogue:
    """The clips, prepared; not to be changed."""
    return prepared(tmp_path_factory.mktemp("prepared"), clips)


@pytest.fixture(scope="session")
def content() -> Callable[[Catalogue], dict[str, object]]:
    """Return all that a catalogue holds of each clip, wherever it is stored."""
    from clipsonic_cli.preparation.dataset import Prepared

    def read(catalogue: Catalogue) -> dict[str, object]:
        clips = Prepared(catalogue, range(len(catalogue)))
        held = {}
        for number, clip_id in enumerate(catalogue.ids):
            place = clips.place(number)
            parts = [clips.mel(place, 0, place.mel_frames), clips.frames(place, 0, place.frames)]
            parts += [clips.wave(place, 0, place.samples)] if place.samples else []
            described = (catalogue.labels[number], catalogue.splits[number], place.frame_rate)
            held[clip_id] = (*described, *(np.asarray(part).tobytes() for part in parts))
        return held

    return read


@pytest.fixture
def served() -> Callable[[Path], object]:
    """Serve a folder by ranges alone, as object stores do."""

    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                whole = (folder / self.path.lstrip("/")).read_bytes()
                first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()
                part = whole[int(first) : int(last) + 1]
                self.send_response(206 if part else 416)
                end = int(first) + len(part) - 1
                self.send_header("Content-Range", f"bytes {first}-{end}/{len(whole)}")
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                self.wfile.write(part)

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            thread = threading.Thread(target=http.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{http.server_port}"
            http.shutdown()
            thread.join()

    return serve

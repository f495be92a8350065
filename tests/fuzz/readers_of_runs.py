"""Readers of what a training, a preparation and an evaluation wrote."""

import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from reader import Reader, encoded
from safetensors.numpy import save

from clipsonic_cli import folder_lock
from clipsonic_cli.config import DiffusionConfig, UNetConfig
from clipsonic_cli.listening.ratings import FORMAT, KEY_FORMAT, mean_opinion_scores, read_ratings
from clipsonic_cli.metrics.frechet import (
    Gaussian,
    Statistics,
    read_statistics,
    write_statistics,
)
from clipsonic_cli.preparation import catalogue, feature_shards
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.store.model_folders import RUN_FILE
from clipsonic_cli.trainer import checkpoint, tracking
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training import card, run_config

SETTINGS = run_config.RunConfig(
    name="music",
    data="./music",
    catalogue="/somewhere/catalogue-0.jsonl",
    stage="unet",
    space="clip-image",
    warm_start=None,
    network=UNetConfig(),
    diffusion=DiffusionConfig(prediction="v"),
    train=TrainConfig(betas=(0.8, 0.99)),
    extensions=run_config.Extensions(window=128, min_snr=5.0),
    prompts=("a photo of cello",),
    images=("frame.png",),
)
DATA = {"clips": 4, "hours": 0.5, "labels": {"rain": 4}, "licence": "CC0", "left_out": []}
LOG = "".join(f"{json.dumps({'step': n, 'loss': 0.5, 'seconds': 1.5})}\n" for n in range(4))
KEY = {
    "format": KEY_FORMAT,
    "test": "one",
    "systems": ["a", "b"],
    "samples": {"1": {"system": "a", "prompt": "rain"}, "2": {"system": "b", "prompt": "rain"}},
}
ANSWERS = {
    "format": FORMAT,
    "test": "one",
    "rater": "Ann",
    "answers": {n: {"fidelity": 3, "relevance": 4} for n in "12"},
}
OWNER = {"work": "train", "pid": 1, "host": "here", "since": "2026-01-01"}


def rows() -> Iterator[Reader]:
    yield Reader(
        name="a run's settings",
        file=RUN_FILE,
        text=json.dumps(run_config.to_dict(SETTINGS)),
        read=lambda path: run_config.read_run_config(path.parent),
    )
    yield Reader(
        name="a run's data",
        file=card.SUMMARY,
        text=json.dumps(DATA),
        read=lambda path: card.read_summary(path.parent),
    )
    yield Reader(
        name="a run's log",
        file="metrics.jsonl",
        text=LOG,
        read=lambda path: tracking.MetricsLog(path.parent, 2),
    )
    yield Reader(
        name="a run's state",
        file="state-00000001.pt",
        content=_state(),
        read=lambda path: _check_state(checkpoint.load_newest(path.parent)),
    )
    yield Reader(
        name="an owner's note",
        file=folder_lock.OWNER,
        text=json.dumps(OWNER),
        read=_owner,
        errors=(),
    )
    yield Reader(
        name="a key of ratings",
        file="key.json",
        text=json.dumps(KEY),
        read=lambda path: _ratings(path, "rated.json", ANSWERS, path),
    )
    yield Reader(
        name="ratings",
        file="rated.json",
        text=json.dumps(ANSWERS),
        read=lambda path: _ratings(path, "key.json", KEY, path.with_name("key.json")),
    )
    yield Reader(
        name="statistics",
        file="s.npz",
        content=_statistics(),
        read=lambda path: read_statistics(path, backbone="vggish"),
    )
    yield Reader(name="a catalogue", file="x", text=_catalogue(), read=_read_catalogue)
    yield Reader(
        name="a shard of prepared clips",
        file="x.safetensors",
        text=_clips(),
        build=_shard,
        read=_read_shard,
    )


def _state() -> bytes:
    made = io.BytesIO()
    state = {"step": 1, "losses": {"unet": 0.5}, "ema": {"w": torch.ones(4, 4)}, "seconds": 1.0}
    torch.save(state, made)
    return made.getvalue()


def _check_state(state: object) -> None:
    assert isinstance(state, dict)


def _owner(path: Path) -> None:
    found = folder_lock._owner(path.parent)
    folder_lock._is_alive(found)
    folder_lock._refusal(path.parent, found, "train")


def _ratings(path: Path, other: str, content: object, key: Path) -> None:
    path.with_name(other).write_text(json.dumps(content), encoding="utf-8")
    mean_opinion_scores(read_ratings([path.with_name("rated.json")], key))


def _statistics() -> bytes:
    kept = Statistics(
        gaussian=Gaussian(
            n=8,
            mean=torch.zeros(4, dtype=torch.float64),
            cov=torch.eye(4, dtype=torch.float64),
        ),
        sounds=4,
        cluster_size=2.0,
        icc=0.5,
        sample_rate=16_000,
        seconds=4.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.npz")
        write_statistics(path, kept, backbone="vggish", identity="0")
        return path.read_bytes()


def _catalogue() -> str:
    place = catalogue.ClipLocation(
        shard=0, mel=0, mel_frames=64, frame=0, frames=2, wave=0, samples=0, frame_rate=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        made = catalogue.Catalogue(PreparationConfig(), folder, ["clips-0.safetensors"])
        for name in ("a", "b"):
            made.add(name, "rain", "train", place)
        return made.write().read_text(encoding="utf-8")


def _read_catalogue(path: Path) -> None:
    content = path.read_bytes()
    named = f"{catalogue.NAME}{catalogue._digest(content)}{catalogue.SUFFIX}"
    path.rename(path.with_name(named))
    found = catalogue.read_catalogue(str(path.with_name(named)))
    for number in found.numbers("train", "valid", "test"):
        found.place(number)


def _clips() -> str:
    row = feature_shards.ClipTensors(
        id="a", key="0a", digest="00", seconds=1.0, mel=3, frames=2, wave=5
    )
    described = {"format": feature_shards.FORMAT, "clips": [dataclasses.asdict(row)]}
    return json.dumps(described)


def _shard(text: str) -> bytes:
    arrays = {
        "mel": np.ones((3, 8), np.float16),
        "frames": np.ones((2, 4), np.float16),
        "wave": np.ones(5, np.int16),
    }
    made: bytes = save(
        arrays, metadata={feature_shards.KEY: encoded(text).decode(errors="replace")}
    )
    return made


def _read_shard(path: Path) -> None:
    index = feature_shards.read_index(str(path))
    for name, extent in index.extents.items():
        feature_shards.read_rows(index, name, 0, extent.shape[0])

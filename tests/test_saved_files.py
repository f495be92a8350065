"""Files that 0.1.0 saved are still read: audio files with recipes, bundles, and a run folder.

``saved_by_0_1/`` was written by commit 68e349c with the networks of the ``micro`` model. Its paths
are relative; its run lacks the CLIP, which ``micro`` supplies.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from clipsonic_cli.cli import run
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle

SAVED = Path(__file__).parent / "saved_by_0_1"
RECIPE = Recipe(
    text="a dog",
    mode="pd",
    model="model",
    model_id="87aafc41e5ec1da6",
    vocoder="griffin-lim",
    guidance=1.5,
    sampler="dpmpp",
    steps=2,
    seconds=0.3,
    seed=3,
    device="cpu",
    dtype="float32",
)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_recipes_in_audio_files_are_read(suffix):
    assert read_recipe(SAVED / f"dog.{suffix}") == RECIPE


def test_a_bundle_is_read():
    loaded = bundle.load(SAVED / "vocoder.safetensors", kind="vocoder")
    assert loaded.header.mel == MelSpec()
    assert loaded.header.config.channels == 16
    assert all(weight.dtype == torch.float32 for weight in loaded.weights.values())


def test_a_run_is_resumed_and_published(micro, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(SAVED / "run", folder)
    for part in ("clip", "unet", "prior", "vocoder"):
        shutil.copy(micro / f"{part}.safetensors", folder / "model")
    saved = json.loads((folder / "run.json").read_text("utf-8"))
    saved["catalogue"] = str(folder / saved["catalogue"])
    (folder / "run.json").write_text(json.dumps(saved), "utf-8")
    assert run(["train", "--resume", str(folder), "--steps", "3"]) == 0, capfd.readouterr().err
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1]["step"] == 3
    assert bundle.load(folder / "model" / "prior-sd.safetensors", kind="prior").weights

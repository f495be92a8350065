"""Timesteps are chosen by pictures of different labels, and stored with the U-Net."""

import json
import shutil
import sys

import pytest
import step_grids
from PIL import Image

from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED
from clipsonic_cli.store.step_grids import step_grid
from clipsonic_cli.training import step_grids as training


def test_held_out_pictures_are_of_different_labels():
    rows = [
        {"label": label, "path": f"{label}{n}", "split": split}
        for label in "abcd"
        for n, split in enumerate(["train", "test", "test"])
    ]
    assert step_grids.one_a_label(rows, 2) == ["a1", "c1"]
    assert step_grids.one_a_label(rows, 9)[:1] == ["a1"]


def test_the_unets_file_has_timesteps_and_its_weights(micro, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LEVELS", 8)
    monkeypatch.setattr(training, "MOST_STEPS", 4)
    shutil.copytree(micro, tmp_path / "model")
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (32, 32), "red").save(data / "a.png")
    row = {"label": "dog", "split": "test", "path": "a.png"}
    (data / "pictures.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["step_grids.py", "--out", str(tmp_path)])
    before = bundle.load(micro / "unet.safetensors", kind="unet")
    step_grids.main()
    after = bundle.load(tmp_path / "model" / "unet.safetensors", kind="unet")
    assert len(step_grid(after.header, "dpmpp", 4) or []) == 4
    assert all(after.weights[name].equal(before.weights[name]) for name in before.weights)


@pytest.mark.parametrize("sampler", ["dpmpp", "unipc"])
def test_minis_unet_has_timesteps_of_the_default_steps(sampler):
    header = bundle.read_header(BUNDLED / "mini" / "unet.safetensors")
    assert step_grid(header, sampler, 8) is not None

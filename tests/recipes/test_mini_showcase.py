"""Sounds to hear lie next to recordings, with their sources."""

import json
import sys

import pytest
import showcase
import soundfile
import torch
from PIL import Image

from clipsonic_cli.sound import read_recipe


@pytest.fixture
def out(tmp_path):
    """Return a recipe's folder with two clips of a label, of which the second is held out."""
    data = tmp_path / "data"
    data.mkdir()
    tone = torch.sin(torch.arange(16_000) * 0.2).numpy() * 0.5
    soundfile.write(data / "a.wav", tone, 16_000)
    licence = {"package": "p", "licence": "CC0"}
    lines = [
        {"label": "dog", "split": split, "path": path, **licence}
        for split, path in (("train", "gone.wav"), ("test", "a.wav"), ("test", "gone.wav"))
    ]
    (data / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_sound_lies_next_to_a_recording_that_is_credited(out, monkeypatch):
    arguments = ["--out", str(out), "--results", str(out), "--labels", "dog", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", ["showcase.py", *arguments])
    showcase.main()
    made = out / "sounds" / "dog.ogg"
    recipe = read_recipe(made)
    assert (recipe.text, recipe.seed, recipe.steps) == ("a photo of dog", 0, 1)
    assert soundfile.info(out / "sounds" / "dog-recorded.ogg").duration == 1
    page = (out / "sounds" / "README.md").read_text()
    assert "| dog | [made](dog.ogg) | [recorded](dog-recorded.ogg) | p | CC0 |" in page
    with Image.open(out / "sounds.png") as image:
        assert image.width > 500

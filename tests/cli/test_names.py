"""File names as bytes: whatever a name holds, the work is done or one line comes before it."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from clipsonic_cli.cli import run

NAMES = [b"caf\xe9.png", b"a\nb.png", b"\xe2\x80\xaeabc.png", b"a\x1bb.png", b"x" * 251 + b".png"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")


@pytest.fixture(autouse=True)
def _small(monkeypatch, micro):
    """Make sounds with the small model of the tests."""
    monkeypatch.setenv("CLIPSONIC_MODEL", str(micro))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_any_name_makes_a_sound_that_repeats(tmp_path, capsys, name):
    picture = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    Image.new("RGB", (8, 8), "red").save(picture)
    first, again = str(tmp_path / "a.wav"), str(tmp_path / "b.wav")
    assert run(["generate", "-i", picture, "--steps", "1", "-s", "0.5", "-o", first]) == 0
    assert run(["generate", "--like", first, "-o", again]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_sound_goes_to_the_name_it_was_given_and_repeats(tmp_path, monkeypatch, suffix):
    folder = os.fsencode(tmp_path)
    first = folder + b"/caf\xe9" + suffix.encode()
    again = folder + b"/caf\xe9-again" + suffix.encode()
    arguments = ["generate", "dog", "--steps", "1", "-s", "0.5", "-o", os.fsdecode(first)]
    assert run(arguments) == 0
    monkeypatch.chdir(tmp_path)
    assert run(["generate", "--like", os.fsdecode(first)]) == 0
    assert np.array_equal(soundfile.read(first)[0], soundfile.read(again)[0])


def test_sounds_of_any_name_are_scored_and_reported(tmp_path):
    places = [tmp_path / "sounds", tmp_path / os.fsdecode(b"caf\xe9")]
    for place in places:
        place.mkdir()
        for number, name in enumerate((b"caf\xe9", b"a\nb", b"\xe2\x80\xaeabc", b"x" * 240)):
            tone = np.sin(np.arange(32_000) * 0.1 * (number + 1)) * 0.3
            soundfile.write(os.fsencode(place) + b"/" + name + b".wav", tone, 16_000)
    (places[0] / "notes.txt").write_text("x")
    out = tmp_path / "out"
    arguments = ["eval", "--generated", str(places[0]), str(places[1]), "-o", str(out)]
    assert run([*arguments, "--metrics", "fad", "clap", "--reference", str(places[1])]) == 0
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert len(report["samples"]) == 4
    assert report["files_left_out"] == {"sounds/notes.txt": "not a sound by its name"}
    for name in ("report.html", "report.csv"):
        assert (out / name).read_text("utf-8")
    assert run([*arguments[:3], "--listening-test", str(tmp_path / "listen")]) == 0


def test_a_model_in_a_folder_of_any_name_makes_sound(tmp_path, micro):
    model = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(micro, model)
    arguments = ["generate", "dog", "--model", str(model), "--steps", "1", "-s", "0.5"]
    assert run([*arguments, "-o", str(tmp_path / "a.wav")]) == 0

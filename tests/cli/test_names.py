"""File names as bytes: whatever a name holds, the work is done or one line comes before it."""

import os
import sys

import pytest
from PIL import Image

from clipsonic_cli.cli import run

NAMES = [b"caf\xe9.png", b"a\nb.png", b"\xe2\x80\xaeabc.png", b"a\x1bb.png", b"x" * 251 + b".png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_any_name_makes_a_sound_that_repeats(tmp_path, capsys, name):
    picture = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    Image.new("RGB", (8, 8), "red").save(picture)
    first, again = str(tmp_path / "a.wav"), str(tmp_path / "b.wav")
    assert run(["generate", "-i", picture, "--steps", "1", "-s", "0.5", "-o", first]) == 0
    assert run(["generate", "--like", first, "-o", again]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()

"""Frames come as players show them, in all eight orientations."""

import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from make_media import set_display_matrix
from PIL import Image

from clipsonic_cli.data.media import read_frames
from clipsonic_cli.data.orientation import TURNS, square_pixels, upright
from clipsonic_cli.types import Clip

EIGHT = list(TURNS)


def numbered(width: int = 3, height: int = 2) -> Image.Image:
    values = np.arange(width * height, dtype=np.uint8).reshape(height, width)
    return Image.fromarray(np.stack([values] * 3, axis=-1))


@pytest.mark.parametrize("matrix", EIGHT)
def test_every_pixel_goes_where_the_matrix_says(matrix):
    a, b, c, d = matrix
    image = numbered()
    shown = np.asarray(upright(image, matrix))[..., 0]
    places = {(a * p + c * q, b * p + d * q): 3 * q + p for p in range(3) for q in range(2)}
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    expected = np.zeros_like(shown)
    for (x, y), value in places.items():
        expected[y - top, x - left] = value
    np.testing.assert_array_equal(shown, expected)


def test_scale_and_a_matrix_of_zeros_change_nothing():
    image = numbered()
    assert upright(image, (5, 0, 0, 3)) is image
    assert upright(image, (0, 0, 0, 0)) is image
    assert upright(image, None) is image


def test_a_slanted_matrix_turns_to_the_nearest_orientation():
    slanted = upright(numbered(), (10, 65000, -65000, -10))
    np.testing.assert_array_equal(slanted, numbered().transpose(Image.Transpose.ROTATE_270))


def test_pixels_that_are_not_square_are_stretched():
    assert square_pixels(numbered(), 2).size == (6, 2)
    assert square_pixels(numbered(), 1000).size == (3, 2)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the program ffmpeg")
@pytest.mark.parametrize("matrix", EIGHT)
def test_a_video_is_turned_as_ffmpeg_turns_it(matrix, tmp_path):
    path = tmp_path / "a.mp4"
    quadrants(path)
    set_display_matrix(path, matrix)
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", tmp_path / "f.png"]
    subprocess.run(command, check=True)
    with Image.open(tmp_path / "f.png") as expected:
        [shown] = read_frames(Clip(id="a", media=path), [0.0])
        assert shown.size == expected.size
        difference = np.abs(np.asarray(shown, int) - np.asarray(expected.convert("RGB"), int))
    assert difference.mean() < 3


def quadrants(path) -> None:
    """Write a video whose four corners differ, 64 x 32."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[16:, :32] = 250, 150, 70
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())

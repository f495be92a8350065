import contextlib
import errno
import io
import os
import random
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipsonic_cli import images
from clipsonic_cli.errors import UsageError
from clipsonic_cli.images import check_image, random_square, read_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(size=(40, 20)):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_the_usual_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    halves().save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (40, 20))
    assert np.abs(np.array(image.getpixel((5, 10)), int) - RED).max() < 6


def test_an_image_taken_sideways_is_turned_upright(tmp_path):
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    halves().save(path, exif=exif, quality=100)
    image = read_image(path)
    assert image.size == (20, 40)
    assert image.getpixel((10, 5))[0] > 200  # what was left is on top
    assert image.getpixel((10, 35))[2] > 200


STORED = {  # how upright pixels are stored, by EXIF orientation: the inverse of how it is shown
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", STORED)
def test_all_eight_orientations_come_upright(orientation, suffix, tmp_path):
    upright = halves()
    upright.paste(WHITE, (0, 0, 20, 10))  # a corner, so that no two orientations look alike
    turn, exif = STORED[orientation], Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    lossless = (
        {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    )
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **lossless)
    read = read_image(tmp_path / f"a.{suffix}")
    assert read.size == upright.size
    assert np.abs(np.asarray(read, int) - np.asarray(upright, int)).mean() < 8


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_transparent_and_deep_images_are_turned_upright_too(tmp_path, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.array(halves().convert("L")).astype(np.uint16) * 257)
    (halves().convert("RGBA") if mode == "RGBA" else deep).save(tmp_path / "phone.png", exif=exif)
    with Image.open(tmp_path / "phone.png") as stored:
        assert stored.mode == mode
    image = read_image(tmp_path / "phone.png")
    assert image.size == (20, 40)
    assert image.getpixel((10, 5))[0] > image.getpixel((10, 35))[0]  # red is lighter than blue


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(tmp_path, mode):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = clear if mode == "RGBA" else clear.convert("LA")
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.info["transparency"] = 0
    image.save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").getpixel((4, 4)) == WHITE


def test_half_transparent_pixels_are_blended_with_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "half.png")
    assert read_image(tmp_path / "half.png").getpixel((4, 4)) == (255, 127, 127)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "moving.gif").getpixel((4, 4)) == RED


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").getpixel((4, 4)) == (127, 127, 127)


def test_the_brightest_sixteen_bits_are_white(tmp_path):
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(tmp_path / "bright.png")
    assert read_image(tmp_path / "bright.png").getpixel((4, 4)) == WHITE


def test_eight_bits_in_wider_integers_are_taken_as_they_are(tmp_path):
    dark = np.full((8, 8), 40, np.int32)
    dark[0, 0] = 80  # not to be stretched to white
    Image.fromarray(dark).save(tmp_path / "dark.tiff")
    image = read_image(tmp_path / "dark.tiff")
    assert image.getpixel((0, 0)) == (80, 80, 80)
    assert image.getpixel((4, 4)) == (40, 40, 40)


def test_sixteen_bits_are_scaled_in_ten_bytes_a_pixel(tmp_path):
    Image.fromarray(np.full((500, 500), 32768, np.uint16)).save(tmp_path / "deep.png")
    read_image(tmp_path / "deep.png")  # what is imported on the way is not counted
    tracemalloc.start()
    try:
        read_image(tmp_path / "deep.png")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 500 * 500


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.tiff")
    assert read_image(tmp_path / "print.tiff").getpixel((4, 4)) == RED


def test_a_phones_multi_image_file_is_read_as_the_jpeg_it_is(tmp_path):
    halves().save(tmp_path / "both.jpg", "MPO", save_all=True, append_images=[halves()])
    with Image.open(tmp_path / "both.jpg") as stored:
        assert stored.format == "MPO"
    assert read_image(tmp_path / "both.jpg").size == (40, 20)


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PPM", "ICNS"])
def test_formats_that_are_rare_or_run_programs_are_not_even_tried(tmp_path, kind):
    halves((32, 32)).save(tmp_path / "picture.png", kind)
    with pytest.raises(UsageError, match="no image this program reads") as caught:
        check_image(tmp_path / "picture.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "empty"),
        ("notes.txt", b"this is no picture", "no image this program reads"),
        ("cut.png", None, "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is None:
        noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        whole = io.BytesIO()
        Image.fromarray(noisy).save(whole, "PNG")
        content = whole.getvalue()[:3000]
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        check_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_image_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="There is no image"):
        check_image(tmp_path / "none.png")
    with pytest.raises(UsageError, match="not a file"):
        check_image(tmp_path)


def test_a_large_image_comes_reduced_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1000)
    monkeypatch.setattr(images, "ROUGH", 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # PIL would refuse it
    halves((400, 200)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_image(tmp_path / "large.png")
    assert min(image.size) in range(16, 32)
    assert image.width == 2 * image.height
    assert Image.MAX_IMAGE_PIXELS == 100  # given back


def test_a_large_jpeg_comes_reduced_upright(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1000)
    monkeypatch.setattr(images, "ROUGH", 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    halves((800, 400)).save(tmp_path / "large.jpg", exif=exif)
    image = read_image(tmp_path / "large.jpg")
    assert image.height == 2 * image.width
    assert image.width in range(16, 64)
    assert image.getpixel((image.width // 2, 2))[0] > 200


def test_over_the_limit_a_image_is_rejected_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    halves((400, 200)).save(tmp_path / "huge.png")
    with pytest.raises(UsageError, match="400 x 200 pixels, over the limit"):
        check_image(tmp_path / "huge.png")


WHOLE = {}
for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF"):
    buffer = io.BytesIO()
    halves().save(buffer, kind)
    WHOLE[kind] = buffer.getvalue()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_no_damage_to_a_file_gives_anything_but_a_image_or_a_usage_error(
    tmp_path_factory, kind, place, value, cut
):
    content = bytearray(WHOLE[kind])
    content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: place % len(content)] if cut else content)
    with contextlib.suppress(UsageError):
        assert read_image(path).mode == "RGB"


def test_checking_a_image_imports_no_torch(tmp_path):
    import subprocess

    halves().save(tmp_path / "picture.png")
    code = (
        "import sys; from pathlib import Path; from clipsonic_cli.images import *;"
        "check_image(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "picture.png")]
    assert subprocess.run(command, check=False).returncode == 0


def test_what_the_system_rejects_is_no_damage_of_the_image(tmp_path, monkeypatch):
    put = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(put)

    def refuse(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(UsageError, match=r"a\.png cannot be opened: too many open files"):
        read_image(put)


@pytest.mark.parametrize(("width", "height"), [(240, 80), (80, 240), (100, 100)])
def test_random_squares_are_squares_of_any_place_and_of_half_the_short_side_or_more(width, height):
    """Red is the column and green the row, so that a square shows where it was cut."""
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(width), np.arange(height)[:, None]
    image, chance, short = Image.fromarray(ramp), random.Random(0), min(width, height)
    starts = []
    for _ in range(300):
        cut = np.asarray(random_square(image, 20, chance), float)
        across, down = cut[10, :, 0], cut[:, 10, 1]
        sides = np.array([line[17] - line[2] for line in (across, down)]) * 20 / 15
        assert sides[0] == pytest.approx(sides[1], abs=3)
        assert short / 2 - 3 < sides[0] < short + 3
        starts.append([across[2], down[2]])
    low, high = np.min(starts, axis=0), np.max(starts, axis=0)
    assert (low < 12).all()
    assert (high > np.array([width, height]) - short / 2 - 12).all()


def test_a_random_square_of_one_pixel_is_that_pixel():
    image = random_square(Image.new("RGB", (1, 9), RED), 4, random.Random(0))
    assert image.getcolors() == [(16, RED)]

"""What a page holds instead of fetching it."""

import base64
import hashlib
import io

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from clipsonic_cli.audio.level import CEILING
from clipsonic_cli.errors import UsageError
from clipsonic_cli.report.html import drawing_uri, escaped, filled, photo_uri, sound_uri


def held(uri: str, kind: str) -> io.BytesIO:
    head, _, packed = uri.partition(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(packed, validate=True))


@pytest.fixture
def template(tmp_path):
    (tmp_path / "page.css").write_text("p { color: red }\n", "utf-8")
    path = tmp_path / "page.html"
    path.write_text("{{style-hash}}|{{style}}|{{words}}|{{words}}", "utf-8")
    return path


def test_a_page_allows_its_own_style_by_hash(template):
    allowed, style, *_ = filled(template, {"words": ""}).split("|")
    digest = hashlib.sha256(style.encode()).digest()
    assert style == "p { color: red }\n"
    assert base64.b64decode(allowed.removeprefix("sha256-")) == digest


def test_what_fills_a_blank_is_not_filled_again(template):
    assert filled(template, {"words": "{{style}}"}).endswith("|{{style}}|{{style}}")


@pytest.mark.parametrize("blank", ["script", "other"])
def test_a_blank_that_nothing_fills_is_an_error(template, blank):
    template.write_text(f"{{{{{blank}}}}}", "utf-8")
    with pytest.raises(KeyError, match=blank):
        filled(template, {"words": ""})


def test_texts_are_shown_as_they_are_and_half_characters_replaced():
    assert escaped('<a b="\ud800">&') == "&lt;a b=&quot;?&quot;&gt;&amp;"


def test_sounds_that_would_clip_are_quieter_and_others_untouched():
    steps = torch.arange(-8192, 8192, dtype=torch.float32) / 32768  # exact in 16 bits
    for gain, expected in ((2, steps * 2), (8, steps * CEILING / 0.25)):
        sound, rate = soundfile.read(held(sound_uri(steps * gain, 8000), "audio/flac"))
        assert rate == 8000
        np.testing.assert_allclose(sound, expected, atol=0 if gain == 2 else 2**-15)


def test_a_photo_shrinks_to_its_longer_side_and_tells_nothing_of_its_file(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "secret"
    Image.new("RGB", (300, 100), "orange").save(tmp_path / "photo.jpg", exif=exif)
    for pixels, size in ((150, (150, 50)), (900, (300, 100))):
        content = held(photo_uri(tmp_path / "photo.jpg", pixels), "image/jpeg")
        assert b"secret" not in content.getvalue()
        with Image.open(content) as image:
            assert image.size == size


def test_a_photo_that_cannot_be_read_is_rejected(tmp_path):
    with pytest.raises(UsageError, match="There is no image"):
        photo_uri(tmp_path / "absent.png", 100)


def test_a_drawing_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    with Image.open(held(drawing_uri(Image.fromarray(pixels)), "image/png")) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)

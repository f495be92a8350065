import numpy as np
import pytest
import torch

from clipsonic_cli.audio.mel_image import (
    AROUND,
    BELOW,
    COLOURS,
    LEFT,
    MAX_TITLE,
    MAX_WIDTH,
    PIXELS,
    TITLE,
    draw_mel,
)
from clipsonic_cli.config import MelSpec
from clipsonic_cli.types import Waveform

SPEC = MelSpec()


def heights(image):
    """Return sums of an image's colours, (F, T), lowest band first, without margins."""
    inner = np.asarray(image, dtype=int)[AROUND:-BELOW, LEFT:-AROUND].sum(-1)
    return inner[PIXELS // 2 :: PIXELS, PIXELS // 2 :: PIXELS][::-1]


@pytest.mark.parametrize(("hz", "band"), [(1000, 21), (4000, 49)])
def test_an_image_has_time_to_the_right_and_pitch_upwards(hz, band):
    time = torch.arange(16_000) / 16_000
    tone = 0.5 * torch.sin(2 * torch.pi * hz * time) * (time > 0.5)
    seen = heights(draw_mel(Waveform(samples=tone, sample_rate=16_000), SPEC))
    assert seen.shape == (64, 32)
    assert abs(int(seen[:, 24].argmax()) - band) <= 1
    assert (seen[:, :8] == sum(COLOURS[0])).all()


def test_an_image_shows_even_the_shortest_sound():
    click = Waveform(samples=torch.ones(16), sample_rate=16_000)
    assert heights(draw_mel(click, SPEC)).max() > sum(COLOURS[0])


def test_colours_grow_lighter_in_even_steps():
    linear = [
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(rgb, 255)]
        for rgb in COLOURS
    ]
    luminance = np.array(linear) @ [0.2126, 0.7152, 0.0722]
    cube = np.where(luminance > 0.008856, np.cbrt(luminance), 7.787 * luminance + 16 / 116)
    lightness = 116 * cube - 16  # CIELAB's L*
    assert np.allclose(np.diff(lightness), 94 / 8, atol=0.5)


@pytest.mark.parametrize(
    ("title", "widened"), [("rain", False), ("日本 \U0001f600", False), ("x" * 4000, True)]
)
def test_a_title_stands_above_the_same_image(title, widened):
    sound = Waveform(samples=torch.ones(16_000), sample_rate=16_000)
    plain, titled = (np.asarray(draw_mel(sound, SPEC, title=text)) for text in ("", title))
    assert (titled[TITLE:, : plain.shape[1]] == plain).all()
    assert (titled[:TITLE] < 128).any()  # black on white
    assert (titled.shape[1] > plain.shape[1]) == widened
    assert titled.shape[1] <= MAX_TITLE + 2 * AROUND


def test_a_long_sound_is_drawn_as_wide_as_a_viewer_takes():
    tone = 0.5 * torch.sin(torch.arange(16_000 * 90) / 16_000 * 2 * torch.pi * 1000)
    tone[: 16_000 * 45] = 0
    image = draw_mel(Waveform(samples=tone, sample_rate=16_000), SPEC)
    assert image.width == LEFT + MAX_WIDTH + AROUND
    row = np.asarray(image, dtype=int)[AROUND + (64 - 22) * PIXELS, LEFT:-AROUND].sum(-1)
    assert (row[: MAX_WIDTH // 2 - 8] == sum(COLOURS[0])).all()
    assert (row[MAX_WIDTH // 2 + 8 :] > 2 * sum(COLOURS[0])).all()

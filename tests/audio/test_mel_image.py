import numpy as np
import pytest
import torch

from clipsonic_cli.audio.mel_image import AROUND, BELOW, COLOURS, LEFT, PIXELS, draw_mel
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

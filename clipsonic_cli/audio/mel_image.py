"""Draw a mel as an image."""

import math

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw

from clipsonic_cli.audio.mel import LogMel, hz_to_mel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.types import Waveform

COLOURS = (
    (2, 9, 34),
    (14, 32, 91),
    (93, 24, 141),
    (164, 31, 117),
    (222, 50, 78),
    (241, 110, 56),
    (246, 163, 47),
    (245, 211, 68),
    (254, 248, 205),
)
"""sRGB from soft to loud, in even steps of lightness (CIELAB L* 3 to 97)."""
NEPER = math.log(10) / 20  # a decibel of magnitude, in natural logarithm
PIXELS = 4
"""Width and height of one value of a mel."""
DECIBELS = 80
"""Range of the colours; softer values are as dark as silence."""
HZ_TICKS = {500: "500 Hz", 1000: "1 kHz", 2000: "2 kHz", 4000: "4 kHz"}
LEFT, BELOW, AROUND = 48, 18, 10
"""Margins in pixels: for Hz, for seconds, and on the other sides."""
MIN_TICK_PIXELS = 50
MAX_WIDTH = 8192
"""Most pixels of a mel; sounds of over 65 s are drawn narrower."""
TITLE, MAX_TITLE = 18, 500
"""Height of a title, and its width at most, in pixels."""


def draw_mel(waveform: Waveform, spec: MelSpec, *, title: str = "") -> Image.Image:
    """Draw a waveform's log-mel: time to the right, pitch upwards, colour for level.

    Colours mean the same in every image: the lightest is ``log_max``, the darkest 80 dB below. The
    waveform has the sample rate of ``spec``; its last frame is padded with silence.

    Returns:
        An RGB image, four pixels per value, with ticks for seconds and Hz, below a title if any,
        which is cut where it is too long.
    """
    count = waveform.samples.shape[-1]
    whole = max(-(-count // spec.hop_length) * spec.hop_length, spec.n_fft)
    samples = F.pad(waveform.samples.cpu(), (0, whole - count))
    mel = LogMel(spec)(samples[None])[0, 0].flip(0).numpy()  # (F, T), highest band first
    marks = np.linspace(spec.log_max - DECIBELS * NEPER, spec.log_max, len(COLOURS))
    channels = [np.interp(mel, marks, channel) for channel in zip(*COLOURS, strict=True)]
    image = Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))
    width, height = min(image.width * PIXELS, MAX_WIDTH), image.height * PIXELS
    canvas = Image.new("RGB", (LEFT + width + AROUND, AROUND + height + BELOW), "white")
    canvas.paste(image.resize((width, height), Image.Resampling.BOX), (LEFT, AROUND))
    _draw_ticks(canvas, spec, width / (whole / spec.sample_rate), width, height)
    return _titled(canvas, title) if title else canvas


def _titled(image: Image.Image, title: str) -> Image.Image:
    """Put a title above an image, which is widened for it; cut what does not fit."""
    draw = ImageDraw.Draw(image)
    title = title[:MAX_TITLE]  # a letter is more than a pixel wide
    while draw.textlength(title) > MAX_TITLE:
        title = f"{title[:-4]}..."
    needed = AROUND + round(draw.textlength(title)) + AROUND
    canvas = Image.new("RGB", (max(image.width, needed), TITLE + image.height), "white")
    canvas.paste(image, (0, TITLE))
    ImageDraw.Draw(canvas).text((AROUND, TITLE // 2 + 2), title, "black", anchor="lm")
    return canvas


def _draw_ticks(
    canvas: Image.Image, spec: MelSpec, per_second: float, width: int, height: int
) -> None:
    """Draw Hz to the left of a mel, at the middle of their bands, and seconds below it.

    A second is ``per_second`` pixels wide.
    """
    draw = ImageDraw.Draw(canvas)
    low, high = hz_to_mel(spec.f_min), hz_to_mel(spec.f_max)
    for hz, label in HZ_TICKS.items():
        band = (hz_to_mel(hz) - low) / (high - low) * (spec.n_mels + 1) - 1
        y = AROUND + height - round((band + 0.5) * PIXELS)
        if AROUND < y < AROUND + height:
            draw.line((LEFT - 4, y, LEFT - 1, y), "black")
            draw.text((LEFT - 6, y), label, "black", anchor="rm")
    every = next(n for n in (1, 5, 10, 60) if n * per_second >= MIN_TICK_PIXELS)
    for second in range(0, int(width / per_second) + 1, every):
        x = LEFT + round(second * per_second)
        draw.line((x, AROUND + height, x, AROUND + height + 3), "black")
        draw.text((x, AROUND + height + 5), f"{second} s", "black", anchor="mt")

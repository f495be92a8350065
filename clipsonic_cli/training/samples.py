"""What a model in training sounds like: fixed queries become sounds and pictures of their mels.

Knows: which mode can answer a query, what the files are called, how a mel is drawn. Does not know:
when samples are made.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from clipsonic_cli.atomic import written
from clipsonic_cli.audio.files import peak_guard
from clipsonic_cli.audio.mel import LogMel, hz_to_mel
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.errors import BadBundle, ClipsonicError, MissingWeights
from clipsonic_cli.modes import DEFAULT_MODE, MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store.models import ModelFolder
from clipsonic_cli.training.metrics import MetricsLog
from clipsonic_cli.types import Query, Report, Waveform, silent

MAX_NAME_BYTES = 60
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
"""Range of the colours; what is softer is as dark as silence."""
HZ_TICKS = {500: "500 Hz", 1000: "1 kHz", 2000: "2 kHz", 4000: "4 kHz"}
LEFT, BELOW, AROUND = 48, 18, 6
"""Margins in pixels: for Hz, for seconds, and on the other sides."""
MIN_TICK_PIXELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What :func:`make_samples` made.

    Args:
        files: A sound and a picture for each query that was answered.
        notes: A line for everything that was not as asked.
    """

    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def make_samples(
    folder: Path,
    queries: Sequence[Query],
    run_dir: Path,
    step: int,
    log: MetricsLog,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    guidance_scale: float = 1.5,
    steps: int = 25,
    seconds: float = 4.0,
    report: Report = silent,
) -> Samples:
    """Makes a sound, and a picture of its mel, for every query a model can answer.

    Writes ``run_dir/samples/step-00001000/01-a-photo-of-violin.wav`` and ``.png``, and shows both
    in the log. A query's seed is its position, so that steps compare. A text runs in mode "pd", a
    picture in "iq", or else in the first mode of Table 1 whose parts are there and fit. torch's
    global generators are left as they were. What fails is told in a note and ends nothing.

    Args:
        folder: The model's files, read anew.
        queries: What to make.
        run_dir: The run's folder.
        step: Steps done; samples already made at it are replaced.
        log: Where they are shown.
        device: Where networks run.
        dtype: Precision of the U-Net.
        guidance_scale: The paper's w.
        steps: Of the sampler "dpmpp".
        seconds: Duration of each.
        report: Told ``("samples", done, total)``.

    Raises:
        UsageError: The guidance, steps or seconds are out of range.
    """
    recipes = [
        Recipe(
            text=query.text,
            image=None if query.image is None else str(query.image),
            mode=DEFAULT_MODE[query.kind],
            guidance_scale=guidance_scale,
            steps=steps,
            seconds=seconds,
            seed=position,
        )
        for position, query in enumerate(queries, 1)
    ]
    made: list[Path] = []
    notes: list[str] = []
    sonic: ClipSonic | None = None
    # Networks begin with random weights, before they are given their own.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for recipe in recipes:
            report("samples", recipe.seed - 1, len(recipes))
            try:
                sonic = sonic or ClipSonic(Parts(ModelFolder(folder), device, dtype))
                made += _make(sonic, recipe, run_dir, step, log, notes)
            except (ClipsonicError, OSError, torch.OutOfMemoryError) as error:
                reason = str(error).splitlines()[0]
                notes.append(f"No sound for '{recipe.query.name}': {reason}")
    report("samples", len(recipes), len(recipes))
    return Samples(files=tuple(made), notes=tuple(notes))


def _make(
    sonic: ClipSonic, recipe: Recipe, run_dir: Path, step: int, log: MetricsLog, notes: list[str]
) -> tuple[Path, Path]:
    """Makes one sound and its picture, in files and in the log."""
    recipe = _answerable(sonic, recipe, notes)
    sound = next(sonic.generate([recipe]))
    sound = replace(sound, samples=peak_guard(sound.samples)[0])
    spec = sonic.parts.header(MODES[recipe.mode].unet).mel
    assert spec is not None  # a U-Net's header has one
    picture = mel_picture(sound, spec)
    stem = f"{recipe.seed:02d}-{_safe(recipe.query.name)}"
    wav = run_dir / "samples" / f"step-{step:08d}" / f"{stem}.wav"
    wav.parent.mkdir(parents=True, exist_ok=True)
    sound.write(wav, overwrite=True)
    png = wav.with_suffix(".png")
    with written(png) as temporary:
        picture.save(temporary, format="PNG")
    log.sound(step, f"sounds/{stem}", sound)
    log.picture(step, f"mels/{stem}", picture)
    return wav, png


def _answerable(sonic: ClipSonic, recipe: Recipe, notes: list[str]) -> Recipe:
    """Gives a recipe, complete, in the first mode whose parts are there and fit.

    Raises:
        ClipsonicError: There is no such mode; it says what the preferred one lacks.
    """
    kind = recipe.query.kind
    able = [mode.name for mode in MODES.values() if mode.query == kind]
    refusals: list[ClipsonicError] = []
    for name in sorted(able, key=lambda name: name != DEFAULT_MODE[kind]):
        try:
            chosen = sonic.check(replace(recipe, mode=name))
        except (MissingWeights, BadBundle) as error:
            refusals.append(error)
            continue
        misfit = [str(error) for error in refusals if isinstance(error, BadBundle)]
        notes += [f"'{recipe.query.name}' is made in mode '{name}': {why}" for why in misfit]
        return chosen
    raise refusals[0]


def _safe(text: str) -> str:
    """Gives a short piece of a file name: letters and digits of any script, the rest hyphens."""
    text = unicodedata.normalize("NFC", text)
    # Combining marks (M) are part of letters in many scripts.
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    name = "-".join(kept.split()).encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return name.strip("-") or "sound"


def mel_picture(waveform: Waveform, spec: MelSpec) -> Image.Image:
    """Draws a waveform's log-mel: time to the right, pitch upwards, colour for level.

    Colours mean the same in every picture: the lightest is ``log_max``, the darkest 80 dB below.

    Args:
        waveform: At the geometry's sample rate; its last frame is filled with silence.
        spec: The geometry of the mel.

    Returns:
        An RGB picture, four pixels a value, with marks for seconds and Hz.
    """
    count = waveform.samples.shape[-1]
    whole = max(-(-count // spec.hop_length) * spec.hop_length, spec.n_fft)
    samples = F.pad(waveform.samples.cpu(), (0, whole - count))
    mel = LogMel(spec)(samples[None])[0, 0].flip(0).numpy()  # (F, T), highest band first
    marks = np.linspace(spec.log_max - DECIBELS * NEPER, spec.log_max, len(COLOURS))
    channels = [np.interp(mel, marks, channel) for channel in zip(*COLOURS, strict=True)]
    drawn = Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))
    width, height = drawn.width * PIXELS, drawn.height * PIXELS
    canvas = Image.new("RGB", (LEFT + width + AROUND, AROUND + height + BELOW), "white")
    canvas.paste(drawn.resize((width, height), Image.Resampling.NEAREST), (LEFT, AROUND))
    _mark(canvas, spec, width, height)
    return canvas


def _mark(canvas: Image.Image, spec: MelSpec, width: int, height: int) -> None:
    """Writes Hz to the left of a mel, at the middle of their bands, and seconds below it."""
    draw = ImageDraw.Draw(canvas)
    low, high = hz_to_mel(spec.f_min), hz_to_mel(spec.f_max)
    for hz, label in HZ_TICKS.items():
        band = (hz_to_mel(hz) - low) / (high - low) * (spec.n_mels + 1) - 1
        y = AROUND + height - round((band + 0.5) * PIXELS)
        if AROUND < y < AROUND + height:
            draw.line((LEFT - 4, y, LEFT - 1, y), "black")
            draw.text((LEFT - 6, y), label, "black", anchor="rm")
    a_second = spec.sample_rate / spec.hop_length * PIXELS
    every = next(n for n in (1, 5, 10, 60) if n * a_second >= MIN_TICK_PIXELS)
    for second in range(0, int(width / a_second) + 1, every):
        x = LEFT + round(second * a_second)
        draw.line((x, AROUND + height, x, AROUND + height + 3), "black")
        draw.text((x, AROUND + height + 5), f"{second} s", "black", anchor="mt")

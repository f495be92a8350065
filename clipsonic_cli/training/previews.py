"""What a model in training sounds like: fixed queries become sounds and pictures of their mels.

Knows: which mode can answer a query, what the files are called. Does not know: when samples are
made, how a mel is drawn.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.audio.picture import mel_picture
from clipsonic_cli.config import DEFAULT_STEPS, Recipe
from clipsonic_cli.errors import BadBundle, ClipsonicError, MissingWeights
from clipsonic_cli.modes import DEFAULT_MODE, MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.types import Query, Report, silent

MAX_NAME_BYTES = 60


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
    steps: int = DEFAULT_STEPS["dpmpp"],
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
    log.audio(step, f"sounds/{stem}", replace(sound, samples=peak_guard(sound.samples)[0]))
    log.image(step, f"mels/{stem}", picture)
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

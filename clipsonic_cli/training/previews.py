"""Samples of a model in training: audio, and images of its mels, for fixed queries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.audio.mel_image import draw_mel
from clipsonic_cli.config import DEFAULT_SAMPLER, DEFAULT_STEPS, Recipe
from clipsonic_cli.device import choose_dtype
from clipsonic_cli.errors import BadBundle, ClipsonicError, MissingWeights
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store.default_mode import default_mode
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.text import slug
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.types import Query, Report, silent

MAX_NAME_BYTES = 60


def make_samples(
    folder: Path,
    queries: Sequence[Query],
    run_dir: Path,
    step: int,
    log: MetricsLog,
    *,
    device: torch.device,
    vocoder: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    steps: int = DEFAULT_STEPS[DEFAULT_SAMPLER],
    seconds: float = 4.0,
    on_message: Callable[[str], None] = lambda _line: None,
    report: Report = silent,
) -> list[Path]:
    """Make a sound, and an image of its mel, for every query the model can answer.

    The files returned are ``run_dir/samples/step-00001000/01-a-photo-of-violin.wav`` and ``.png``;
    both are shown in the log. A query's seed is its position, so that steps compare. A text runs in
    the model's default mode, or else in the first mode of Table 1 whose parts are there and fit.
    torch's global generators are left as they were. A failure is a message and ends nothing.

    ``vocoder`` is a name, None the model's default; ``sampling`` has fields of the recipes, such as
    a student's; ``steps`` are the sampler's, of ``seconds`` of
    audio; ``on_message`` is called with each failure and each query made in another mode.
    """
    recipes = [
        Recipe(
            text=query.text,
            image=None if query.image is None else str(query.image),
            mode=default_mode(ModelFolder(folder), query.kind)[0],
            vocoder=vocoder,
            seconds=seconds,
            seed=position,
            **{"steps": steps, **(sampling or {})},
        )
        for position, query in enumerate(queries, 1)
    ]
    dtype = choose_dtype("auto", device)
    target = run_dir / "samples" / f"step-{step:08d}"
    files: list[Path] = []
    sonic: ClipSonic | None = None
    # Networks begin with random weights, before they are given their own.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for recipe in recipes:
            report("samples", recipe.seed - 1, len(recipes))
            try:
                sonic = sonic or ClipSonic(Parts(ModelFolder(folder), device, dtype))
                complete = _answerable(sonic, recipe, on_message)
                files += _make(sonic, complete, target, step, log)
            except (ClipsonicError, OSError, torch.OutOfMemoryError) as error:
                on_message(f"No sound for '{recipe.query.name}': {str(error).splitlines()[0]}")
    report("samples", len(recipes), len(recipes))
    return files


def _make(
    sonic: ClipSonic, recipe: Recipe, target: Path, step: int, log: MetricsLog
) -> tuple[Path, Path]:
    """Make one sound and the image of its mel, in files and in the log."""
    sound = next(sonic.generate([recipe]))
    spec = sonic.parts.header(MODES[recipe.mode].unet).mel
    assert spec is not None  # a U-Net's header has one
    image = draw_mel(sound, spec)
    stem = f"{recipe.seed:02d}-{slug(recipe.query.name, MAX_NAME_BYTES)}"
    wav, png = target / f"{stem}.wav", target / f"{stem}.png"
    target.mkdir(parents=True, exist_ok=True)
    sound.write(wav, overwrite=True)
    with written(png) as temporary:
        image.save(temporary, format="PNG")
    log.show(step, f"sounds/{stem}", replace(sound, samples=peak_guard(sound.samples)[0]))
    log.show(step, f"mels/{stem}", image)
    return wav, png


def _answerable(sonic: ClipSonic, recipe: Recipe, on_message: Callable[[str], None]) -> Recipe:
    """Return a recipe, complete, in the first mode whose parts are there and fit.

    Without such a mode the error says what the preferred one lacks.
    """
    kind = recipe.query.kind
    able = [mode.name for mode in MODES.values() if mode.query == kind]
    refusals: list[ClipsonicError] = []
    for name in sorted(able, key=lambda name: name != recipe.mode):
        try:
            chosen = sonic.check(replace(recipe, mode=name))
        except (MissingWeights, BadBundle) as error:
            refusals.append(error)
            continue
        for refusal in refusals:
            if isinstance(refusal, BadBundle):
                on_message(f"'{recipe.query.name}' is made in mode '{name}': {refusal}")
        return chosen
    raise refusals[0]

"""The sounds a model makes for an evaluation; each is kept, and made again only if it would differ.

OUT/sounds/MODEL-pd-w1.5-test-n512-unipc-8-4s-DIGEST/NAME.wav         carries its recipe
OUT/sounds/MODEL-reconstruction-4s-test-n512-bigvgan-DIGEST/NAME.wav   states original and vocoder
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from clipsonic_cli.atomic import written
from clipsonic_cli.audio import files, level
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.evaluation.systems import System
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.modes import MODES, TAUGHT
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.preparation.mels import mel_of
from clipsonic_cli.sampling import check_sampling, mode_of
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.text import digest
from clipsonic_cli.types import Report

AT_ONCE = 8
"""Batch size of sounds, and of query vectors."""
RECONSTRUCTION = "reconstruction"
"""The system of the clips' own sounds, vocoded."""


def playable_modes(
    sonic: ClipSonic, names: Sequence[str], template: Recipe
) -> tuple[list[str], list[str]]:
    """Return the modes that a model has the parts for, and why the others are left out.

    Raises:
        UsageError: The template's steps exceed a training schedule, or a student cannot follow it.
        MissingWeights: The vocoder is missing.
        BadBundle: Parts of the model do not fit each other.
    """
    modes: list[str] = []
    skipped: dict[str, list[str]] = {}
    vocoder = sonic.vocoder_parts(template.vocoder)
    sonic.parts.folder.require(vocoder)
    for name in names:
        recipe = replace(template, mode=name)
        if recipe.student and MODES[name].unet != TAUGHT:
            skipped.setdefault("the student stands in for another U-Net", []).append(name)
            continue
        mode = mode_of(recipe)
        try:
            sonic.parts.check(sorted({*mode.weights, *vocoder}), mode)
        except MissingWeights as error:
            skipped.setdefault(str(error), []).append(name)
            continue
        check_sampling(recipe, sonic.parts.header(mode.unet))
        modes.append(name)
    lines = []
    for why, left in skipped.items():
        shown = f"mode {left[0]} is" if len(left) == 1 else f"modes {', '.join(left)} are"
        lines.append(f"{shown} left out: {why}")
    return modes, lines


def recipe_for(item: TestItem, template: Recipe) -> Recipe | None:
    """Return the recipe of a query; None where it lacks the text or image that the mode takes."""
    mode = MODES[template.mode]
    if mode.query == "image":
        if item.image is None:
            return None
        return replace(template, image=str(item.image), seed=item.seed)
    if item.label is None:
        return None
    return replace(template, text=prompt(item.label, mode.space), seed=item.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A system and how to make those of its sounds that are not there yet."""

    system: System
    absent: int
    make: Callable[[Report], Iterator[None]]
    """Yields after each sound; receives the stages of :meth:`ClipSonic.generate`."""


def plan(
    sonic: ClipSonic, items: Sequence[TestItem], template: Recipe, folder: Path, *, about: str = ""
) -> Planned:
    """Plan the sounds of queries in one mode, at one guidance scale; writes nothing.

    Args:
        sonic: The model.
        items: Queries; those that the mode cannot take have no sound.
        template: The recipe, but for the query and its seed.
        folder: ``OUT/sounds``. The folder of the system in it is of just these sounds: its name
            ends with a digest of all recipes, weights, images and the device. What is in another
            one is copied.
        about: A part of its name, such as the split.
    """
    name, guidance = template.mode, template.guidance
    rule = "" if template.guidance_rule == "constant" else f"-{template.guidance_rule}"
    queries = [(item, r) for item in items if (r := recipe_for(item, template)) is not None]
    recipes = {item.name: sonic.check(recipe) for item, recipe in queries}
    student = "student-" if template.student else ""
    sampling = f"{student}{template.sampler}-{template.steps}-{template.seconds:g}s"
    place = place_of(
        folder,
        f"{sonic.parts.folder.path.name}-{name}-w{guidance:g}{rule}-"
        f"{about}n{len(recipes)}-{sampling}",
        {name: asdict(replace(recipe, image=None)) for name, recipe in recipes.items()},
    )
    sounds = {name: place / f"{name}.wav" for name in recipes}
    there = _find(place, {n: partial(_is_made, recipe=recipe) for n, recipe in recipes.items()})
    absent = [name for name in recipes if name not in there]

    def make(report: Report) -> Iterator[None]:
        _gather(there, place)
        wanted = [recipes[name] for name in absent]
        made = sonic.generate(wanted, batch_size=AT_ONCE, report=report)
        for name, sound in zip(absent, made, strict=True):
            sound.write(sounds[name], overwrite=True)
            yield

    system = System(
        name=name,
        guidance=guidance,
        sounds=sounds,
        prompts={i.name: text for i, r in queries if (text := r.text or i.text) is not None},
        images={item.name: item.image for item, _ in queries if item.image is not None},
    )
    return Planned(system=system, absent=len(absent), make=make)


def plan_reconstruction(
    sonic: ClipSonic,
    items: Sequence[TestItem],
    spec: MelSpec,
    folder: Path,
    *,
    seconds: float,
    vocoder: str | None = None,
    about: str = "",
) -> Planned:
    """Plan to vocode the mels of the clips' own sounds: Table 1's last row; writes nothing.

    Args:
        sonic: The model; only its vocoder is used.
        items: Test clips with their sounds.
        spec: Geometry of the mels.
        folder: Holds the folder of the sounds, as in :func:`plan`; its digest is that of the
            originals and the vocoder.
        seconds: Most seconds of a sound, for the name.
        vocoder: None is the model's default.
        about: Begins the name of that folder, as in :func:`plan`.
    """
    name = vocoder or sonic.vocoder
    parts = sorted(sonic.vocoder_parts(name))
    identity = sonic.parts.identity(parts) if parts else name
    originals = {i.name: i.sound for i in items if i.sound is not None and _frames(i.sound)}
    described = {
        key: {"of": bundle.identity(path), "vocoder": identity} for key, path in originals.items()
    }
    model, about = sonic.parts.folder.path.name, f"{about}n{len(described)}"
    place = place_of(folder, f"{model}-{RECONSTRUCTION}-{seconds:g}s-{about}-{name}", described)
    sounds = {key: place / f"{key}.wav" for key in described}
    there = _find(place, {key: partial(_is_of, text=text) for key, text in described.items()})
    absent = [key for key in described if key not in there]

    def make(_report: Report) -> Iterator[None]:
        _gather(there, place)
        log_mel = LogMel(spec)
        for key in absent:
            samples = torch.from_numpy(read_as_made(originals[key], spec.sample_rate).samples)
            whole = F.pad(samples, (0, -len(samples) % spec.hop_length))
            mel = mel_of(whole, log_mel).T[None, None]  # (1, 1, F, T)
            with torch.no_grad():
                vocode = sonic.parts.vocoder(name, spec)
                made = vocode(mel.to(sonic.parts.device)).float().cpu()[0, : len(samples)]
            level.write(sounds[key], made, spec.sample_rate, described[key], overwrite=True)
            yield

    prompts = {i.name: i.text for i in items if i.text is not None and i.name in sounds}
    system = System(
        name=RECONSTRUCTION,
        sounds=sounds,
        prompts=prompts,
        images={i.name: i.image for i in items if i.image is not None and i.name in sounds},
        of_reference=True,
    )
    return Planned(system=system, absent=len(absent), make=make)


def make_all(plans: Sequence[Planned], report: Report) -> None:
    """Make the sounds of all plans; ``report`` receives ("sounds", done, total) of all of them."""
    total = sum(planned.absent for planned in plans)
    done = 0
    report("sounds", done, total)
    for planned in plans:
        for _ in planned.make(report):
            done += 1
            report("sounds", done, total)


def seconds_each(sonic: ClipSonic, recipe: Recipe) -> float:
    """Measure the time of a sound: that of 1 and of 3 steps of noise, as many more as requested.

    A student's steps cannot be others, and are few.
    """
    dim = getattr(sonic.parts.header(mode_of(recipe).unet).config, "cond_dim", 1)
    count = 1 if sonic.parts.device.type == "cpu" else AT_ONCE
    embed = F.normalize(torch.ones(count, dim), dim=1)

    def measure(steps: int) -> float:
        started = time.perf_counter()
        sonic.render(replace(recipe, steps=steps), embed, list(range(count)))
        return time.perf_counter() - started

    if recipe.student:
        measure(recipe.steps)  # loads weights
        return measure(recipe.steps) / count
    measure(1)  # loads weights
    once, thrice = measure(1), measure(3)
    step = max(thrice - once, 0.0) / 2
    return (once + step * (recipe.steps - 1)) / count


def spec_of(sonic: ClipSonic, modes: Sequence[str]) -> MelSpec:
    """Return the geometry of a model's mels, from headers alone.

    Raises:
        MissingWeights: The model has neither a U-Net nor a vocoder.
    """
    stems = [*(MODES[name].unet for name in modes), "vocoder", "unet"]
    here = [stem for stem in stems if sonic.parts.folder.has(stem)]
    sonic.parts.folder.require([] if here else ["vocoder"])
    spec = sonic.parts.header(here[0]).mel
    assert spec is not None  # a U-Net's and a vocoder's header have one
    return spec


def place_of(folder: Path, stem: str, contents: Any) -> Path:
    """Return a folder in another, whose name changes with any of its contents, which are JSON."""
    return folder / f"{stem}-{digest(json.dumps(contents, sort_keys=True), 4)}"


def _frames(path: Path) -> int:
    """Return the length of a sound file in samples."""
    with files.open_sound(path) as file:
        return int(file.frames)


def _find(place: Path, tests: Mapping[str, Callable[[Path], bool]]) -> dict[str, Path]:
    """Return the sounds that pass their tests, in a folder or in others next to it."""
    folders = [place, *sorted(path for path in place.parent.glob("*") if path != place)]
    found: dict[str, Path] = {}
    for name, is_right in tests.items():
        paths = (folder / f"{name}.wav" for folder in folders)
        if (path := next(filter(is_right, paths), None)) is not None:
            found[name] = path
    return found


def _gather(sounds: Mapping[str, Path], place: Path) -> None:
    """Copy sounds into a folder that are in others."""
    place.mkdir(parents=True, exist_ok=True)
    for name, path in sounds.items():
        if path.parent != place:
            with written(place / f"{name}.wav") as temporary:
                shutil.copyfile(path, temporary)


def _is_of(path: Path, text: Mapping[str, Any]) -> bool:
    """Return whether a file has the description of a reconstruction."""
    return bool(level.read_description(path) == text)


def _is_made(path: Path, recipe: Recipe) -> bool:
    """Return whether a file has the sound of a recipe; its image may have been moved."""
    if not level.read_description(path):
        return False
    try:
        return replace(read_recipe(path), image=recipe.image) == recipe
    except UsageError:
        return False

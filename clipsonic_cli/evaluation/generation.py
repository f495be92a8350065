"""The sounds a model makes for an evaluation; each is kept, and made again only if it would differ.

OUT/sounds/pd-w1.5/NAME.wav             carries its recipe
OUT/sounds/reconstruction-4s/NAME.wav   states its original and its vocoder
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from clipsonic_cli.audio import level
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.evaluation.systems import QueryVectors, System
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.metrics.features import from_vectors
from clipsonic_cli.models.clip import PAPER
from clipsonic_cli.modes import MODES, Mode
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.preparation.mels import mel_of
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Report, silent

AT_ONCE = 8
"""Batch size of sounds, and of query vectors."""


def playable_modes(
    sonic: ClipSonic, names: Sequence[str], template: Recipe
) -> tuple[list[str], list[str]]:
    """Return the modes that a model has the parts for, and a line for each of the others.

    Raises:
        UsageError: The template's steps exceed a training schedule.
        MissingWeights: The vocoder is missing.
        BadBundle: Parts of the model do not fit each other.
    """
    modes, skipped = [], []
    vocoder = sonic.vocoder_parts(template.vocoder)
    sonic.parts.folder.require(vocoder)
    for name in names:
        mode = MODES[name]
        try:
            sonic.parts.check(sorted({*mode.weights, *vocoder}), mode)
        except MissingWeights as error:
            skipped.append(f"mode {name} is left out: {error}")
            continue
        diffusion = sonic.parts.header(mode.unet).diffusion
        assert diffusion is not None  # a U-Net's header has one
        spaced_timesteps(diffusion.train_steps, template.steps)
        modes.append(name)
    return modes, skipped


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


def generate(
    sonic: ClipSonic,
    items: Sequence[TestItem],
    template: Recipe,
    folder: Path,
    *,
    report: Report = silent,
) -> System:
    """Make the sounds of queries in one mode, at one guidance scale, that are not there yet.

    Args:
        sonic: The model.
        items: Queries; those that the mode cannot take have no sound.
        template: The recipe, but for the query and its seed.
        folder: ``OUT/sounds``; a sound there is used if it has the same recipe, weights, image and
            device.
        report: Receives ("pd", done, total), and the stages of :meth:`ClipSonic.generate`.
    """
    name, guidance = template.mode, template.guidance
    place = folder / f"{name}-w{guidance:g}"
    place.mkdir(parents=True, exist_ok=True)
    queries = [(item, r) for item in items if (r := recipe_for(item, template)) is not None]
    sounds = {item.name: place / f"{item.name}.wav" for item, _ in queries}
    wanted = [(sounds[item.name], sonic.check(recipe)) for item, recipe in queries]
    absent = [(path, recipe) for path, recipe in wanted if not _is_made(path, recipe)]
    done = len(wanted) - len(absent)
    report(name, done, len(wanted))
    made = sonic.generate([recipe for _, recipe in absent], batch_size=AT_ONCE, report=report)
    for number, ((path, _), sound) in enumerate(zip(absent, made, strict=True), start=1):
        sound.write(path, overwrite=True)
        report(name, done + number, len(wanted))
    return System(
        name=name,
        guidance=guidance,
        sounds=sounds,
        prompts={i.name: text for i, r in queries if (text := r.text or i.text) is not None},
        images={item.name: item.image for item, _ in queries if item.image is not None},
    )


def reconstruct(
    sonic: ClipSonic,
    items: Sequence[TestItem],
    spec: MelSpec,
    folder: Path,
    *,
    vocoder: str | None = None,
    report: Report = silent,
) -> System:
    """Vocode the mels of the clips' own sounds: Table 1's last row.

    Args:
        sonic: The model; only its vocoder is used.
        items: Test clips with their sounds.
        spec: Geometry of the mels.
        folder: A sound there is used again if it has the same original and vocoder.
        vocoder: None is the model's default.
        report: Receives ("reconstruction", done, total).
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = vocoder or sonic.vocoder
    parts = sorted(sonic.vocoder_parts(name))
    identity = sonic.parts.identity(parts) if parts else name
    log_mel = LogMel(spec)
    sounds = {}
    for done, item in enumerate(items, start=1):
        assert item.sound is not None  # they come from a data set
        path = sounds[item.name] = folder / f"{item.name}.wav"
        description = {"of": bundle.identity(item.sound), "vocoder": identity}
        if level.read_description(path) != description:
            samples = torch.from_numpy(read_as_made(item.sound, spec.sample_rate).samples)
            whole = F.pad(samples, (0, -len(samples) % spec.hop_length))
            mel = mel_of(whole, log_mel).T[None, None]  # (1, 1, F, T)
            if not mel.shape[-1]:  # too short for one
                del sounds[item.name]
                continue
            with torch.no_grad():
                vocode = sonic.parts.vocoder(name, spec)
                made = vocode(mel.to(sonic.parts.device)).float().cpu()[0, : len(samples)]
            level.write(path, made, spec.sample_rate, description, overwrite=True)
        report("reconstruction", done, len(items))
    prompts = {i.name: i.text for i in items if i.text is not None and i.name in sounds}
    return System(name="reconstruction", sounds=sounds, prompts=prompts, of_reference=True)


def query_vectors(
    sonic: ClipSonic,
    items: Sequence[TestItem],
    modes: Sequence[Mode],
    *,
    candidates: int = 2,
    report: Report = silent,
) -> Iterator[QueryVectors]:
    """Yield, for each mode, the vectors that condition its U-Net and those of the true images.

    Items without a label or an image are left out, and so are modes that do not lead to a CLIP
    vector. The prior draws with the seeds of the items, as it does for the sounds.

    Raises:
        UsageError: No item has both a label and an image.

    Source: CLIPSonic section 4.1 and Table 2.
    """
    both = [item for item in items if item.label is not None and item.image is not None]
    if not both:
        raise UsageError(
            "'similarity' compares texts with images, and no clip has both; give `data` with "
            "labels and images."
        )
    names = [item.name for item in both]
    images = _encode(sonic, both, MODES["iq"], candidates, report)
    for mode in modes:
        if mode.query == "text" and "clip" in mode.weights:
            rows, encoder = _encode(sonic, both, mode, candidates, report)
            made = from_vectors(names, rows, backbone=encoder)
            true = from_vectors(names, images[0], backbone=images[1])
            yield QueryVectors(system=mode.name, made=made, images=true)


def _encode(
    sonic: ClipSonic, items: Sequence[TestItem], mode: Mode, candidates: int, report: Report
) -> tuple[torch.Tensor, str]:
    """Compute the vectors (B, D) of a mode; return them with the name of their CLIP."""
    encode = sonic.parts.encoder(mode, candidates=candidates)
    rows, clip = [], ""
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        recipes = [recipe_for(item, Recipe(mode=mode.name)) for item in batch]
        queries = [recipe.query for recipe in recipes if recipe is not None]
        with torch.no_grad():
            condition = encode(queries, noise=SeededNoise([item.seed for item in batch]))
        rows.append(condition.embed.float().cpu())
        clip = condition.encoder
        report(f"{mode.name} vectors", start + len(queries), len(items))
    return torch.cat(rows), "clip" if clip.startswith(PAPER) else clip


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


def _is_made(path: Path, recipe: Recipe) -> bool:
    """Return whether a file has the sound of a recipe; its image may have been moved."""
    if not level.read_description(path):
        return False
    try:
        return replace(read_recipe(path), image=recipe.image) == recipe
    except UsageError:
        return False

"""The sounds a model makes for an evaluation: each made once, and again only if it would differ.

    OUT/sounds/pd-w1.5/NAME.wav             carries its recipe
    OUT/sounds/reconstruction-4s/NAME.wav   says of which sound and by which vocoder

Knows: which recipe answers which question. Does not know: which questions there are (``clips.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from clipsonic_cli.evaluation.audio_files import System, read_as_made
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.metrics.features import Features, of_vectors
from clipsonic_cli.models.clip import PAPER
from clipsonic_cli.modes import MODES, Mode
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.preparation.mels import mel_of
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Report, silent

AT_ONCE = 8
"""Sounds made together, and vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """All that decides the sounds of a mode, besides the question.

    Args:
        sampler: A name of ``diffusion.SAMPLERS``.
        steps: Of the sampler.
        seconds: Of every sound.
        vocoder: None is the model's default.
    """

    sampler: str
    steps: int
    seconds: float
    vocoder: str | None = None


def able(
    sonic: ClipSonic, names: Sequence[str], how: GenerationConfig
) -> tuple[list[str], list[str]]:
    """Gives the modes a model has the parts for, and a line for each of the others.

    Args:
        sonic: The model; no weights are read.
        names: Modes.
        how: The steps have to fit the U-Net.

    Raises:
        UsageError: The steps exceed a training schedule.
        MissingWeights: It lacks the vocoder.
        BadBundle: Parts of the model do not fit each other.
    """
    modes, skipped = [], []
    vocoder = sonic.vocoder_parts(how.vocoder)
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
        spaced_timesteps(diffusion.train_steps, how.steps)
        modes.append(name)
    return modes, skipped


def recipe_of(
    question: TestItem, mode: Mode, guidance: float, how: GenerationConfig
) -> Recipe | None:
    """Gives the recipe that answers a question in a mode; None where it cannot be asked so."""
    text, image = None, None
    if mode.query == "image":
        image = None if question.picture is None else str(question.picture)
    elif question.label is not None:
        text = prompt(question.label, mode.space)
    if text is None and image is None:
        return None
    return Recipe(
        text=text,
        image=image,
        mode=mode.name,
        guidance_scale=guidance,
        sampler=how.sampler,
        steps=how.steps,
        seconds=how.seconds,
        seed=question.seed,
        vocoder=how.vocoder,
    )


def make(
    sonic: ClipSonic,
    questions: Sequence[TestItem],
    mode: Mode,
    guidance: float,
    how: GenerationConfig,
    folder: Path,
    *,
    report: Report = silent,
) -> System:
    """Makes the sounds of a mode at one guidance scale, but those that are there.

    Args:
        sonic: The model.
        questions: What it is asked.
        mode: A row of ``modes.MODES``.
        guidance: The paper's w.
        how: The rest of the recipe.
        folder: ``OUT/sounds``; a sound there is used if its recipe is the one wanted, of the same
            weights, picture and device.
        report: Told ("pd", done, total), and of the stages of :meth:`ClipSonic.generate`.

    Returns:
        The sounds; of the questions that the mode cannot be asked there are none.
    """
    place = folder / f"{mode.name}-w{guidance:g}"
    place.mkdir(parents=True, exist_ok=True)
    asked = [(q, r) for q in questions if (r := recipe_of(q, mode, guidance, how)) is not None]
    sounds = {question.name: place / f"{question.name}.wav" for question, _ in asked}
    wanted = [(sounds[question.name], sonic.check(recipe)) for question, recipe in asked]
    absent = [(path, recipe) for path, recipe in wanted if not _is_made(path, recipe)]
    done = len(wanted) - len(absent)
    report(mode.name, done, len(wanted))
    made = sonic.generate([recipe for _, recipe in absent], batch_size=AT_ONCE, report=report)
    for number, ((path, _), sound) in enumerate(zip(absent, made, strict=True), start=1):
        sound.write(path, overwrite=True)
        report(mode.name, done + number, len(wanted))
    return System(
        name=mode.name,
        guidance=guidance,
        sounds=sounds,
        prompts=_texts(asked),
        pictures={q.name: q.picture for q, _ in asked if q.picture is not None},
    )


def reconstruct(
    sonic: ClipSonic,
    questions: Sequence[TestItem],
    spec: MelSpec,
    folder: Path,
    *,
    vocoder: str | None = None,
    report: Report = silent,
) -> System:
    """Gives the clips' own sounds as the vocoder makes them of their mels: Table 1's last row.

    Args:
        sonic: The model; its vocoder alone is used.
        questions: Those that have a sound.
        spec: Geometry of the mels.
        folder: Where the sounds go; those of the same sound and vocoder are used again.
        vocoder: None is the model's default.
        report: Told ("reconstruction", done, total).
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = vocoder or sonic.vocoder
    parts = sorted(sonic.vocoder_parts(name))
    identity = sonic.parts.identity(parts) if parts else name
    log_mel = LogMel(spec)
    sounds = {}
    for done, question in enumerate(questions, start=1):
        assert question.sound is not None  # as they are of a data set
        path = sounds[question.name] = folder / f"{question.name}.wav"
        told = {"of": bundle.identity(question.sound), "vocoder": identity}
        if level.read_description(path) != told:
            samples = torch.from_numpy(read_as_made(question.sound, spec.sample_rate).samples)
            whole = F.pad(samples, (0, -len(samples) % spec.hop_length))
            mel = mel_of(whole, log_mel).T[None, None]  # (1, 1, F, T)
            if not mel.shape[-1]:  # too short for one
                del sounds[question.name]
                continue
            with torch.no_grad():
                vocode = sonic.parts.vocoder(name, spec)
                made = vocode(mel.to(sonic.parts.device)).float().cpu()[0, : len(samples)]
            level.write(path, made, spec.sample_rate, told, overwrite=True)
        report("reconstruction", done, len(questions))
    prompts = {q.name: q.text for q in questions if q.text is not None and q.name in sounds}
    return System(name="reconstruction", sounds=sounds, prompts=prompts, of_reference=True)


def vectors(
    sonic: ClipSonic,
    questions: Sequence[TestItem],
    modes: Sequence[Mode],
    *,
    candidates: int = 2,
    report: Report = silent,
) -> Iterator[tuple[Mode, Features, Features]]:
    """Gives the vectors that modes' U-Nets are conditioned on, and those of the true pictures.

    Args:
        sonic: The model.
        questions: Those with a label and a picture count. The prior draws with their seeds, as it
            does for the sounds.
        modes: Those that lead to no CLIP vector are left out.
        candidates: Of the prior.
        report: Told by the encoders.

    Source: CLIPSonic section 4.1 and Table 2.
    """
    both = [q for q in questions if q.label is not None and q.picture is not None]
    if not both:
        raise UsageError(
            "'similarity' compares texts with pictures, and no clip has both; give `data` with "
            "labels and pictures."
        )
    names = [question.name for question in both]
    images = _encode(sonic, both, MODES["iq"], candidates, report)
    for mode in modes:
        if mode.query == "text" and "clip" in mode.weights:
            made = _encode(sonic, both, mode, candidates, report)
            of_mode, of_images = (
                of_vectors(names, rows, backbone=clip) for rows, clip in (made, images)
            )
            yield mode, of_mode, of_images


def _encode(
    sonic: ClipSonic,
    questions: Sequence[TestItem],
    mode: Mode,
    candidates: int,
    report: Report,
) -> tuple[torch.Tensor, str]:
    """Gives the vectors (B, D) of a mode, and the name of the CLIP they are of."""
    encode = sonic.parts.encoder(mode, candidates=candidates)
    how = GenerationConfig(sampler="dpmpp", steps=1, seconds=1.0)  # of no matter to an encoder
    rows, clip = [], ""
    for start in range(0, len(questions), AT_ONCE):
        recipes = [recipe_of(q, mode, 1.0, how) for q in questions[start : start + AT_ONCE]]
        queries = [recipe.query for recipe in recipes if recipe is not None]
        noise = SeededNoise([q.seed for q in questions[start : start + AT_ONCE]])
        with torch.no_grad():
            condition = encode(queries, noise=noise)
        rows.append(condition.embed.float().cpu())
        clip = condition.encoder
        report(f"{mode.name} vectors", start + len(queries), len(questions))
    return torch.cat(rows), "clip" if clip.startswith(PAPER) else clip


def spec_of(sonic: ClipSonic, modes: Sequence[str]) -> MelSpec:
    """Gives the geometry of a model's mels; reads headers alone.

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
    """Whether a file has the sound of a recipe; its picture counts by content, wherever it lies."""
    if not level.read_description(path):
        return False
    try:
        return replace(read_recipe(path), image=recipe.image) == recipe
    except UsageError:
        return False


def _texts(asked: Sequence[tuple[TestItem, Recipe]]) -> dict[str, str]:
    """Gives what the sounds were to be in words: as was asked, or else the label."""
    told = {question.name: recipe.text or question.text for question, recipe in asked}
    return {name: text for name, text in told.items() if text is not None}

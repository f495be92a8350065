"""Where the sounds of an evaluation come from: folders of them, or a model that is asked.

Knows: what must be there before any work is done. Does not know: metrics' insides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.audio import files
from clipsonic_cli.config import PAPER_COUNT, MelSpec, Recipe
from clipsonic_cli.data.listing import left_out_line
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.timesteps import too_few
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import generation
from clipsonic_cli.evaluation.audio_files import (
    System,
    find_prompts,
    other_files,
    read_prompts,
    sound_files,
)
from clipsonic_cli.evaluation.generation import GenerationConfig
from clipsonic_cli.evaluation.test_set import ClipSpec, TestItem, common_questions, draw_clips, take
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import SHOWN
from clipsonic_cli.types import Clip, Report, Split, silent

COMMON_COUNT = 16
"""Sounds of each system where neither a number is asked for nor a data set given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Sounds that are there.

    Args:
        folders: A system each, of its name.
        prompts: A csv of what each was to be.
        pictures: Folders of pictures that recipes inside the files may name, besides ``folders``.
    """

    folders: tuple[Path, ...]
    prompts: Path | None = None
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A model, and what it is asked.

    Args:
        model: Name or folder.
        how: Sampler, steps, seconds and vocoder.
        data: A data set whose clips are the queries; None asks for common sounds in words.
        format: Of the data; None finds it.
        split: Which of its clips.
        split_seed: That of the training, where the data state no split.
        count: Queries at most.
        modes: None is all the model has of the data's kinds of query, or the first for words.
        guidance: Values of w, each a system of its own.
        clip_seconds: Of the clips' own sounds.
        seed: Draws the queries, and the noise of each.
        dtype: Precision of the U-Net.
        workers: Processes that decode.
    """

    model: str
    how: GenerationConfig
    data: str | None = None
    format: str | None = None
    split: Split = "test"
    split_seed: int = 0
    count: int | None = None
    modes: tuple[str, ...] | None = None
    guidance: tuple[float, ...] = (1.5,)
    clip_seconds: float | None = None
    seed: int = 0
    dtype: str = "auto"
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Query vectors of a mode, and those of the true pictures."""

    system: str
    made: Features
    images: Features


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSet:
    """All that is scored.

    Args:
        systems: Sets of sounds.
        truth: The clips' own sounds.
        vectors: For "similarity".
        settings: What decided them.
        notes: What is not as was asked.
        left_out: Files of the folders given that are not scored, with the reason.
    """

    systems: tuple[System, ...]
    truth: Mapping[str, Path] = field(default_factory=dict)
    vectors: tuple[Vectors, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def of_folders(folders: Folders, *, worded: bool) -> SystemSet:
    """Gives the sounds of folders; no sound is read, but recipes inside files are.

    Args:
        folders: Which, and a list of prompts.
        worded: Whether prompts matter, so that it is said where they are from.

    Raises:
        UsageError: A folder has no sounds, two have one name, or the csv is of no use.
    """
    listed = None if folders.prompts is None else read_prompts(folders.prompts)
    systems: list[System] = []
    notes: list[str] = []
    left_out: dict[str, str] = {}
    for folder in folders.folders:
        sounds = sound_files(folder)
        prompts, pictures, told = find_prompts(sounds, listed, folders=(folder, *folders.pictures))
        if listed is not None and not prompts:
            raise UsageError(
                f"'{folders.prompts}' names none of the sounds in '{folder}', such as "
                f"'{next(iter(sounds))}'; name them alike."
            )
        name = folder.resolve().name or str(folder)
        if any(system.name == name for system in systems):
            raise UsageError(f"Two folders are called '{name}'; rename one to tell them apart.")
        notes += [f"{name}: {note}" for note in told if worded]
        systems.append(System(name=name, sounds=sounds, prompts=prompts, pictures=pictures))
        if others := other_files(folder):
            notes.append(f"{name}: {left_out_line(others)}")
            left_out |= {f"{name}/{file}": why for file, why in others.items()}
    settings: dict[str, Any] = {"generated": [str(folder) for folder in folders.folders]}
    settings |= {"prompts": str(folders.prompts)} if folders.prompts else {}
    return SystemSet(
        systems=tuple(systems), settings=settings, notes=tuple(notes), left_out=left_out
    )


class ModelSource:
    """A model that is about to be asked; making one checks all that needs no weights.

    Args:
        request: What is wanted.
        device: Where networks run.
        sounds: Whether sounds are made of the queries.
        vectors: Whether the queries' vectors are wanted.

    Attributes:
        notes: What is not as was asked, so far.

    Raises:
        UsageError: Something asked for is not there, or a number is out of its range.
        MissingWeights: The model has none of the modes.
        BadBundle: Its parts do not fit each other.
    """

    def __init__(self, request: Generation, *, device: str, sounds: bool, vectors: bool) -> None:
        self.request, self.sounds, self.vectors = request, sounds, vectors
        SAMPLERS.check(request.how.sampler)
        for name in request.modes or ():
            if name not in MODES:
                raise unknown("mode", name, list(MODES))
        for guidance in request.guidance:  # the ranges are a recipe's to check
            Recipe(
                guidance_scale=guidance,
                steps=request.how.steps,
                seconds=request.how.seconds,
                seed=request.seed,
            )
        how, dtype = request.how, request.dtype
        self.sonic = ClipSonic.load(request.model, device=device, dtype=dtype, vocoder=how.vocoder)
        wanted = list(MODES) if request.modes is None else list(dict.fromkeys(request.modes))
        modes, skipped = generation.able(self.sonic, wanted, how)
        self.notes = skipped if request.modes is not None else []
        if sounds and (note := too_few(how.sampler, how.steps)) is not None:
            self.notes.append(note)
        if wanted and not modes:
            raise UsageError(f"Nothing can be made. {skipped[0]}")
        self.clips: list[Clip] = []
        self.left_out: Mapping[str, str] = {}
        if request.data is None:
            self.modes = self._of_words(modes)
        else:
            listing = draw_clips(
                request.data,
                format=request.format,
                split=request.split,
                split_seed=request.split_seed,
                seed=request.seed,
            )
            self.clips = list(listing.clips)
            self.notes += listing.notes
            self.left_out = listing.left_out
            self.modes = self._of_data(modes)
        self.spec: MelSpec = generation.spec_of(self.sonic, self.modes)

    def gather(self, out: Path, *, report: Report = silent) -> SystemSet:
        """Makes what is scored, in a folder whose sounds are used again.

        Args:
            out: Gets "sounds", and with data "clips".
            report: Told of every stage.
        """
        request, sonic = self.request, self.sonic
        questions = self._questions(out, report)
        truth = {q.name: q.sound for q in questions if q.sound is not None}
        systems: list[System] = []
        if self.sounds:
            if request.data is not None:
                place = out / "sounds" / f"reconstruction-{self._clip_seconds:g}s"
                vocoder = request.how.vocoder
                systems.append(
                    generation.reconstruct(
                        sonic, questions, self.spec, place, vocoder=vocoder, report=report
                    )
                )
            made = [
                generation.make(
                    sonic, questions, MODES[mode], w, request.how, out / "sounds", report=report
                )
                for mode in self.modes
                for w in dict.fromkeys(request.guidance)
            ]
            systems = made + systems
        vectors = []
        if self.vectors:
            modes = [MODES[name] for name in self.modes]
            vectors = [
                Vectors(system=mode.name, made=made, images=images)
                for mode, made, images in generation.vectors(sonic, questions, modes, report=report)
            ]
        return SystemSet(
            systems=tuple(systems),
            truth=truth,
            vectors=tuple(vectors),
            settings=self._settings(len(questions), truth),
            notes=tuple(self.notes),
            left_out=self.left_out,
        )

    @property
    def _clip_seconds(self) -> float:
        return self.request.clip_seconds or self.request.how.seconds

    def _of_words(self, modes: Sequence[str]) -> list[str]:
        """Gives the modes for words alone; says that there is no more."""
        able = [name for name in modes if MODES[name].query == "text"]
        if self.vectors:
            raise UsageError("'similarity' compares texts with pictures; give `data` with both.")
        if not able:
            raise UsageError(
                "Modes for pictures need pictures to start from; give `data`, a folder of videos."
            )
        asked = common_questions(1, seed=0)[0].text
        self.notes.append(
            f"the model is asked for common sounds, such as '{asked}'; give `data` to ask for "
            f"those of its test clips"
        )
        if self.request.modes is None:
            # The paper's main mode where the model has it.
            return ["pd"] if "pd" in able else able[:1]
        left = [name for name in modes if name not in able]
        self.notes += [f"mode {name} is left out: it needs pictures; give `data`" for name in left]
        return able

    def _of_data(self, modes: Sequence[str]) -> list[str]:
        """Gives the modes that the clips can be asked in, and keeps the clips that can be."""
        labelled = [clip for clip in self.clips if clip.label is not None]
        words = [name for name in modes if MODES[name].query == "text"]
        if not labelled and (words or self.vectors):
            if len(words) == len(modes):
                raise UsageError(
                    f"The clips of '{self.request.data}' have no labels, which {', '.join(words)} "
                    f"need. Put each video in a folder named after its sound, such as violin/."
                )
            self.notes.append(f"modes {', '.join(words)} are left out: the clips have no labels")
            return [name for name in modes if name not in words]
        if words and len(labelled) < len(self.clips):
            self.notes.append(
                f"{len(self.clips) - len(labelled)} clips without a label are left out"
            )
            self.clips = labelled
        return list(modes)

    def _questions(self, out: Path, report: Report) -> list[TestItem]:
        request = self.request
        if request.data is None:
            return common_questions(request.count or COMMON_COUNT, seed=request.seed)
        count = request.count or PAPER_COUNT
        cut = ClipSpec(
            seconds=self._clip_seconds,
            sample_rate=self.spec.sample_rate,
            picture=self.vectors or any(MODES[name].query == "image" for name in self.modes),
        )
        questions, faults = take(
            self.clips,
            count,
            cut,
            out / "clips",
            seed=request.seed,
            workers=request.workers,
            report=report,
        )
        if len(questions) < count:
            self.notes.append(
                f"the split '{request.split}' of '{request.data}' has {len(questions)} clips that "
                f"can be used, of {count} asked for"
            )
        if faults:
            shown = "; ".join(f"{name}: {why}" for name, why in list(faults.items())[:SHOWN])
            self.notes.append(f"{len(faults)} clips could not be used ({shown})")
        return questions

    def _settings(self, count: int, truth: Mapping[str, Path]) -> dict[str, Any]:
        request, sonic = self.request, self.sonic
        probe = {name: sorted(MODES[name].weights) for name in self.modes}
        told: dict[str, Any] = {
            "model": sonic.model,
            "model_ids": {name: sonic.parts.identity(parts) for name, parts in probe.items()},
            "modes": self.modes,
            "guidance": list(request.guidance),
            "sampler": request.how.sampler,
            "steps": request.how.steps,
            "seconds": request.how.seconds,
            "vocoder": request.how.vocoder or sonic.vocoder,
            "seed": request.seed,
            "n": count,
            "device": sonic.parts.device.type,
            "dtype": str(sonic.parts.dtype).removeprefix("torch."),
            "prompt": "as each mode was asked: 'a photo of LABEL', 'the sound of LABEL' for CLAP's",
        }
        if request.data is not None:
            told |= {
                "data": request.data,
                "split": request.split,
                "split_seed": request.split_seed,
                "clip_seconds": self._clip_seconds,
                "truth": f"the clips' own sounds, {request.split} split, {_lengths(truth)} around "
                "the middle of each",
                "picture": "the frame in the middle of each clip",
            }
        return told


def _lengths(sounds: Mapping[str, Path]) -> str:
    """Gives how long sounds are, which clips may be too short to be as asked."""
    seconds = []
    for path in sounds.values():
        with files.open_sound(path) as file:
            seconds.append(file.frames / file.samplerate)
    shortest, longest = (f"{end:.3g}" for end in (min(seconds), max(seconds)))
    return f"{longest} s" if shortest == longest else f"{shortest} to {longest} s"

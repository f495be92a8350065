"""A model as the source of an evaluation: checked first, then run on its queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli import ranges
from clipsonic_cli.audio import files
from clipsonic_cli.config import PAPER_COUNT, MelSpec, Recipe
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.timesteps import too_few
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import generation
from clipsonic_cli.evaluation.sources import Collect
from clipsonic_cli.evaluation.systems import Needs, QueryVectors, Reference, System, SystemSet
from clipsonic_cli.evaluation.test_set import (
    ClipSpec,
    TestItem,
    common_items,
    draw_clips,
    splits_of,
    take,
)
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import model_folders
from clipsonic_cli.text import SHOWN
from clipsonic_cli.types import Clip, Note, Report, Split

COMMON_COUNT = 16
"""Sounds of each system where neither a number nor a data set is given."""
TRUTH = "truth.npz"
"""Statistics of true sounds in a model's folder, by the embedded backbone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Sounds that a model makes from queries."""

    model: str
    """Name or folder."""
    recipe: Recipe
    """Sampler, steps, seconds and vocoder; its seed draws the queries and the noise of each."""
    data: str | None = None
    """A data set whose clips are the queries; None takes common labels."""
    format: str | None = None
    """Format of the data; None finds it."""
    split: Split = "test"
    split_seed: int | None = None
    """Seed of the training, which splits data that state no split; None is the model's own."""
    count: int | None = None
    """Most queries."""
    modes: tuple[str, ...] | None = None
    """None is all that the model has for the data, or the first for text alone."""
    guidance: tuple[float, ...] = (1.5,)
    """Values of w, a system each."""
    clip_seconds: float | None = None
    """Length of the clips' own sounds; None is that of the sounds that are made."""
    dtype: str = "auto"
    """Precision of the U-Net."""
    workers: int = 0
    """Processes that decode."""

    has_queries = True

    @property
    def has_truth(self) -> bool:
        """Whether queries are clips, which have sounds of their own."""
        return self.data is not None

    @property
    def statistics(self) -> Path | None:
        """Statistics in the model's folder, where there are no clips."""
        if self.has_truth:
            return None
        path = model_folders.find(self.model).path / TRUTH
        return path if path.is_file() else None

    def prepare(self, needs: Needs, device: torch.device) -> Collect:
        """Check the request, the model's files and the data; see :meth:`Source.prepare`."""
        recipe = self.recipe
        # Check names and numbers.
        SAMPLERS.check(recipe.sampler)
        for name in self.modes or ():
            if name not in MODES:
                raise unknown("mode", name, list(MODES))
        for scale in self.guidance:
            ranges.RECIPE["guidance"].check("guidance", scale)
        # Find the modes that the model has the parts for.
        sonic = ClipSonic.load(self.model, device=device, dtype=self.dtype, vocoder=recipe.vocoder)
        wanted = list(MODES) if self.modes is None else list(dict.fromkeys(self.modes))
        modes, skipped = generation.playable_modes(sonic, wanted, recipe)
        notes = [] if self.modes is None else skipped
        if needs.audio and (note := too_few(recipe.sampler, recipe.steps)) is not None:
            notes.append(note)
        if wanted and not modes:
            raise UsageError(f"Nothing can be made. {skipped[0]}")
        # Find the queries.
        clips: list[Clip] = []
        left_out: Mapping[str, str] = {}
        splits = SplitDraw()
        if self.data is None:
            modes, more = self._without_data(modes, needs)
        else:
            names = dict.fromkeys([*(n for m in modes for n in MODES[m].weights), "vocoder"])
            headers = {n: sonic.parts.header(n) for n in names if sonic.parts.folder.has(n)}
            splits, note = splits_of(headers, self.split_seed)
            notes += [note] if note else []
            listing = draw_clips(
                self.data,
                format=self.format,
                split=self.split,
                splits=splits,
                seed=recipe.seed,
            )
            notes += listing.notes
            left_out = listing.left_out
            modes, clips, more = self._with_data(modes, listing.clips, needs)
        prepared = _Prepared(
            request=self,
            needs=needs,
            sonic=sonic,
            modes=modes,
            spec=generation.spec_of(sonic, modes),
            clips=clips,
            notes=[*notes, *more],
            left_out=left_out,
            splits=splits,
        )
        return prepared.collect

    def _without_data(self, modes: Sequence[str], needs: Needs) -> tuple[list[str], list[str]]:
        """Return the modes for text alone, and notes."""
        able = [name for name in modes if MODES[name].query == "text"]
        if needs.vectors:
            raise UsageError("'similarity' compares texts with images; give `data` with both.")
        if not able:
            raise UsageError(
                "Modes for images need images to start from; give `data`, a folder of videos."
            )
        notes: list[str] = [
            Note(
                f"the queries are common sounds, such as '{common_items(1, seed=0)[0].text}'; give "
                "`data` for those of the model's test clips",
                rank=3,
            )
        ]
        if self.modes is None:
            # The paper's main mode where the model has it.
            return (["pd"] if "pd" in able else able[:1]), notes
        left = [name for name in modes if name not in able]
        return able, notes + [
            f"mode {name} is left out: it needs images; give `data`" for name in left
        ]

    def _with_data(
        self, modes: Sequence[str], clips: Sequence[Clip], needs: Needs
    ) -> tuple[list[str], list[Clip], list[str]]:
        """Return the modes and the clips that go together, and notes."""
        labelled = [clip for clip in clips if clip.label is not None]
        of_text = [name for name in modes if MODES[name].query == "text"]
        if not labelled and (of_text or needs.vectors):
            names = ", ".join(of_text) or "similarity scores"
            if needs.vectors or len(of_text) == len(modes):
                raise UsageError(
                    f"The clips of '{self.data}' have no labels, which {names} need. Put each "
                    "video in a folder named after its sound, such as violin/."
                )
            note = f"modes {names} are left out: the clips have no labels"
            return [name for name in modes if name not in of_text], list(clips), [note]
        if of_text and len(labelled) < len(clips):
            note = f"{len(clips) - len(labelled)} clips without a label are left out"
            return list(modes), labelled, [note]
        return list(modes), list(clips), []


@dataclass(slots=True, kw_only=True)
class _Prepared:
    """A model and its queries, checked; no weights are loaded yet."""

    request: Generation
    needs: Needs
    sonic: ClipSonic
    modes: list[str]
    spec: MelSpec
    clips: list[Clip]
    notes: list[str]
    left_out: Mapping[str, str]
    splits: SplitDraw

    @property
    def clip_seconds(self) -> float:
        return self.request.clip_seconds or self.request.recipe.seconds

    def collect(self, out: Path, report: Report) -> SystemSet:
        """Make the sounds that are not in ``out`` yet, in "sounds"; test clips go to "clips"."""
        request, sonic = self.request, self.sonic
        # Take the test clips.
        items = self._items(out, report)
        sounds = {item.name: item.sound for item in items if item.sound is not None}
        truth = self._truth(sounds) if sounds else None
        modes = [MODES[name] for name in self.modes]
        folder = out / "sounds"
        systems: list[System] = []
        # Generate and reconstruct.
        if self.needs.audio:
            for mode in modes:
                for w in dict.fromkeys(request.guidance):
                    template = replace(request.recipe, mode=mode.name, guidance=w)
                    made = generation.generate(sonic, items, template, folder, report=report)
                    systems.append(made)
            if truth is not None:
                place = folder / f"reconstruction-{self.clip_seconds:g}s"
                system = generation.reconstruct(
                    sonic, items, self.spec, place, vocoder=request.recipe.vocoder, report=report
                )
                systems.append(system)
        # Encode the queries.
        vectors: list[QueryVectors] = []
        if self.needs.vectors:
            vectors += generation.query_vectors(sonic, items, modes, report=report)
        return SystemSet(
            systems=tuple(systems),
            truth=truth,
            vectors=tuple(vectors),
            settings=self._settings(len(items), truth),
            notes=tuple(self.notes),
            left_out=self.left_out,
        )

    def _items(self, out: Path, report: Report) -> list[TestItem]:
        """Return the queries; take them from the clips where there are any."""
        request = self.request
        if request.data is None:
            return common_items(request.count or COMMON_COUNT, seed=request.recipe.seed)
        count = request.count or PAPER_COUNT
        spec = ClipSpec(
            seconds=self.clip_seconds,
            sample_rate=self.spec.sample_rate,
            image=self.needs.vectors or any(MODES[name].query == "image" for name in self.modes),
        )
        items, faults = take(
            self.clips,
            count,
            spec,
            out / "clips",
            seed=request.recipe.seed,
            workers=request.workers,
            report=report,
        )
        if len(items) < count:
            self.notes.append(
                f"the split '{request.split}' of '{request.data}' has {len(items)} clips that can "
                f"be used, of {count} requested"
            )
        if faults:
            shown = "; ".join(f"{name}: {why}" for name, why in list(faults.items())[:SHOWN])
            self.notes.append(f"{len(faults)} clips could not be used ({shown})")
        return items

    def _truth(self, sounds: Mapping[str, Path]) -> Reference:
        description = (
            f"the clips' own sounds, {self.request.split} split, {_lengths(sounds)} around the "
            "middle of each"
        )
        return Reference(description=description, sounds=sounds, of_clips=True)

    def _settings(self, count: int, truth: Reference | None) -> dict[str, Any]:
        """Return all that decided the sounds."""
        request, sonic = self.request, self.sonic
        recipe, parts = request.recipe, sonic.parts
        settings: dict[str, Any] = {
            "model": sonic.model,
            "model_ids": {m: parts.identity(sorted(MODES[m].weights)) for m in self.modes},
            "modes": self.modes,
            "guidance": list(request.guidance),
            "sampler": recipe.sampler,
            "steps": recipe.steps,
            "seconds": recipe.seconds,
            "vocoder": recipe.vocoder or sonic.vocoder,
            "seed": recipe.seed,
            "n": count,
            "device": parts.device.type,
            "dtype": str(parts.dtype).removeprefix("torch."),
            "prompt": "as each mode takes it: 'a photo of LABEL', for CLAP 'the sound of LABEL'",
        }
        if truth is not None:
            settings |= {
                "data": request.data,
                "split": request.split,
                "split_seed": self.splits.seed,
                "test_share": self.splits.test_share,
                "valid_share": self.splits.valid_share,
                "clip_seconds": self.clip_seconds,
                "truth": truth.description,
                "picture": "the frame in the middle of each clip",
            }
        return settings


def _lengths(sounds: Mapping[str, Path]) -> str:
    """Format the range of lengths of files, as some clips are shorter than requested."""
    seconds = []
    for path in sounds.values():
        with files.open_sound(path) as file:
            seconds.append(file.frames / file.samplerate)
    shortest, longest = (f"{end:.3g}" for end in (min(seconds), max(seconds)))
    return f"{longest} s" if shortest == longest else f"{shortest} to {longest} s"

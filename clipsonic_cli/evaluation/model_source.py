"""Models as the source of an evaluation: checked first, then run on their queries."""

from collections.abc import Callable, Mapping, Sequence
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
from clipsonic_cli.evaluation.results import heading
from clipsonic_cli.evaluation.sources import Prepared, Work
from clipsonic_cli.evaluation.systems import Needs, QueryVectors, Reference, System, SystemSet
from clipsonic_cli.evaluation.test_set import (
    ClipSpec,
    TestItem,
    common_items,
    draw_clips,
    item_of,
    splits_of,
    take,
)
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import model_folders
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.text import SHOWN
from clipsonic_cli.types import Clip, Note, Report, Split

COMMON_COUNT = 16
"""Sounds of each system where neither a number nor a data set is given."""
TRUTH = "truth.npz"
"""Statistics of true sounds in a model's folder, by the embedded backbone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Sounds that models make from the same queries."""

    models: tuple[str, ...]
    """Names or folders."""
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
    """None is all that a model has for the data, or the first for text alone."""
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
        """Statistics in the folder of a single model, where there are no clips."""
        if self.has_truth or len(self.models) > 1:
            return None
        path = model_folders.find(self.models[0]).path / TRUTH
        return path if path.is_file() else None

    def prepare(self, needs: Needs, device: torch.device) -> Prepared:
        """Check the request, the models' files and the data; see :meth:`Source.prepare`."""
        recipe = self.recipe
        # Check names and numbers.
        SAMPLERS.check(recipe.sampler)
        for name in self.modes or ():
            if name not in MODES:
                raise unknown("mode", name, list(MODES))
        for scale in self.guidance:
            ranges.RECIPE["guidance"].check("guidance", scale)
        notes = []
        if needs.audio and (note := too_few(recipe.sampler, recipe.steps)) is not None:
            notes.append(note)
        # Find the modes that each model has the parts for.
        models = [self._model(name, device) for name in dict.fromkeys(self.models)]
        for model in models:
            notes += [] if self.modes is None else model.skipped
        # Find the queries.
        listing, splits = None, SplitDraw()
        if self.data is not None:
            splits, note = splits_of(_headers(models), self.split_seed)
            notes += [note] if note else []
            listing = draw_clips(
                self.data,
                format=self.format,
                split=self.split,
                splits=splits,
                seed=recipe.seed,
            )
            notes += listing.notes
        clips = [] if listing is None else listing.clips
        # Leave out the modes that lack queries, and clips without a label.
        for place, model in enumerate(models):
            if listing is None:
                modes, more = self._without_data(model.modes, needs)
            else:
                modes, more = self._with_data(model.modes, clips, needs)
            models[place] = replace(model, modes=modes)
            notes += more
        of_text = any(MODES[name].query == "text" for model in models for name in model.modes)
        labelled = [clip for clip in clips if clip.label is not None]
        if of_text and len(labelled) < len(clips):
            notes.append(f"{len(clips) - len(labelled)} clips without a label are left out")
            clips = labelled
        return _Prepared(
            request=self,
            needs=needs,
            models=models,
            clips=clips,
            notes=list(dict.fromkeys(notes)),
            left_out={} if listing is None else listing.left_out,
            splits=splits,
        )

    def _model(self, name: str, device: torch.device) -> "_Model":
        """Return a model with the modes that it has the parts for."""
        recipe = self.recipe
        sonic = ClipSonic.load(name, device=device, dtype=self.dtype, vocoder=recipe.vocoder)
        wanted = list(MODES) if self.modes is None else list(dict.fromkeys(self.modes))
        modes, skipped = generation.playable_modes(sonic, wanted, recipe)
        if wanted and not modes:
            raise UsageError(f"Nothing can be made. {skipped[0]}")
        prefix = f"{sonic.model} " if len(set(self.models)) > 1 else ""
        return _Model(
            sonic=sonic,
            modes=modes,
            skipped=[f"{prefix}{line}" for line in skipped],
            spec=generation.spec_of(sonic, modes),
            prefix=prefix,
        )

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
    ) -> tuple[list[str], list[str]]:
        """Return the modes that the clips allow, and notes."""
        if any(clip.label is not None for clip in clips):
            return list(modes), []
        of_text = [name for name in modes if MODES[name].query == "text"]
        if not of_text and not needs.vectors:
            return list(modes), []
        names = ", ".join(of_text) or "similarity scores"
        if needs.vectors or len(of_text) == len(modes):
            raise UsageError(
                f"The clips of '{self.data}' have no labels, which {names} need. Put each "
                "video in a folder named after its sound, such as violin/."
            )
        note = f"modes {names} are left out: the clips have no labels"
        return [name for name in modes if name not in of_text], [note]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A model whose files were checked; no weights are loaded yet."""

    sonic: ClipSonic
    modes: list[str]
    skipped: list[str]
    """A line for each mode that it lacks parts for."""
    spec: MelSpec
    prefix: str
    """Begins the names of its systems, where there are several models."""


@dataclass(slots=True, kw_only=True)
class _Prepared:
    """Models and their queries, checked."""

    request: Generation
    needs: Needs
    models: list[_Model]
    clips: Sequence[Clip]
    notes: list[str]
    left_out: Mapping[str, str]
    splits: SplitDraw

    @property
    def clip_seconds(self) -> float:
        return self.request.clip_seconds or self.request.recipe.seconds

    @property
    def count(self) -> int:
        """Most queries."""
        return self.request.count or (COMMON_COUNT if self.request.data is None else PAPER_COUNT)

    @property
    def clip_spec(self) -> ClipSpec:
        modes = [MODES[name] for model in self.models for name in model.modes]
        return ClipSpec(
            seconds=self.clip_seconds,
            sample_rate=self.models[0].spec.sample_rate,
            image=self.needs.vectors or any(mode.query == "image" for mode in modes),
        )

    def preview(self, out: Path) -> Work:
        """Count the sounds; see :meth:`Prepared.preview`.

        Clips that were passed over before another was taken cannot be used. Where others were not
        taken yet, they are supposed to be of use, and none of the sounds is there.
        """
        seed, spec = self.request.recipe.seed, self.clip_spec
        if self.request.data is None:
            items = common_items(self.count, seed=seed)
        else:
            folder = self._clip_folder(out)
            items = [item_of(clip, spec, folder, seed=seed) for clip in self.clips]
        taken = [n for n, item in enumerate(items) if item.is_taken]
        rest = items[max(taken, default=-1) + 1 :]
        items = [*(items[n] for n in taken), *rest][: self.count]
        if len(items) <= len(taken):
            return self._work(self._plans(items, out))
        systems = [
            f"{model.prefix}{heading(mode, w)}"
            for model in self.models
            for mode in model.modes
            for w in dict.fromkeys(self.request.guidance)
        ]
        systems += [f"{m.prefix}{generation.RECONSTRUCTION}" for m in self._vocoders()]
        if not self.needs.audio:
            return Work(systems=(), sounds=0, there=0)
        guided = len(systems) - len(self._vocoders())
        return Work(
            systems=tuple(systems),
            sounds=len(items) * len(systems),
            there=0,
            seconds=self._seconds(guided * len(items)),
        )

    def collect(self, out: Path, report: Report, note: Callable[[str], None]) -> SystemSet:
        """Make the sounds that are not in ``out`` yet, in "sounds"; test clips go to "clips"."""
        # Take the test clips.
        items = self._items(out, report)
        sounds = {item.name: item.sound for item in items if item.sound is not None}
        truth = self._truth(sounds) if sounds else None
        # Generate and reconstruct.
        plans = self._plans(items, out)
        work = self._work(plans)
        if work.there < work.sounds:
            note(str(work))
        generation.make_all(plans, report)
        # Encode the queries.
        vectors: list[QueryVectors] = []
        for model in self.models if self.needs.vectors else ():
            modes = [MODES[name] for name in model.modes]
            for made in generation.query_vectors(model.sonic, items, modes, report=report):
                vectors.append(_named(model, made, "system"))
        systems = [planned.system for planned in plans]
        return SystemSet(
            systems=tuple(systems),
            truth=truth,
            vectors=tuple(vectors),
            settings=self._settings(len(items), truth, systems, out),
            notes=tuple(self.notes),
            left_out=self.left_out,
        )

    def _plans(self, items: Sequence[TestItem], out: Path) -> list[generation.Planned]:
        """Plan the sounds of every model, mode and guidance, and the reconstructions."""
        if not self.needs.audio:
            return []
        request, folder = self.request, out / "sounds"
        about = "" if request.data is None else f"{request.split}-"
        plans = []
        for model in self.models:
            for mode in model.modes:
                for w in dict.fromkeys(request.guidance):
                    template = replace(request.recipe, mode=mode, guidance=w)
                    made = generation.plan(model.sonic, items, template, folder, about=about)
                    plans.append(replace(made, system=_named(model, made.system, "name")))
        for model in self._vocoders():
            made = generation.plan_reconstruction(
                model.sonic,
                items,
                model.spec,
                folder,
                seconds=self.clip_seconds,
                vocoder=request.recipe.vocoder,
                about=about,
            )
            plans.append(replace(made, system=_named(model, made.system, "name")))
        return plans

    def _vocoders(self) -> list[_Model]:
        """Return the models whose vocoders differ; without a name where all are one."""
        if self.request.data is None:
            return []
        different: dict[tuple[str, str, MelSpec], _Model] = {}
        for model in self.models:
            sonic = model.sonic
            parts = sorted(sonic.vocoder_parts())
            key = (sonic.vocoder, sonic.parts.identity(parts), model.spec)
            different.setdefault(key, model)
        models = list(different.values())
        return models if len(models) > 1 else [replace(models[0], prefix="")]

    def _work(self, plans: Sequence[generation.Planned]) -> Work:
        """Count the sounds of plans."""
        counts = [len(planned.system.sounds) for planned in plans]
        guided = sum(p.absent for p in plans if p.system.guidance is not None)
        return Work(
            systems=tuple(heading(p.system.name, p.system.guidance) for p in plans),
            sounds=sum(counts),
            there=sum(counts) - sum(planned.absent for planned in plans),
            seconds=self._seconds(guided),
        )

    def _seconds(self, count: int) -> float | None:
        """Measure about how long so many sounds take; None for few, which take less to make."""
        playable = [model for model in self.models if model.modes]
        if count <= generation.AT_ONCE or not playable:
            return None
        each = [
            generation.seconds_each(m.sonic, replace(self.request.recipe, mode=m.modes[0]))
            for m in playable
        ]
        return count * sum(each) / len(each)

    def _clip_folder(self, out: Path) -> Path:
        """Return the folder of the test clips' own sounds and images, of just these clips."""
        count = min(self.count, len(self.clips))
        contents = [self.request.data, [clip.id for clip in self.clips]]
        return generation.place_of(out / "clips", f"{self.request.split}-n{count}", contents)

    def _items(self, out: Path, report: Report) -> list[TestItem]:
        """Return the queries; take them from the clips where there are any."""
        request, count = self.request, self.count
        if request.data is None:
            return common_items(count, seed=request.recipe.seed)
        items, faults = take(
            self.clips,
            count,
            self.clip_spec,
            self._clip_folder(out),
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

    def _settings(
        self, count: int, truth: Reference | None, systems: Sequence[System], out: Path
    ) -> dict[str, Any]:
        """Return all that decided the sounds."""
        request, recipe = self.request, self.request.recipe
        parts = self.models[0].sonic.parts

        def of_each(value: Callable[[_Model], Any]) -> Any:
            """Return what all models have, or that of each by its name."""
            values = {model.sonic.model: value(model) for model in self.models}
            same = all(one == values[self.models[0].sonic.model] for one in values.values())
            return next(iter(values.values())) if same else values

        settings: dict[str, Any] = {
            "model": ", ".join(model.sonic.model for model in self.models),
            "model_ids": of_each(
                lambda m: {n: m.sonic.parts.identity(sorted(MODES[n].weights)) for n in m.modes}
            ),
            "modes": of_each(lambda model: model.modes),
            "guidance": list(request.guidance),
            "sampler": recipe.sampler,
            "steps": recipe.steps,
            "seconds": recipe.seconds,
            "vocoder": ", ".join(dict.fromkeys(m.sonic.vocoder for m in self.models)),
            "seed": recipe.seed,
            "n": count,
            "device": parts.device.type,
            "dtype": str(parts.dtype).removeprefix("torch."),
            "prompt": "as each mode takes it: 'a photo of LABEL', for CLAP 'the sound of LABEL'",
            "sounds": {
                heading(system.name, system.guidance): path.parent.relative_to(out).as_posix()
                for system in systems
                for path in list(system.sounds.values())[:1]
            },
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
                "clips": self._clip_folder(out).relative_to(out).as_posix(),
                "picture": "the frame in the middle of each clip",
            }
        return settings


def _headers(models: Sequence[_Model]) -> dict[str, Header]:
    """Return the headers of the parts that are evaluated, by name."""
    headers = {}
    for model in models:
        parts = model.sonic.parts
        for part in dict.fromkeys([*(n for m in model.modes for n in MODES[m].weights), "vocoder"]):
            if parts.folder.has(part):
                headers[f"{model.prefix}{part}"] = parts.header(part)
    return headers


def _named(model: _Model, made: Any, field: str) -> Any:
    """Return a system, or vectors, with the model in its name if there are several."""
    if not model.prefix:
        return made
    name = f"{model.prefix}{getattr(made, field)}"
    return replace(made, **{field: name, "model": model.sonic.model})


def _lengths(sounds: Mapping[str, Path]) -> str:
    """Format the range of lengths of files, as some clips are shorter than requested."""
    seconds = []
    for path in sounds.values():
        with files.open_sound(path) as file:
            seconds.append(file.frames / file.samplerate)
    shortest, longest = (f"{end:.3g}" for end in (min(seconds), max(seconds)))
    return f"{longest} s" if shortest == longest else f"{shortest} to {longest} s"

"""What models make for an evaluation: plans of their sounds, the sounds, and query vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_cli.audio import files
from clipsonic_cli.config import PAPER_COUNT, MelSpec
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.evaluation import generation
from clipsonic_cli.evaluation.results import heading
from clipsonic_cli.evaluation.sources import Work
from clipsonic_cli.evaluation.systems import Needs, QueryVectors, Reference, System, SystemSet
from clipsonic_cli.evaluation.test_set import (
    ClipSpec,
    TestItem,
    item_of,
    take,
)
from clipsonic_cli.evaluation.vectors import query_vectors
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.sampling import mode_of
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.text import SHOWN, counted
from clipsonic_cli.types import Clip, Report

if TYPE_CHECKING:
    from clipsonic_cli.evaluation.model_source import Generation

COMMON_COUNT = 16
"""Sounds of each system where neither a number nor a data set is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyModel:
    """A model whose files were checked; no weights are loaded yet."""

    sonic: ClipSonic
    modes: list[str]
    skipped: list[str]
    """A line for each mode that it lacks parts for."""
    spec: MelSpec
    prefix: str
    """Begins the names of its systems, where there are several models."""

    def headers(self) -> dict[str, Header]:
        """Return the headers of the parts that are evaluated, by name."""
        parts = self.sonic.parts
        names = dict.fromkeys([*(n for mode in self.modes for n in MODES[mode].weights), "vocoder"])
        return {f"{self.prefix}{n}": parts.header(n) for n in names if parts.folder.has(n)}


@dataclass(slots=True, kw_only=True)
class ModelRun:
    """Models and their queries, checked."""

    request: "Generation"
    needs: Needs
    models: list[ReadyModel]
    clips: Sequence[Clip]
    """In the order they are drawn; none where ``items`` are."""
    items: Sequence[TestItem]
    """Queries without clips."""
    notes: list[str]
    left_out: Mapping[str, str]
    splits: SplitDraw

    @property
    def clip_seconds(self) -> float:
        """Most seconds of the clips' own sounds."""
        return self.request.clip_seconds or self.request.recipe.seconds

    @property
    def count(self) -> int:
        """Most queries."""
        return len(self.items) or self.request.count or PAPER_COUNT

    @property
    def clip_spec(self) -> ClipSpec:
        """What is taken from each clip."""
        modes = [MODES[name] for model in self.models for name in model.modes]
        return ClipSpec(
            seconds=self.clip_seconds,
            sample_rate=self.models[0].spec.sample_rate,
            image=self.needs.vectors
            or self.needs.images
            or any(mode.query == "image" for mode in modes),
        )

    def preview(self, out: Path) -> Work:
        """Count the sounds; see :meth:`Prepared.preview`.

        Clips that were passed over before another was taken cannot be used. Where others were not
        taken yet, they are supposed to be of use, and none of the sounds is there.
        """
        items = list(self.items)
        if not items:
            seed, spec, folder = self.request.recipe.seed, self.clip_spec, self._clip_folder(out)
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
            for made in query_vectors(model.sonic, items, modes, report=report):
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
        about = about if request.queries is None else f"{request.queries[0]}-"
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

    def _vocoders(self) -> list[ReadyModel]:
        """Return the models whose vocoders differ; without a name where all are one."""
        if self.request.data is None:
            return []
        different: dict[tuple[str, str, MelSpec], ReadyModel] = {}
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
        if self.items:
            return list(self.items)
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
                f"the split '{request.split}' of '{request.data}' has "
                f"{counted(len(items), 'clip')} that can be used, of {count} requested"
            )
        if faults:
            shown = "; ".join(f"{name}: {why}" for name, why in list(faults.items())[:SHOWN])
            self.notes.append(f"{counted(len(faults), 'clip')} could not be used ({shown})")
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

        def of_each(value: Callable[[ReadyModel], Any]) -> Any:
            """Return what all models have, or that of each by its name."""
            values = {model.sonic.model: value(model) for model in self.models}
            same = all(one == values[self.models[0].sonic.model] for one in values.values())
            return next(iter(values.values())) if same else values

        settings: dict[str, Any] = {
            "model": ", ".join(model.sonic.model for model in self.models),
            "model_ids": of_each(
                lambda m: {
                    n: m.sonic.parts.identity(sorted(mode_of(replace(recipe, mode=n)).weights))
                    for n in m.modes
                }
            ),
            "modes": of_each(lambda model: model.modes),
            "guidance": list(request.guidance),
            "guidance_rule": recipe.guidance_rule,
            "sampler": recipe.sampler,
            "steps": recipe.steps,
            "student": recipe.student,
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
        if request.queries is not None:
            name, folder = request.queries
            settings |= {"queries": name, "picture": f"the images in {folder}"}
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


def _named(model: ReadyModel, made: Any, field: str) -> Any:
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

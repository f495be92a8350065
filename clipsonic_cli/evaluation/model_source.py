"""Models as the source of an evaluation: checked first, then run on their queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clipsonic_cli import ranges
from clipsonic_cli.config import Recipe
from clipsonic_cli.data.listing import left_out_line
from clipsonic_cli.data.query_sets import FoundImages, find_images
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.diffusion.timesteps import too_few
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import generation
from clipsonic_cli.evaluation.model_run import COMMON_COUNT, ModelRun, ReadyModel
from clipsonic_cli.evaluation.sources import Prepared
from clipsonic_cli.evaluation.systems import Needs
from clipsonic_cli.evaluation.test_set import (
    TestItem,
    common_items,
    draw_clips,
    image_items,
    splits_of,
)
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import model_folders
from clipsonic_cli.text import counted
from clipsonic_cli.types import Clip, Note, Split

TRUTH = "truth.npz"
"""Statistics of true sounds in a model's folder, by the embedded backbone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Sounds that models make from the same queries."""

    models: tuple[str, ...]
    """Names or folders."""
    recipe: Recipe
    """Guidance rule, sampler, steps, seconds and vocoder; its seed draws the queries and the noise
    of each."""
    data: str | None = None
    """A data set whose clips are the queries; None takes common labels."""
    queries: tuple[str, Path] | None = None
    """A named set of images (``data.QUERY_SETS``) and its folder, in place of ``data``."""
    format: str | None = None
    """Format of the data; None finds it."""
    split: Split = "test"
    split_seed: int | None = None
    """Seed of the training, which splits data that state no split; None is the model's own."""
    count: int | None = None
    """Most queries."""
    modes: tuple[str, ...] | None = None
    """None is all that a model has for the data, its default for text alone, or those for images
    where ``queries`` are."""
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
        """Statistics in the folder of a single model, of whose labels the queries are."""
        if self.has_truth or self.queries is not None or len(self.models) > 1:
            return None
        path = model_folders.find(self.models[0]).path / TRUTH
        return path if path.is_file() else None

    def prepare(self, needs: Needs, device: torch.device) -> Prepared:
        """Check the request, the models' files and the data; see :meth:`Source.prepare`."""
        recipe = self.recipe
        # Check names and numbers.
        SAMPLERS.check(recipe.sampler)
        GUIDANCE_RULES.check(recipe.guidance_rule)
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
        items: list[TestItem] = []
        left_out: Mapping[str, str] = {}
        if self.data is not None:
            headers = {name: h for model in models for name, h in model.headers().items()}
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
        elif self.queries is not None:
            found = find_images(*self.queries)
            items = image_items(found, self.count or len(found.images), seed=recipe.seed)
            left_out = found.left_out
            notes += _notes_on(found)
        else:
            items = common_items(self.count or COMMON_COUNT, seed=recipe.seed)
        clips = [] if listing is None else listing.clips
        # Leave out the modes that lack queries, and clips without a label.
        for place, model in enumerate(models):
            if listing is not None:
                modes, more = self._with_data(model.modes, clips, needs)
            elif self.queries is not None:
                modes, more = self._with_images(model.modes, needs), []
            else:
                usual, _ = model.sonic.default_mode("text")
                modes, more = self._without_data(model.modes, usual, needs)
            models[place] = replace(model, modes=modes)
            notes += more
        of_text = any(MODES[name].query == "text" for model in models for name in model.modes)
        labelled = [clip for clip in clips if clip.label is not None]
        if of_text and len(labelled) < len(clips):
            notes.append(f"left out: {counted(len(clips) - len(labelled), 'clip')} without a label")
            clips = labelled
        return ModelRun(
            request=self,
            needs=needs,
            models=models,
            clips=clips,
            items=items,
            notes=list(dict.fromkeys(notes)),
            left_out=left_out,
            splits=splits,
        )

    def _model(self, name: str, device: torch.device) -> ReadyModel:
        """Return a model with the modes that it has the parts for."""
        recipe = self.recipe
        sonic = ClipSonic.load(name, device=device, dtype=self.dtype, vocoder=recipe.vocoder)
        wanted = list(MODES) if self.modes is None else list(dict.fromkeys(self.modes))
        modes, skipped = generation.playable_modes(sonic, wanted, recipe)
        if wanted and not modes:
            raise UsageError(f"Nothing can be made. {skipped[0]}")
        prefix = f"{sonic.model} " if len(set(self.models)) > 1 else ""
        return ReadyModel(
            sonic=sonic,
            modes=modes,
            skipped=[f"{prefix}{line}" for line in skipped],
            spec=generation.spec_of(sonic, modes),
            prefix=prefix,
        )

    def _without_data(
        self, modes: Sequence[str], usual: str, needs: Needs
    ) -> tuple[list[str], list[str]]:
        """Return the modes for text alone, of which ``usual`` is the model's default, and notes."""
        able = [name for name in modes if MODES[name].query == "text"]
        if needs.vectors:
            raise UsageError(
                "Query vectors are those of texts, and compare with images; give `data` with both."
            )
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
            return ([usual] if usual in able else able[:1]), notes
        left = [name for name in modes if name not in able]
        return able, notes + [
            f"mode {name} is left out: it needs images; give `data`" for name in left
        ]

    def _with_images(self, modes: Sequence[str], needs: Needs) -> list[str]:
        """Return the modes for images with labels: unless some are requested, those for images."""
        of_images = [name for name in modes if MODES[name].query == "image"]
        if self.modes is not None or needs.vectors or not of_images:
            return list(modes)
        return of_images

    def _with_data(
        self, modes: Sequence[str], clips: Sequence[Clip], needs: Needs
    ) -> tuple[list[str], list[str]]:
        """Return the modes that the clips allow, and notes."""
        if any(clip.label is not None for clip in clips):
            return list(modes), []
        of_text = [name for name in modes if MODES[name].query == "text"]
        if not of_text and not needs.vectors:
            return list(modes), []
        names = ", ".join(of_text) or "scores of query vectors"
        if needs.vectors or len(of_text) == len(modes):
            raise UsageError(
                f"The clips of '{self.data}' have no labels, which {names} need. Put each "
                "video in a folder named after its sound, such as violin/."
            )
        note = f"modes {names} are left out: the clips have no labels"
        return [name for name in modes if name not in of_text], [note]


def _notes_on(found: FoundImages) -> list[str]:
    """Return notes on the images of a set that are not used."""
    notes = []
    if found.missing > 0:
        count = len(found.images)
        notes.append(f"{count} of the {count + found.missing} images of {found.title} are used")
    if found.left_out:
        notes.append(left_out_line(found.left_out))
    return notes

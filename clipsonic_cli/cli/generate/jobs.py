"""The sounds of a run: the recipe of each, and the file it is written to."""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsonic_cli.cli.generate.outputs import Template
from clipsonic_cli.cli.generate.requests import Request, located
from clipsonic_cli.config import DEFAULT_SAMPLER, DEFAULT_STEPS, Recipe
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import DEFAULT_MODE, Kind, mode_for

MAX_SOUNDS = 1_000_000
"""Most sounds of a run; all of their recipes are in memory."""
RANKINGS = ("clap", "aes")
"""Metrics by which the best sounds of a query can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A sound to make, and the file it is written to."""

    recipe: Recipe
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Sounds of which the best are written, once all are made."""

    jobs: Sequence[Job]
    """By growing seed."""
    keep: int
    """How many are written."""
    by_seed: bool
    """Whether files are named by seed; else by rank, so that the best of ``-o rain.wav`` is
    rain.wav whatever its seed."""

    @property
    def paths(self) -> list[Path]:
        """All files that may be written."""
        return [job.path for job in (self.jobs if self.by_seed else self.jobs[: self.keep])]

    def path(self, job: Job, rank: int) -> Path:
        """Return the file of a job whose sound has a rank, the best 0."""
        return job.path if self.by_seed else self.jobs[rank].path


def plan_recipes(
    requests: Sequence[Request],
    original: Recipe | None,
    preset: Mapping[str, Any] | None,
    choices: dict[str, Any],
    variations: int,
    default_mode: Callable[[Kind], str] = DEFAULT_MODE.__getitem__,
) -> list[Recipe]:
    """Build the recipes of all sounds: every request, in as many variations.

    From weak to strong, what decides is: the defaults, ``--like``, ``--preset``, the options, and
    the row of a list. Where none of them has a seed, one is drawn, and counts up over all sounds,
    so that no two have the same noise. ``preset`` has fields of recipes, ``default_mode`` returns
    the model's, for a kind of query.

    Raises:
        UsageError: A name is unknown, a number out of range, a mode does not fit its query, or
            sounds are more than :data:`MAX_SOUNDS`.
    """
    if (total := len(requests) * variations) > MAX_SOUNDS:
        raise UsageError(
            f"{len(requests):,} queries with {variations:,} sounds each are {total:,}, and at most "
            f"{MAX_SOUNDS:,} are made in a run; lower --count, or split the --file."
        )
    base = {} if original is None else dataclasses.asdict(original)
    base |= preset or {}
    drawn = secrets.randbits(32)
    recipes: list[Recipe] = []
    for request in requests:
        with located(request.where):
            query, chosen = request.query, choices | request.choices
            GUIDANCE_RULES.check(chosen.get("guidance_rule", "constant"))
            # Choose the steps: those of the sampler, unless a preset or --like has some.
            sampler = SAMPLERS.check(chosen.get("sampler", base.get("sampler", DEFAULT_SAMPLER)))
            if preset is None and (original is None or "sampler" in chosen):
                chosen = {"steps": DEFAULT_STEPS[sampler]} | chosen
            # Choose the mode: that of --like is for its kind of query only.
            same_kind = original is not None and original.query.kind == query.kind
            mode = chosen.get("mode", base["mode"] if same_kind else None)
            mode = mode_for(mode or default_mode(query.kind), query.kind).name
            fields = base | chosen
            fields |= {"text": query.text, "image": query.path}
            fields |= {"sampler": sampler, "mode": mode}
            seed = fields.setdefault("seed", drawn + len(recipes))
            recipes += [Recipe(**fields | {"seed": seed + i}) for i in range(variations)]
    return recipes


def plan_rounds(
    requests: Sequence[Request],
    recipes: Sequence[Recipe],
    template: Template,
    variations: int,
    keep: int | None,
    keep_by: str = "clap",
) -> list[Round]:
    """Name the file of every recipe, and group the recipes of which the best are kept.

    The variations of each request stand one after the other, of which so many are kept; None is
    all, each in a group of its own. ``keep_by`` is one of :data:`RANKINGS`.

    Raises:
        UsageError: Sounds of an image would have to be ranked by a text; or a row has no value for
            a column that names use.
    """
    sounds: list[dict[str, str | int]] = []
    named = template.fields & {name for request in requests for name in request.columns}
    for index, recipe in enumerate(recipes):
        request = requests[index // variations]
        if empty := sorted(named - request.columns.keys()):
            raise UsageError(
                f"In {request.where}: column '{empty[0]}' is empty, but --output names it; fill it "
                "in."
            )
        own = {"prompt": request.query.name, "mode": recipe.mode}
        numbers = {"seed": recipe.seed, "index": index + 1}
        sounds.append({**request.columns, **own, **numbers})
    paths = template.paths(sounds)
    jobs = [Job(recipe=r, path=p) for r, p in zip(recipes, paths, strict=True)]
    if keep is None:
        return [Round(jobs=[job], keep=1, by_seed=True) for job in jobs]
    image = next((recipe.image for recipe in recipes if recipe.image is not None), None)
    if image is not None and keep_by == "clap":
        raise UsageError(
            f"--keep ranks sounds by how well they fit a text, and '{image}' is an image; rank by "
            "quality (--keep-by aes), or leave --keep out."
        )
    by_seed = "seed" in template.fields
    return [
        Round(jobs=jobs[start : start + variations], keep=keep, by_seed=by_seed)
        for start in range(0, len(jobs), variations)
    ]

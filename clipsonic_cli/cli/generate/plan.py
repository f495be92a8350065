"""From what was asked to what will be made: recipes, and the file each sound goes to.

Knows how options, a file's rows and ``--like`` combine. Reads no weights and writes nothing.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsonic_cli.cli import options
from clipsonic_cli.cli.generate import inputs, outputs
from clipsonic_cli.config import DEFAULT_STEPS, Recipe
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import mode_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sound to make.

    Args:
        recipe: All that decides it.
        path: Where it goes.
    """

    recipe: Recipe
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Sounds that are made before any is written: those of which the best are kept, or one.

    Args:
        jobs: By growing seed.
        keep: How many are written.
        by_seed: Whether their files are named by their seeds; else they are named by rank, so that
            the best of ``-o rain.wav`` is rain.wav whatever its seed.
    """

    jobs: Sequence[Job]
    keep: int
    by_seed: bool

    @property
    def paths(self) -> list[Path]:
        """All files that may be written."""
        return [job.path for job in (self.jobs if self.by_seed else self.jobs[: self.keep])]

    def path(self, job: Job, rank: int) -> Path:
        """Gives where a job's sound goes, the best of which has rank 0."""
        return job.path if self.by_seed else self.jobs[rank].path


def recipes(
    requests: Sequence[inputs.Request],
    original: Recipe | None,
    preset: str | None,
    choices: dict[str, Any],
    variations: int,
) -> list[Recipe]:
    """Gives the recipes of all sounds: every request, in as many variations.

    What decides is, from weak to strong: the defaults, ``--like``, ``--preset``, the options, and
    a row of ``--file``.

    Raises:
        UsageError: A name is unknown, a number out of range, or a mode does not fit its query.
    """
    base = {} if original is None else dataclasses.asdict(original)
    base |= {} if preset is None else options.PRESETS[preset]
    drawn = secrets.randbits(32)
    planned: list[Recipe] = []
    for request in requests:
        with inputs.located(request.where):
            query, made = request.query, choices | request.choices
            sampler = SAMPLERS.check(made.get("sampler", base.get("sampler", "dpmpp")))
            if preset is None and (original is None or "sampler" in made):
                made = {"steps": DEFAULT_STEPS[sampler]} | made
            # The mode of --like is for its kind of query only.
            alike = original is not None and original.query.kind == query.kind
            mode = made.get("mode", base["mode"] if alike else None)
            fields = base | made
            fields |= {"text": query.text, "image": query.image and str(query.image)}
            fields |= {"sampler": sampler, "mode": mode_for(mode, query.kind).name}
            seed = fields.setdefault("seed", drawn)
            planned += [Recipe(**fields | {"seed": seed + i}) for i in range(variations)]
    return planned


def jobs(
    recipes: Sequence[Recipe],
    requests: Sequence[inputs.Request],
    variations: int,
    output: str | None,
    suffix: str | None,
    default: str = outputs.DEFAULT_NAME,
) -> list[Job]:
    """Names the file of every recipe; see :func:`outputs.paths`."""
    sounds: list[dict[str, str | int]] = []
    for index, recipe in enumerate(recipes):
        request = requests[index // variations]
        sounds.append(
            {
                **request.columns,
                "prompt": request.query.name,
                "seed": recipe.seed,
                "mode": recipe.mode,
                "index": index + 1,
            }
        )
    paths = outputs.paths(output, suffix, sounds, default)
    return [Job(recipe=r, path=p) for r, p in zip(recipes, paths, strict=True)]


def rounds(jobs: Sequence[Job], variations: int, keep: int | None, template: str) -> list[Round]:
    """Gives what is made before anything of it is written.

    Args:
        jobs: All variations of every query.
        variations: How many there are of each.
        keep: How many of each are written; None is all, one after the other.
        template: That of the files' names.

    Raises:
        UsageError: A picture would have to be kept: nobody tells how well a sound fits it.
    """
    if keep is None:
        return [Round(jobs=[job], keep=1, by_seed=True) for job in jobs]
    if picture := next((job.recipe.image for job in jobs if job.recipe.image is not None), None):
        raise UsageError(
            f"--keep ranks sounds by how well they fit words, and '{picture}' is a picture; leave "
            f"--keep out."
        )
    by_seed = "seed" in outputs.fields_of(template)
    return [
        Round(jobs=jobs[start : start + variations], keep=keep, by_seed=by_seed)
        for start in range(0, len(jobs), variations)
    ]


def check_same(original: Recipe, recipe: Recipe, fields: Sequence[str]) -> None:
    """Refuses to pass off another picture as the one a sound was made with.

    Args:
        original: What ``--like`` read.
        recipe: What would be made, complete.
        fields: The digests that must agree: those of pictures not given anew.

    Raises:
        UsageError: One differs.
    """
    for name in fields:
        if getattr(original, name) != getattr(recipe, name):
            raise UsageError(
                f"The picture '{getattr(original, name.removesuffix('_sha256'))}' has changed "
                "since that sound was made. Give it as --image or --negative to use it anyway."
            )

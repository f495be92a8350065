"""From what was asked to what will be made: recipes, and the file each sound goes to.

Knows how options, a file's rows and ``--like`` combine. Reads no weights and writes nothing.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsonic_cli.cli import inputs, options, outputs
from clipsonic_cli.config import DEFAULT_STEPS, Recipe
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import mode_for
from clipsonic_cli.registry import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sound to make.

    Args:
        recipe: All that decides it.
        path: Where it goes.
    """

    recipe: Recipe
    path: Path


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
    if preset is not None and preset not in options.PRESETS:
        raise unknown("preset", preset, list(options.PRESETS))
    base = {} if original is None else dataclasses.asdict(original)
    base |= {} if preset is None else options.PRESETS[preset]
    drawn = secrets.randbits(32)
    planned: list[Recipe] = []
    for request in requests:
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

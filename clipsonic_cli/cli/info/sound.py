"""A sound file that carries a recipe, for ``clipsonic info``."""

import contextlib
import dataclasses
import shlex
from pathlib import Path
from typing import Any

from clipsonic_cli.cli.console import Facts
from clipsonic_cli.config import Recipe
from clipsonic_cli.modes import MODES
from clipsonic_cli.text import counted, decibels

OPTIONS = (
    *("image", "negative", "negative_image", "mode", "guidance", "sampler", "steps", "seconds"),
    *("seed", "vocoder", "model", "device", "dtype"),
)
"""Fields of a recipe for which ``clipsonic generate`` has an option."""


def describe(path: Path) -> Facts:
    """Describe a sound: its recipe, the commands that make it again, and its format.

    Raises:
        UsageError: The file is missing, not sound, or carries no recipe.
    """
    from clipsonic_cli.audio import level
    from clipsonic_cli.sound import read_recipe

    recipe = read_recipe(path)
    gain = level.read_gain(path)
    form = _format(path)
    again = f"clipsonic generate --like {shlex.quote(str(path))}"
    details = {
        "path": str(path),
        "recipe": dataclasses.asdict(recipe),
        **form,
        "gain": gain,
        "again": again,
        "command": command(recipe),
    }
    negative = recipe.negative or recipe.negative_image
    facts = {
        "sound": str(path),
        "text" if recipe.text is not None else "image": recipe.query.name,
        **({"negative": negative} if negative else {}),
        "mode": f"{recipe.mode} ({MODES[recipe.mode].title})"
        if recipe.mode in MODES
        else recipe.mode,
        "guidance": f"{recipe.guidance:g}",
        "sampler": f"{recipe.sampler} in {counted(recipe.steps, 'step')}",
        "seed": str(recipe.seed),
        "model": f"{recipe.model} (weights {recipe.model_id})",
        "vocoder": recipe.vocoder or "the model's default",
        "device": f"{recipe.device} ({recipe.dtype})",
        "format": _shown(form),
        "gain": "1 (as the model made it)"
        if gain == 1
        else f"{decibels(gain)} than the model made it; eval undoes it",
        "again": again,
        "command": details["command"],
    }
    return facts, details


def command(recipe: Recipe) -> str:
    """Format the command that makes a sound of a recipe, with all that decides it as options.

    The number of candidates of the prior is no option; ``--like`` repeats that, too.
    """
    words = []
    for name in OPTIONS:
        if (value := getattr(recipe, name)) is not None:
            words += [f"--{name.removesuffix('_image')}", str(value)]
    if recipe.text is not None:
        words = [*words, "--", recipe.text] if recipe.text[:1] == "-" else [recipe.text, *words]
    return shlex.join(["clipsonic", "generate", *words])


def _format(path: Path) -> dict[str, Any]:
    """Return format, length and channels of a sound file; nothing of one in another container."""
    from clipsonic_cli.audio.files import NotSound, open_sound

    with contextlib.suppress(NotSound), open_sound(path) as file:
        return {
            "format": f"{file.format} {file.subtype}",
            "seconds": file.frames / file.samplerate,
            "sample_rate": file.samplerate,
            "channels": file.channels,
        }
    return {"format": path.suffix.lstrip("."), "seconds": None}


def _shown(form: dict[str, Any]) -> str:
    """Format the format of a sound file."""
    if form["seconds"] is None:
        return str(form["format"])
    channels = {1: "mono", 2: "stereo"}.get(form["channels"], f"{form['channels']} channels")
    rate = f"{form['sample_rate'] / 1000:g} kHz"
    return f"{form['format']}, {form['seconds']:.3f} s, {rate} {channels}"

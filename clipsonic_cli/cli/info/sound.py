"""A sound file that carries a recipe, for ``clipsonic info``."""

import contextlib
import dataclasses
import shlex
from pathlib import Path
from typing import Any

from clipsonic_cli.cli.console import Facts
from clipsonic_cli.cli.generate.like import Original
from clipsonic_cli.config import Finish, Recipe
from clipsonic_cli.modes import MODES
from clipsonic_cli.text import counted, decibels

OPTIONS = (
    *("image", "negative", "negative_image", "mode", "guidance", "guidance_rule", "sampler"),
    *("steps", "seconds", "seed", "vocoder", "model", "device", "dtype"),
)
"""Fields of a recipe for which ``clipsonic generate`` has an option."""


def describe(path: Path) -> Facts:
    """Describe a sound: its recipe, how it was finished, its format, and what makes it again.

    Raises:
        UsageError: The file is missing, not sound, or carries no recipe.
    """
    from clipsonic_cli.audio import level

    original = Original.read(path, again=False, negative=False)
    recipe, finish = original.recipe, original.finish
    gain = level.read_gain(path)
    form = _format(path)
    again = f"clipsonic generate --like {shlex.quote(str(path))}"
    details = {
        "path": str(path),
        "recipe": dataclasses.asdict(recipe),
        "finish": dataclasses.asdict(finish),
        **form,
        "gain": gain,
        "again": again,
        "command": command(recipe, **_file_options(original)),
    }
    negative = recipe.negative or recipe.negative_image
    facts = {
        "sound": str(path),
        "text" if recipe.text is not None else "image": recipe.query.name,
        **({"negative": negative} if negative else {}),
        "mode": f"{recipe.mode} ({MODES[recipe.mode].title})"
        if recipe.mode in MODES
        else recipe.mode,
        "guidance": recipe.scale,
        "sampler": f"{recipe.sampler} in {counted(recipe.steps, 'step')}"
        + (", by the model's student" if recipe.student else ""),
        "seed": str(recipe.seed),
        "model": f"{recipe.model} (digest {recipe.model_id} of the parts used)",
        "vocoder": recipe.vocoder or "the model's default",
        "device": f"{recipe.device} ({recipe.dtype})",
        "format": _shown(form),
        "finish": _finish(finish),
        "gain": _gain(gain, finish),
        "again": again,
        "command": details["command"],
    }
    return facts, details


def command(recipe: Recipe, **others: object) -> str:
    """Format the command that makes a sound of a recipe, with all that decides it as options.

    The number of candidates of the prior is no option; ``--like`` repeats that, too. ``others`` are
    options by name, None or False where they are not given.
    """
    words = ["--preset", "instant"] if recipe.student else []
    for name, value in ({name: getattr(recipe, name) for name in OPTIONS} | others).items():
        if value is not None and value is not False:
            option = name.removesuffix("_image").replace("_", "-")
            words += [f"--{option}", *([] if value is True else [str(value)])]
    if recipe.text is not None:
        words = [*words, "--", recipe.text] if recipe.text[:1] == "-" else [recipe.text, *words]
    return shlex.join(["clipsonic", "generate", *words])


def _file_options(original: Original) -> dict[str, Any]:
    """Return the options that give a file's format and how it was finished; defaults are None."""
    ending, bits = original.name.rpartition(".")[2], original.bits
    return {
        "format": None if ending == "wav" else ending,
        "bits": None if bits == "16" else bits,
        **dataclasses.asdict(original.finish),
    }


def _finish(finish: Finish) -> str:
    """Format what was done to a sound before it was written."""
    done = ["silence at its ends removed"] if finish.trim else []
    if finish.rate is not None:
        done.append(f"converted to {finish.rate} Hz")
    if finish.normalize == "peak":
        done.append("normalized to a peak of -1 dBFS")
    elif finish.normalize is not None:
        done.append(f"normalized to {finish.normalize:g} LUFS as far as its peak allows")
    return ", ".join(done) or "none"


def _gain(gain: float, finish: Finish) -> str:
    """Format a gain and its reason."""
    if gain == 1:
        return "1 (as the model made it)"
    why = "so that no player clips it" if finish.normalize is None else "as it was normalized"
    return f"{decibels(gain)} than the model made it, {why}; eval undoes it"


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

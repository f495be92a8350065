"""The command that lets a person hear what was trained."""

import shlex
from collections.abc import Sequence

from clipsonic_cli.modes import DEFAULT_MODE, MODES, STUDENT, TAUGHT
from clipsonic_cli.store.default_mode import default_mode
from clipsonic_cli.store.model_folders import ModelFolder

TEXT_MODES = ("pd", "sd", "clip-tta", "clap-tta", "db", "rt", "ra", "ms", "zs")
"""Modes of the command that is suggested at the end, the most wanted first."""
PROMPT = "a photo of violin"
"""The prompt of that command where there are no labels."""


def command_for(
    model: ModelFolder, part: str, prompts: Sequence[str] = (), image: str | None = None
) -> str | None:
    """Return the command that makes a sound with a part, if the model is complete for one.

    The query is the first prompt, else the image, even where the part is not for images, else
    :data:`PROMPT`. The part itself need not be written yet.
    """
    student = part == STUDENT
    part = TAUGHT if student else part
    usual = default_mode(model, "text")[0]
    modes = (usual, *TEXT_MODES)
    for mode in modes if prompts or image is None else ("iq", *modes):
        parts = MODES[mode].weights
        fits = part in ("vocoder", *parts) or (mode == "iq" and not part.startswith("unet-"))
        if fits and all(map(model.has, {*parts} - {part})):
            break
    else:
        return None
    command, kind = "clipsonic generate", MODES[mode].query
    if student:
        command = "clipsonic generate --preset instant"
    command = f"{command} --model {shlex.quote(model.name)}"
    if kind == "image":
        command = f"{command} --image {shlex.quote(str(image))}"
    else:
        command = f"{command} {shlex.quote(next(iter(prompts), PROMPT))}"
    default = mode == (usual if kind == "text" else DEFAULT_MODE[kind])
    return command if default else f"{command} --mode {mode}"

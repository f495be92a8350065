"""A model's student: the U-Net that makes sounds in few calls, where a model has one."""

from typing import Any

from clipsonic_cli.config import StudentConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.modes import STUDENT
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import ModelFolder

SAMPLER = "ddim"
"""The sampler whose steps a student learns."""


def student_calls(model: ModelFolder) -> int:
    """Return the number of network calls that a model's student was trained for.

    Raises:
        MissingWeights: It has none; the message says how to train one.
        BadBundle: The file is damaged, or of another part.
    """
    model.require([STUDENT])
    header = bundle.read_header(model.part(STUDENT))
    if not isinstance(header.config, StudentConfig):
        raise BadBundle(f"{model.part(STUDENT)} holds a {header.kind}, not a student.")
    return header.config.calls


def student_sampling(model: ModelFolder) -> dict[str, Any]:
    """Return the fields of a recipe by which a model's student makes a sound.

    Errors are those of :func:`student_calls`.
    """
    return {"sampler": SAMPLER, "steps": student_calls(model), "student": True}

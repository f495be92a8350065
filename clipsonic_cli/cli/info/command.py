"""``clipsonic info``: what this machine, a model, published weights or a sound file is."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console, Facts
from clipsonic_cli.errors import UsageError
from clipsonic_cli.store.manifest import ASSETS

NAMES = typer.Argument(
    metavar="NAME|FILE",
    help="A model (a name or a folder), published weights, or a sound file. Default: this machine.",
    autocompletion=lambda: [*options.model_names(), *ASSETS],
)


def info(
    names: Annotated[list[str] | None, NAMES] = None,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """Show what this machine has, what a model can do, or how a sound was made.

    clipsonic info
    clipsonic info mini
    clipsonic info a-photo-of-violin-7.wav
    """
    console = Console(quiet=quiet, as_json=as_json)
    if not names:
        from clipsonic_cli.cli.info import machine

        console.facts(*machine.describe())
    for name in names or []:
        console.facts(*_describe(name))


def _describe(name: str) -> Facts:
    """Describe what a name or a file is: a model, published weights, or a sound."""
    from clipsonic_cli.cli.info import model, sound, weights
    from clipsonic_cli.store import model_folders

    if name in model_folders.names():
        return model.describe(model_folders.find(name))
    if name in ASSETS:
        return weights.describe(ASSETS[name])
    path = Path(name)
    if os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        return model.describe(model_folders.find(name))
    if path.suffix == model_folders.SUFFIX:
        raise UsageError(f"'{name}' is a part of a model; give the folder it is in.")
    if not os.path.exists(name):  # noqa: PTH110
        known = [*model_folders.names(), *ASSETS]
        raise UsageError(
            f"There is no model, weights or file '{name}'.{model_folders.nearest(name, known)} "
            f"Known: {', '.join(known)}; or give a folder of a model, or a sound file."
        )
    return sound.describe(path)

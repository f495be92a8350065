"""``clipsonic models``: list the models on this machine, choose the default, remove some."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.text import counted, megabytes

ACTIONS = ("list", "default", "remove")
COLUMNS = ("name", "modes", "texts by", "student", "size", "licence", "state", "default", "path")

option = partial(options.option, "Options")

ACTION = typer.Argument(
    metavar="ACTION",
    help="list: list models, as without an action; default: show or set the model used where none "
    "is named; remove: delete models.",
    autocompletion=lambda: [*ACTIONS],
)
NAMES = typer.Argument(
    metavar="NAME",
    help="A model of the list; the default may be a folder, too.",
    autocompletion=options.model_names,
)
UNSET = option("--unset", "Make the built-in model the default again.")
YES = option("--yes -y", "Remove without asking.")


def models(
    action: Annotated[str | None, ACTION] = None,
    names: Annotated[list[str] | None, NAMES] = None,
    unset: Annotated[bool, UNSET] = False,
    yes: Annotated[bool, YES] = False,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """List the models on this machine, choose the default, or remove some.

    clipsonic models
    clipsonic models default music
    clipsonic models remove music

    CLIPSONIC_MODEL overrides the default, and --model overrides both.
    """
    console = Console(quiet=quiet, as_json=as_json)
    names = names or []
    # Check what belongs to what.
    if action is not None and action not in ACTIONS:
        raise unknown("action", action, list(ACTIONS))
    if action == "list" and names:
        raise UsageError("clipsonic models list takes no NAME; see clipsonic info NAME.")
    if unset and action != "default":
        raise UsageError("--unset belongs to: clipsonic models default --unset")
    if yes and action != "remove":
        raise UsageError("--yes belongs to: clipsonic models remove NAME --yes")
    if action == "default" and len(names) + unset > 1:
        raise UsageError("There is one default model; give one NAME, or --unset.")
    if action == "remove" and not names:
        raise UsageError("Nothing to remove. Name a model; see clipsonic models.")
    # Act.
    if action in (None, "list"):
        _list(console)
    elif action == "default":
        _default(console, None if unset else next(iter(names), ""))
    else:
        remove(console, names, yes=yes)


def _list(console: Console) -> None:
    """Print the models that have a name, and the default where it is a folder."""
    from clipsonic_cli.cli.models.describe import default_or_none, describe_model
    from clipsonic_cli.store import model_folders

    default, why_not = default_or_none()
    folders = {folder.path: folder for folder in map(model_folders.find, model_folders.names())}
    chosen = None if default is None else model_folders.find(default)
    if chosen is not None:
        folders.setdefault(chosen.path, chosen)
    entries = [describe_model(f) | {"default": f == chosen} for f in folders.values()]
    rows = []
    for entry in entries:
        cells = entry | {
            "modes": ", ".join(entry["modes"]) or "none yet",
            "texts by": entry["text_mode"] or "",
            "student": counted(calls, "call") if (calls := entry["student_calls"]) else "",
            "size": megabytes(entry["bytes"]),
            "default": "default" if entry["default"] else "",
        }
        rows.append([cells[column] for column in COLUMNS])
        if console.as_json:
            console.result("", entry)
    if not console.as_json:
        console.table("", COLUMNS, rows, words={*COLUMNS} - {"size"}, details={"path"})
    if why_not is not None:
        console.note(f"note: {why_not}")


def _default(console: Console, name: str | None) -> None:
    """Show the default model (""), set it, or make it the built-in one again (None)."""
    from clipsonic_cli.store import model_folders

    if name != "":
        model_folders.store_default(name)
        variable = model_folders.VARIABLE
        if other := os.environ.get(variable):
            console.note(f"note: {variable} is set, so that '{other}' is used until it is not")
    chosen, origin = model_folders.default()
    path = model_folders.find(chosen).path
    console.result(chosen, {"name": chosen, "chosen_by": origin, "path": str(path)})


def remove(console: Console, names: Sequence[str], *, yes: bool) -> None:
    """Delete models once that is confirmed; a default that is deleted is none any more."""
    from clipsonic_cli.store import model_folders, shared

    for name in names:
        shared.check_removable(name)
    for name in names:
        question = f"Delete model '{name}' from this machine?"
        if not (yes or console.console.is_terminal):
            raise UsageError(f"Model '{name}' is kept; say --yes to delete it.")
        if not (yes or typer.confirm(question, err=True)):
            console.note(f"model '{name}' is kept")
            continue
        console.result(name, {"name": name, "bytes": shared.remove(name)})
        if model_folders.stored_default() == name:
            model_folders.store_default(None)
            console.note(f"note: '{name}' was the default model; now it is the built-in one again")

"""``clipsonic download``: get, list, verify and remove published weights and shared models."""

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer

from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console, complain
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.store.manifest import ASSETS, Asset, find, needed_for, purposes
from clipsonic_cli.text import printable
from clipsonic_cli.types import Report

AT_ONCE = 4
"""Assets fetched at the same time."""

option = partial(options.option, "Options")

NAMES = typer.Argument(
    metavar="NAME",
    help=f"{', '.join(ASSETS)}; or a model that someone shared: https://..., hf:owner/name, an "
    "archive, a file or a folder.",
    autocompletion=lambda: [*ASSETS, *options.model_names()],
)
PURPOSES = option(
    "--for PURPOSE",
    "What is needed for a mode, for eval or one of its metrics, or for train: "
    f"{', '.join(repr(name) if ' ' in name else name for name in purposes())}.",
    names=[name for name in purposes() if " " not in name],
)
ALL = option("--all", "All published weights of the list.")
LISTING = option("--list", "List weights, and which are here; for models: clipsonic models.")
VERIFY = option("--verify", "Hash what is here again and compare.")
REMOVE = option("--remove", "Delete weights or a model from this machine.")
DRY_RUN = option("--dry-run", "Show what would be fetched; fetch nothing.")
NAME = option("--as NAME", "What to call a shared model.")
YES = option("--yes -y", "Remove a model without asking.")


def download(
    names: Annotated[list[str] | None, NAMES] = None,
    purpose: Annotated[list[str] | None, PURPOSES] = None,
    everything: Annotated[bool, ALL] = False,
    listing: Annotated[bool, LISTING] = False,
    verify: Annotated[bool, VERIFY] = False,
    remove: Annotated[bool, REMOVE] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    name: Annotated[str | None, NAME] = None,
    yes: Annotated[bool, YES] = False,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """Get weights that others published, or a model that someone shared.

    clipsonic download --for pd
    clipsonic download hf:owner/name --as theirs

    Weights go to CLIPSONIC_HOME. CLIPSONIC_MIRROR is tried first, CLIPSONIC_OFFLINE and
    HF_HUB_OFFLINE forbid any connection, HF_TOKEN opens gated repositories of the hub.
    """
    console = Console(quiet=quiet, as_json=as_json)
    flags = {"--list": listing, "--verify": verify, "--remove": remove, "--dry-run": dry_run}
    actions = [flag for flag, value in flags.items() if value]
    if len(actions) > 1:
        raise UsageError(f"{' and '.join(actions)} are given together; use one of them.")

    from clipsonic_cli.cli.download import inventory
    from clipsonic_cli.store import model_folders, shared

    # Tell published weights, own models and shared models apart.
    others = [text for text in names or [] if text not in ASSETS]
    own = [text for text in others if actions and text in model_folders.names()]
    shares = [text for text in others if text not in own and shared.is_source(text)]
    named = [text for text in names or [] if text not in own and text not in shares]
    if strangers := [text for text in named if actions and text not in ASSETS]:
        raise unknown("weights or model", strangers[0], [*ASSETS, *model_folders.names()])
    rows = [find(text) for text in named]
    rows += [row for text in purpose or [] for row in needed_for(text)]
    rows += ASSETS.values() if everything else []
    rows = list(dict.fromkeys(rows))
    nothing = not (names or purpose or everything)
    if shares and actions and not dry_run:
        raise UsageError(f"'{shares[0]}' is none; {actions[0]} takes weights and models by name.")
    if name is not None and len(shares) != 1:
        raise UsageError("--as names one shared model; give one.")
    # Act.
    if listing or (nothing and not actions):
        listed = map(model_folders.find, own)
        inventory.show(console, list(ASSETS.values()) if nothing else rows, list(listed))
        if nothing:
            console.note("To get some: clipsonic download NAME, or --for PURPOSE; see --help.")
            inventory.note_models(console)
    elif verify:
        _verify(console, rows, own, everything=nothing)
    elif remove:
        _remove(console, rows, own, yes=yes)
    elif dry_run:
        inventory.show_plan(console, rows, shares)
    else:
        _install(console, rows)
        for share in shares:
            _install_shared(console, share, name)


def _install(console: Console, rows: Sequence[Asset]) -> None:
    """Fetch assets, several at once; one that fails does not stop the others."""
    if not rows:
        return
    from clipsonic_cli import published
    from clipsonic_cli.store import assets

    # Fetch.
    stop = threading.Event()
    with console.noting_warnings(), console.bars(of_bytes=True) as bars:

        def get(row: Asset) -> None:
            published.install(row, report=_reporting(row, bars, stop))

        try:
            errors = _at_once(get, rows)
        except BaseException:
            stop.set()  # the workers end at their next block; what they have is kept
            raise
    # Print what came of each.
    codes = []
    for row, error in errors.items():
        if error is None:
            folder = assets.folder(row)
            details = {"name": row.name, "path": str(folder)}
            console.result(str(folder), details | (assets.read_receipt(folder) or {}))
        elif isinstance(error, ClipsonicError):
            complain(f"{row.name}: {error}")
            codes.append(error.exit_code)
    for error in errors.values():  # once all results are printed
        if error is not None and not isinstance(error, ClipsonicError):
            raise error
    if codes:
        raise typer.Exit(codes[0])


def _at_once(get: Callable[[Asset], None], rows: Sequence[Asset]) -> dict[Asset, Exception | None]:
    """Get assets, :data:`AT_ONCE` at a time, and return the error of each.

    The threads are daemons: an interrupted command does not wait for a silent server, and a
    download may be killed at any moment anyway.
    """
    waiting: queue.SimpleQueue[Asset] = queue.SimpleQueue()
    errors: dict[Asset, Exception | None] = dict.fromkeys(rows)

    def work() -> None:
        while True:
            try:
                row = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                get(row)
            except _Stopped:
                return
            except Exception as error:
                errors[row] = error

    for row in rows:
        waiting.put(row)
    threads = [threading.Thread(target=work, daemon=True) for _ in rows[:AT_ONCE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


class _Stopped(BaseException):
    """Ends a worker; ``except Exception`` does not catch it."""


def _reporting(row: Asset, report: Report, stop: threading.Event) -> Report:
    """Build a report that names the asset and ends its worker once ``stop`` is set.

    Names of files such as "best.pth" say little. Until the server states the size, it is about that
    of the list.
    """
    count = len(row.files)
    stages = {
        file.name: row.name if count == 1 else f"{row.name} {place}/{count}"
        for place, file in enumerate(row.files, start=1)
    }
    sizes = {file.name: file.bytes or 0 for file in row.files}
    sizes[row.files[0].name] = row.size - sum(sizes.values()) + sizes[row.files[0].name]

    def reporting(name: str, done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped
        report(stages.get(name, f"{row.name} {name}"), done, total or sizes.get(name, 0))

    return reporting


def _install_shared(console: Console, source: str, name: str | None) -> None:
    """Fetch a shared model."""
    from clipsonic_cli.cli.models.describe import describe_model, what_is_missing
    from clipsonic_cli.store import shared

    with console.noting_warnings(), console.bars(of_bytes=True) as bars:
        model = shared.install(source, name=name, report=bars)
    entry = describe_model(model)
    able = entry["modes"]
    console.note(
        f"{entry['title']}, licence {entry['licence']}"
        f"{f': clipsonic generate --model {model.name}' * bool(able)}"
    )
    if not able:
        console.note(what_is_missing(model))
    console.result(str(model.path), entry)


def _verify(
    console: Console, rows: Sequence[Asset], names: Sequence[str], *, everything: bool
) -> None:
    """Hash weights again, read the headers of models, and print every fault."""
    from clipsonic_cli.cli.models.describe import describe_model
    from clipsonic_cli.store import assets, model_folders

    if everything:
        rows = [row for row in ASSETS.values() if assets.state(row) == "here"]
        names = model_folders.names()
    # Find faults.
    faults = {row.name: assets.verify(row) for row in rows}
    headers_only = []
    for name in names:
        model = model_folders.find(name)
        state = describe_model(model)["state"]
        faults[name] = [state] if state.startswith("damaged") else []
        if (receipt := assets.read_receipt(model.path)) is not None:
            faults[name] += assets.changed(model.path, receipt)
        else:
            headers_only.append(name)
    # Print them.
    for name, wrong in faults.items():
        hashed = name not in headers_only
        intact = "intact" if hashed else "headers are intact; no digests are recorded"
        line = printable(f"{name}: {'; '.join(wrong) or intact}")
        console.result(line, {"name": name, "faults": wrong, "hashed": hashed})
    if any(faults.values()):
        raise typer.Exit(1)


def _remove(console: Console, rows: Sequence[Asset], names: Sequence[str], *, yes: bool) -> None:
    """Delete weights, and models once that is confirmed."""
    from clipsonic_cli.cli.models.command import remove
    from clipsonic_cli.store import assets

    if not rows and not names:
        raise UsageError("Nothing to remove. Name weights or a model; see clipsonic download.")
    remove(console, names, yes=yes)
    for row in rows:
        console.result(row.name, {"name": row.name, "bytes": assets.remove(row)})

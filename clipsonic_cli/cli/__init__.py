"""The command line, in Typer and Rich: one folder per command.

``main`` is the console script; ``run`` does the same for a list of arguments and returns the exit
code: 0 done, 1 failed, 2 usage, 3 weights missing, 130 interrupted.
"""

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from clipsonic_cli.cli import environment, options, parsing, signals
from clipsonic_cli.cli.console import complain, name_options
from clipsonic_cli.cli.download.command import download
from clipsonic_cli.cli.eval.command import evaluate
from clipsonic_cli.cli.generate.command import generate
from clipsonic_cli.cli.info.command import info
from clipsonic_cli.cli.models.command import models
from clipsonic_cli.cli.train.command import train
from clipsonic_cli.device import keep_memory
from clipsonic_cli.errors import ClipsonicError

try:
    from typer._click.exceptions import ClickException  # Typer has a copy of Click since 0.29
except ImportError:
    from click import ClickException  # type: ignore[assignment]

INTERRUPTED = 130

REMEDIES = {
    errno.ENOSPC: " Free some space there, or choose another folder.",
    errno.EDQUOT: " Free some space there, or choose another folder.",
    errno.EMFILE: " Allow this process more open files (ulimit -n).",
    errno.ENAMETOOLONG: " Choose a shorter name.",
}
"""What to do about an error of the operating system, by its number."""

app = typer.Typer(
    name="clipsonic",
    cls=parsing.Program,
    rich_markup_mode="rich",  # the default of newer versions of Typer
    help="Sound from text or an image, learned from unlabeled videos alone (CLIPSonic).\n\n"
    'clipsonic generate "a photo of violin"\n'
    "clipsonic generate --image cat.jpg\n"
    "clipsonic train --data ./videos\n"
    "clipsonic info mini",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (generate, train, evaluate, info, models, download):
    name = "eval" if command is evaluate else command.__name__
    app.command(name, cls=parsing.Command)(command)


def _version(value: bool) -> None:
    """Print the version and what it runs on, and exit."""
    if value:
        typer.echo(environment.describe())
        raise typer.Exit


@app.callback()
def _clipsonic(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, options.DEBUG] = False,
) -> None:
    """Hold the options before the command."""


def run(arguments: Sequence[str]) -> int:
    """Run a command by the arguments that follow the program's name, and return its exit code.

    An error becomes one line on standard error.
    """
    debugging = "--debug" in arguments or os.environ.get("CLIPSONIC_DEBUG", "0") not in ("", "0")
    if debugging:
        typer.echo(environment.describe(), err=True)
    with signals.interruptible():
        try:
            code = app(list(arguments) or ["--help"], prog_name="clipsonic", standalone_mode=False)
        except Exception as error:
            if signals.was_interrupted() or isinstance(error, typer.Abort):
                code = INTERRUPTED
            elif debugging:
                if isinstance(error, ClipsonicError):
                    error.args = (name_options(str(error), _options_of(arguments)),)
                raise
            else:
                return _explain(error, _options_of(arguments))
        if code == INTERRUPTED:  # which newer versions of Typer return
            complain("Interrupted. What was finished is kept, nothing is half written.")
        return code if isinstance(code, int) else 0


def main() -> None:
    """Run the console script ``clipsonic``."""
    # Threads that spin while they wait slow a forward tenfold where anything else is running.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_memory()
    # Prompts are of any script whatever the locale; a path may hold bytes that are not UTF-8.
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    sys.exit(run(sys.argv[1:]))


def _options_of(arguments: Sequence[str]) -> dict[str, str]:
    """Return the options of the command that arguments call, by setting."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = next((argument for argument in arguments if argument in commands), None)
    return {} if name is None else options.spellings(commands[name])


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; torch raises its own class on a GPU, RuntimeError on a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = ("can't allocate memory", "DefaultCPUAllocator")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _explain(error: Exception, options: Mapping[str, str]) -> int:
    """Print an error as one line and return its exit code."""
    if isinstance(error, ClipsonicError):
        complain(name_options(str(error), options))
        return error.exit_code
    if isinstance(error, ClickException):
        complain(error.format_message())
        return error.exit_code
    if _is_out_of_memory(error):
        complain("Out of memory. Ask for fewer seconds, a smaller batch or model, or --device cpu.")
    elif isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror}{where}.{REMEDIES.get(error.errno, '')}")
    else:
        complain(
            f"{type(error).__name__}: {error}. This is a bug in clipsonic; please open an issue in "
            "its repository with what the same command prints with --debug."
        )
    return 1

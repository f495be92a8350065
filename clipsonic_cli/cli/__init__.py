"""The only room that talks to people: Typer and Rich, one file a command.

``main`` is the console script; ``run`` is the same for a given list of arguments and gives the
exit code: 0 done, 1 failed, 2 usage, 3 weights missing, 130 interrupted.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from clipsonic_cli import __version__
from clipsonic_cli.cli.console import complain
from clipsonic_cli.cli.download.command import download
from clipsonic_cli.cli.eval.command import evaluate
from clipsonic_cli.cli.eval.options import WordsCommand
from clipsonic_cli.cli.generate.command import generate
from clipsonic_cli.cli.options import Debug
from clipsonic_cli.cli.train.command import train
from clipsonic_cli.device import keep_memory
from clipsonic_cli.errors import ClipsonicError

INTERRUPTED = 130
STOPPED = "Interrupted. What was finished is kept, nothing is half written."

REMEDIES = {
    errno.ENOSPC: " Free some space there, or choose another folder.",
    errno.EDQUOT: " Free some space there, or choose another folder.",
    errno.EMFILE: " Allow this process more open files (ulimit -n).",
    errno.ENAMETOOLONG: " Choose a shorter name.",
}
"""What to do about an error of the system that nothing below foresaw, by its number."""

# Typer carries Click along under a private name since 0.29 and depends on it before; the class
# above its own usage errors is Click's either way.
ClickException = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="clipsonic",
    help="Text or a picture into sound, learned from unlabeled videos alone (CLIPSonic).",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate)
app.command("train")(train)
app.command("eval", cls=WordsCommand)(evaluate)
app.command("download")(download)


def _version(asked: bool) -> None:
    """Prints the version and ends."""
    if asked:
        typer.echo(f"clipsonic {__version__}")
        raise typer.Exit


@app.callback()
def _clipsonic(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Holds the options before the command."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command and gives its exit code; errors become one line on standard error.

    Args:
        arguments: What follows the program's name.
    """
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="clipsonic", standalone_mode=False)
    except Exception as error:
        if _interrupted.is_set():
            complain(STOPPED)
            return INTERRUPTED
        if _debugging(arguments):
            raise
        return _explain(error)
    if code == INTERRUPTED:  # Typer's answer to Ctrl-C
        complain(STOPPED)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script ``clipsonic``."""
    # Threads that spin while they wait slow a forward tenfold where anything else is running.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_memory()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell has it for the background
            signal.signal(number, _interrupt)
    # Prompts are of any script whatever the locale; a path may hold bytes that are no UTF-8.
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    sys.exit(run(sys.argv[1:]))


_interrupted = threading.Event()
"""Set once a signal came, which a package that is being imported may take for its own failure."""


def _interrupt(*_: object) -> None:
    """End the command, which leaves nothing half written."""
    _interrupted.set()
    raise KeyboardInterrupt


def _debugging(arguments: Sequence[str]) -> bool:
    """Says whether tracebacks are asked for."""
    return "--debug" in arguments or os.environ.get("CLIPSONIC_DEBUG", "0") not in ("", "0")


def _is_out_of_memory(error: Exception) -> bool:
    """Tells torch's errors too: a class of its own on a GPU, a plain RuntimeError on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = ("can't allocate memory", "DefaultCPUAllocator")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _explain(error: Exception) -> int:
    """Says an error in one line and gives its exit code."""
    if isinstance(error, typer.Abort):  # the answer of older Typers
        complain(STOPPED)
        return INTERRUPTED
    if isinstance(error, ClipsonicError):
        complain(str(error))
        return error.exit_code
    if isinstance(error, ClickException):
        complain(error.format_message())  # type: ignore[attr-defined]
        return error.exit_code  # type: ignore[attr-defined,no-any-return]
    if _is_out_of_memory(error):
        complain("Out of memory. Ask for fewer seconds, a smaller model or --device cpu.")
        return 1
    if isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror}{where}.{REMEDIES.get(error.errno, '')}")
        return 1
    complain(f"{type(error).__name__}: {error}. This is a fault of clipsonic; see --debug.")
    return 1

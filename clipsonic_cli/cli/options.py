"""How an option is declared, and the options that several commands share."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import typer

from clipsonic_cli.config import DEFAULT_SAMPLER, DEFAULT_STEPS, DEVICES, DTYPES, PAPER_SAMPLING
from clipsonic_cli.data import READERS
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.modes import DEFAULT_MODE, MODES
from clipsonic_cli.registry import unknown

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"sampler": DEFAULT_SAMPLER, "steps": DEFAULT_STEPS[DEFAULT_SAMPLER]},
    "fast": {"sampler": DEFAULT_SAMPLER, "steps": 6},
    "instant": {"sampler": "ddim"},
    "paper": {name: PAPER_SAMPLING[name] for name in ("sampler", "steps")},
}
"""Recipe fields of ``generate --preset``; those of a student are in its file."""
PRESET_HELP = "; ".join(
    f"{name}: {row['sampler']} in {row['steps']} steps"
    if "steps" in row
    else f"{name}: the model's student, in the few steps it was trained for"
    for name, row in PRESETS.items()
)


def option(
    panel: str,
    usage: str,
    text: str,
    parser: Callable[[Any], Any] | None = None,
    *,
    names: Collection[str] | Callable[[], Collection[str]] = (),
    only: Collection[str] = (),
) -> Any:
    """Declare an option, for ``Annotated``.

    Args:
        panel: Title of its group in the help of a command.
        usage: Its spellings and what stands for its value, such as "--steps N".
        text: Its help.
        parser: Reads the value.
        names: Values that the shell completes, or what returns them.
        only: All values that are allowed.
    """
    words = usage.split()
    spellings = [word for word in words if word.startswith("-")]
    last = " ".join(words[len(spellings) :])

    def parse_name(name: str) -> str:
        if name not in only:
            kind = spellings[0].lstrip("-") if last == "NAME" else last.lower()
            raise unknown(kind, name, list(only))
        return name

    return typer.Option(
        *spellings,
        metavar=last,
        help=text,
        parser=parse_name if only else parser,
        autocompletion=completing(only or names),
        rich_help_panel=panel,
    )


def preset_fields(preset: str, model: str | None) -> dict[str, Any]:
    """Return the recipe fields of a preset for a model; None is the default model.

    Raises:
        MissingWeights: The preset is for a student, and the model has none.
    """
    if preset != "instant":
        return {"student": False} | PRESETS[preset]
    from clipsonic_cli.store import model_folders  # only here: it takes a while
    from clipsonic_cli.store.student import student_sampling

    return student_sampling(model_folders.find(model or model_folders.default()[0]))


def completing(
    names: Collection[str] | Callable[[], Collection[str]],
) -> Callable[[], list[str]] | None:
    """Return what completes a word to one of the names; None if there are none."""
    if callable(names):
        return lambda: list(names())
    return (lambda: list(names)) if names else None


def model_names() -> list[str]:
    """Return the names of the models on this machine."""
    from clipsonic_cli.store import model_folders

    return model_folders.names()


def number(text: str | float) -> float:
    """Parse a number of any range."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a number.") from None


def whole(text: str | int) -> int:
    """Parse a whole number of any range."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a whole number.") from None


def not_none(**choices: Any) -> dict[str, Any]:
    """Return the choices that were made, those that are not None."""
    return {name: value for name, value in choices.items() if value is not None}


def spellings(command: Any) -> dict[str, str]:
    """Return the longest spelling of each option of a Click command, by parameter."""
    options = [param for param in command.params if param.param_type_name == "option"]
    return {option.name: max(option.opts, key=len) for option in options}


def on_command_line(ctx: typer.Context) -> set[str]:
    """Return the parameters that were given on the command line."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


# One builder of options for each group in the help.
query = partial(option, "Query")
sampling = partial(option, "Sampling")
data = partial(option, "Data")
output = partial(option, "Output")
run = partial(option, "Run")

MODE = sampling(
    "--mode -m MODE",
    "How the query reaches the U-Net:\n\n"
    + "\n\n".join(f"{mode.name}: {mode.title} ({mode.query})" for mode in MODES.values())
    + f"\n\nDefault: for text what fits the model's frames best, else {DEFAULT_MODE['text']}; "
    f"{DEFAULT_MODE['image']} for images.",
    names=MODES,
)
GUIDANCE_RULE = sampling(
    "--guidance-rule NAME",
    "How w depends on the noise: constant; interval: w at a range of noise levels, else 1, which "
    "is faster; rising: from 1 to 2 w - 1; apg: projected and limited. Default: constant.",
    names=GUIDANCE_RULES,
)
SAMPLER = sampling(
    "--sampler NAME", f"{', '.join(SAMPLERS)}. Default: {DEFAULT_SAMPLER}.", names=SAMPLERS
)
STEPS = sampling(
    "--steps N",
    "Sampling steps, 1 to 4000. Default: "
    f"{', '.join(f'{DEFAULT_STEPS[name]} for {name}' for name in SAMPLERS)}.",
    whole,
)
VOCODER = sampling(
    "--vocoder NAME",
    f"{', '.join(VOCODERS)}. Default: what the model names, as it scored better when it was made; "
    "griffin-lim if nothing was compared.",
    names=VOCODERS,
)
DATA_FORMAT = data(
    "--data-format NAME",
    f"Layout of the data: {', '.join(READERS)}. Default: detected.",
    names=READERS,
)
WORKERS = data("--workers N", "Processes that decode. Default: one per core.", whole)
MODEL = run(
    "--model NAME",
    "Name or folder of a model. Default: CLIPSONIC_MODEL, else what 'clipsonic models default' "
    "set, else mini, the built-in one.",
    names=model_names,
)
DEVICE = run("--device NAME", f"{', '.join(DEVICES)}. Default: auto.", names=DEVICES)
DTYPE = run(
    "--dtype NAME",
    f"Precision of the U-Net: {', '.join(DTYPES)}. Default: auto, bfloat16 where that is fast.",
    names=DTYPES,
)
QUIET = run("--quiet -q", "Print only results and errors.")
JSON = run("--json", "Print one JSON object per line.")
DEBUG = run("--debug", "Show the traceback of an error; also CLIPSONIC_DEBUG=1.")

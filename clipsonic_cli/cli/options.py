"""How an option is declared, and the options that several commands share."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from clipsonic_cli.config import DEFAULT_STEPS, DEVICES, DTYPES, PAPER_SAMPLING
from clipsonic_cli.data import READERS
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.modes import DEFAULT_MODE, IMAGE_SUFFIXES, MODES
from clipsonic_cli.registry import near, unknown

try:
    # Typer has a copy of Click since 0.29.
    from typer._click.exceptions import NoSuchOption
    from typer._click.exceptions import UsageError as ClickUsageError
except ImportError:
    from click import NoSuchOption  # type: ignore[assignment]
    from click import UsageError as ClickUsageError  # type: ignore[assignment]

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"sampler": "dpmpp", "steps": DEFAULT_STEPS["dpmpp"]},
    "fast": {"sampler": "dpmpp", "steps": 8},
    "paper": {name: PAPER_SAMPLING[name] for name in ("sampler", "steps")},
}
"""Recipe fields of ``generate --preset``."""

OLD_NAMES = {
    "generate": {"--variations": "--count", "--guidance-scale": "--guidance"},
    "train": {"--out": "--output", "--format": "--data-format", "--license": "--licence"},
    "eval": {"--out": "--output", "--format": "--data-format"},
}
"""Former and other names of a command's options, which no help shows."""

MEANT = {
    "--seconds": "--duration --length --time -d -l",
    "--rate": "--sample-rate --sampling-rate --samplerate --sr",
    "--guidance": "--cfg --cfg-scale --scale --strength",
    "--count": "--num --number --num-samples --samples --variants -N",
    "--output": "--outdir --out-dir --folder --dir --save",
    "--image": "--img --picture --photo --pic --images -i",
    "--negative": "--neg --not --without",
    "--file": "--list --prompts --prompt-file --input --csv",
    "--steps": "--num-steps --num-inference-steps --iterations",
    "--sampler": "--scheduler --solver",
    "--overwrite": "--force --replace -y",
    "--bits": "--bit-depth --depth --subtype",
    "--normalize": "--normalise --loudness --lufs",
    "--spectrogram": "--plot --mel",
    "--format": "--ext --extension --type",
    "--cond-cosine": "--cond-noise",
    "--device": "--gpu --cuda --cpu",
    "--seed": "--random-seed",
    "--data": "--dataset --input",
    "PROMPT": "--text --prompt --query --caption -p -t",
}
"""Options, and what other programs call them; not ours, so that an error asks."""

EXTRA = re.compile(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
"""Click's message for words that belong to nothing."""
SEVERAL = "clipsonic.several"
"""Key of a context for the option of several words that the last word belongs to."""


class _Parsing:
    """What all commands and the program itself have in common."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options and arguments, whose help shows no type of Python, such as "<bool>"."""
        params = list(super().get_params(ctx))  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument" or param.is_flag:
                param.display_type_rich = lambda ctx: None  # noqa: ARG005
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; an unknown option is an error that names the nearest, or all."""
        if args[:1] == ["help"] and len(args) <= 1 + isinstance(self, TyperGroup):
            args = [*args[1:], "--help"]
        try:
            remaining: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except NoSuchOption as error:
            params = self.get_params(ctx)
            known = sorted(name for p in params for name in (*p.opts, *p.secondary_opts))
            known += [p.metavar for p in params if p.param_type_name == "argument"]
            raise _unknown_option(ctx.command_path, error.option_name, known) from None
        return remaining


def _unknown_option(command: str, name: str, known: Sequence[str]) -> UsageError:
    """Return the error for an unknown option: the one that is meant, or all those there are."""
    meant = [option for option, names in MEANT.items() if name in names.split()]
    nearest = next((option for option in meant if option in known), None)
    if nearest == "PROMPT":
        hint = f"give the text without it: {command} 'a photo of violin'"
        return UsageError(f"Unknown option '{name}'; {hint}.")
    options = [option for option in known if option.startswith("--")]
    if nearest is None and name.startswith("--"):  # one letter is like many
        bare = [option.removeprefix("--") for option in options]
        if found := near(name.removeprefix("--"), bare):
            nearest = f"--{found}"
    if nearest is None:
        return unknown("option", name, options)
    return UsageError(f"Unknown option '{name}'. Did you mean '{nearest}'? See {command} --help.")


class Program(_Parsing, TyperGroup):
    """The program: an unknown command is an error that lists those there are."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, in one panel of the help."""
        params = super().get_params(ctx)
        for param in params:
            param.rich_help_panel = None
        return params

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called."""
        name, known = args[0], list(self.commands)
        if name not in known and not ctx.resilient_parsing:
            if name in ("list", "remove", "default"):
                meant = f"clipsonic models {name}"
                raise UsageError(f"Unknown command '{name}'. Did you mean: {meant}?")
            if near(name, known) and " " not in name:
                raise unknown("command", name, known)
            image = "--image " * name.lower().endswith(IMAGE_SUFFIXES)
            raise UsageError(
                f"Unknown command '{name}'. Known: {', '.join(known)}. For a sound of it: "
                f'clipsonic generate {image}"{name}".'
            )
        return super().resolve_command(ctx, args)


class Command(_Parsing, TyperCommand):
    """A command that knows old names, and whose options may take several words.

    ``--metrics fad clap``: Click has options of one word that may be repeated; each word becomes
    one of those, unless the command has arguments, which words without an option are.
    """

    def __init__(self, name: str | None, *, help: str = "", **settings: Any) -> None:  # noqa: A002
        # Typer keeps line breaks in all but the first paragraph; examples alone need them.
        paragraphs = [
            part if part.startswith("clipsonic ") else " ".join(part.split())
            for part in help.split("\n\n")
        ]
        super().__init__(name, help="\n\n".join(paragraphs), **settings)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options and arguments; --help is in the help's last panel."""
        params = super().get_params(ctx)
        for param in params:
            if param.name == "help":
                param.rich_help_panel = "Run"
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; defaults and what undoes a flag are in texts, as columns need space."""
        options: list[Any] = [param for param in self.params if param.param_type_name == "option"]
        for param in options:
            more = [f"Opposite: {name}." for name in param.secondary_opts]
            if param.show_default and param.default not in (None, False):
                more.append(f"Default: {str(param.default).removesuffix('.0')}.")
            param.help, param.secondary_opts = " ".join([param.help, *more]), []
            param.show_default = False
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        args = renamed(args, OLD_NAMES.get(self.name or "", {}))
        if not any(param.param_type_name == "argument" for param in self.params):
            several = {n: p for p in self.params if getattr(p, "multiple", False) for n in p.opts}
            args = repeated(args, several)
            ctx.meta[SEVERAL] = several.get(args[-2]) if len(args) > 1 else None
        try:
            return super().parse_args(ctx, args)
        except ClickUsageError as error:
            if (extra := EXTRA.search(error.format_message())) is None:
                raise
            word = shlex.quote(extra[1].split()[0])
            data = any(param.name == "data" for param in self.params)
            hint = f" Did you mean --data {word}?" if data else ""
            raise UsageError(
                f"{word} belongs to no option; clipsonic {self.name} takes options alone.{hint} "
                f"See clipsonic {self.name} --help."
            ) from None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what completes a word: one more value of an option of several, or an option."""
        param = ctx.meta.get(SEVERAL)
        if param is None or incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return param.shell_complete(ctx, incomplete)


def renamed(args: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Replace old names of options, up to "--"."""
    end = list(args).index("--") if "--" in args else len(args)
    split = [(*arg.partition("="),) for arg in args[:end]]
    return ["".join((names.get(name, name), *rest)) for name, *rest in split] + list(args[end:])


def repeated(args: Sequence[str], several: Collection[str]) -> list[str]:
    """Repeat an option before each of the words that follow it, if it may take several."""
    expanded: list[str] = []
    option, words = None, 0
    for word in args:
        if word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=")
            option, words = (name if name in several else None), int(bool(equals))
            expanded.append(word)
            continue
        if option is not None and words:
            expanded.append(option)
        expanded.append(word)
        words += 1
    return expanded


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
SAMPLER = sampling("--sampler NAME", f"{', '.join(SAMPLERS)}. Default: dpmpp.", names=SAMPLERS)
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
    "--dtype NAME", f"Precision of the U-Net: {', '.join(DTYPES)}. Default: auto.", names=DTYPES
)
QUIET = run("--quiet -q", "Print only results and errors.")
JSON = run("--json", "Print one JSON object per line.")
DEBUG = run("--debug", "Show the traceback of an error; also CLIPSONIC_DEBUG=1.")

"""How a command line is parsed: commands, old names, options of several words, and errors."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import IMAGE_SUFFIXES
from clipsonic_cli.registry import near, unknown

try:
    # Typer has a copy of Click since 0.29.
    from typer._click.exceptions import NoSuchOption
    from typer._click.exceptions import UsageError as ClickUsageError
except ImportError:
    from click import NoSuchOption  # type: ignore[assignment]
    from click import UsageError as ClickUsageError  # type: ignore[assignment]

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

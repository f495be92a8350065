"""The options of ``clipsonic eval``, their help, and how one takes several words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from clipsonic_cli import types
from clipsonic_cli.cli.options import DATA, HOW, OUTPUT, number, whole
from clipsonic_cli.config import PAPER_CLIP_SECONDS, PAPER_SAMPLING, PRESETS
from clipsonic_cli.metrics import BACKBONES, METRICS
from clipsonic_cli.modes import MODES

SPLITS = get_args(types.Split)
TABLES, FIGURES = (1, 2, 5), (3,)
WHAT, MODEL, LISTENING = "What is scored", "A model's sounds", "Listening test"


class WordsCommand(TyperCommand):
    """A command whose options may take several words: ``--metrics fad clap``.

    Click knows options of one word that are repeated; each word here becomes one of those. Such a
    command has no arguments of its own.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the command line."""
        several = {name for p in self.params if getattr(p, "multiple", False) for name in p.opts}
        rest: list[str] = super().parse_args(ctx, repeated(args, several))
        return rest


def repeated(args: Sequence[str], several: set[str]) -> list[str]:
    """Repeats an option before each of the words that follow it.

    Args:
        args: A command line.
        several: Options that may take several words.
    """
    told: list[str] = []
    option, words = None, 0
    for word in args:
        if word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=")
            option, words = (name if name in several else None), int(bool(equals))
            told.append(word)
            continue
        if option is not None and words:
            told.append(option)
        told.append(word)
        words += 1
    return told


Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="NAME...",
        help=f"{', '.join(METRICS)}; 'fad:clap' says who hears: {', '.join(BACKBONES)}. Default: "
        "fad clap, by the paper's networks where they are downloaded, else by the one inside.",
        autocompletion=lambda: list(METRICS),
        rich_help_panel=WHAT,
    ),
]
Generated = Annotated[
    list[Path] | None,
    typer.Option(
        "--generated",
        metavar="DIR...",
        help="Folders of sounds, a system each, instead of a model.",
        rich_help_panel=WHAT,
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="DIR|NPZ",
        help="True sounds, or their statistics. Default: those of --data.",
        rich_help_panel=WHAT,
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="LIST",
        help="What each sound was to be: csv, tsv, json or jsonl with columns file and prompt. "
        "Default: the recipe inside each file, or its name.",
        rich_help_panel=WHAT,
    ),
]
Pictures = Annotated[
    list[Path] | None,
    typer.Option(
        "--pictures",
        metavar="FOLDER...",
        help="Folders of pictures that recipes inside the sounds may name. Pictures elsewhere are "
        "not read, as a recipe may be from anybody.",
        rich_help_panel=WHAT,
    ),
]
SaveStats = Annotated[
    Path | None,
    typer.Option(
        "--save-stats",
        metavar="NPZ",
        help="Keep the true sounds' statistics, for --reference.",
        rich_help_panel=WHAT,
    ),
]
TableNumber = Annotated[
    int | None,
    typer.Option(
        "--table",
        metavar="N",
        parser=whole,
        help=f"A table of the paper: {', '.join(map(str, TABLES))}, its own numbers beside.",
        rich_help_panel=WHAT,
    ),
]
FigureNumber = Annotated[
    int | None,
    typer.Option(
        "--figure",
        metavar="N",
        parser=whole,
        help="Figure 3 of the paper, scores over w, as SVG and PNG.",
        rich_help_panel=WHAT,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        metavar="PATH",
        help="Clips to ask the model with, and their sounds to compare with. Default: common "
        "sounds in words, those of mini compared with statistics of its own test clips.",
        rich_help_panel=DATA,
    ),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help=f"{', '.join(SPLITS)}.",
        autocompletion=lambda: list(SPLITS),
        rich_help_panel=DATA,
    ),
]
SplitSeed = Annotated[
    int,
    typer.Option(
        "--split-seed",
        metavar="N",
        parser=whole,
        help="The --seed of the training, which split data that state no split.",
        rich_help_panel=DATA,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count",
        "-n",
        metavar="N",
        parser=whole,
        help="Sounds of each system. Default: 512, as in the paper; 16 without --data.",
        rich_help_panel=MODEL,
    ),
]
Modes = Annotated[
    list[str] | None,
    typer.Option(
        "--modes",
        "--mode",
        "-m",
        metavar="MODE...",
        help=f"{', '.join(MODES)}. Default: all the model has; pd without --data.",
        autocompletion=lambda: list(MODES),
        rich_help_panel=MODEL,
    ),
]
Guidance = Annotated[
    list[float] | None,
    typer.Option(
        "--guidance",
        "-w",
        metavar="W...",
        parser=number,
        help="The paper's w. Default: 1.5.",
        rich_help_panel=MODEL,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="default: what is quick; paper: its sampling, {sampler} in {steps} steps, {dtype}, "
        "sounds of {seconds:g} s, ".format(**PAPER_SAMPLING)
        + f"clips of {PAPER_CLIP_SECONDS:g} s. Options given come first.",
        autocompletion=lambda: list(PRESETS),
        rich_help_panel=HOW,
    ),
]
ClipSeconds = Annotated[
    float | None,
    typer.Option(
        "--clip-seconds",
        metavar="S",
        parser=number,
        help="Length of the clips' own sounds, from their middle. Default: --seconds; 10 with "
        "--table 5 or --preset paper.",
        rich_help_panel=DATA,
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        "--seconds",
        "-s",
        metavar="S",
        parser=number,
        help="Length of the sounds that are made.",
        rich_help_panel=HOW,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        parser=whole,
        help="Of everything drawn: the clips, the noise, the intervals.",
        rich_help_panel=HOW,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Reports and sounds; sounds there are used again. Default: eval/NAME.",
        rich_help_panel=OUTPUT,
    ),
]
ListeningTest = Annotated[
    Path | None,
    typer.Option(
        "--listening-test",
        metavar="DIR",
        help="Write a page on which people rate the sounds without knowing whose they are.",
        rich_help_panel=LISTENING,
    ),
]
Trials = Annotated[
    int,
    typer.Option(
        "--trials",
        metavar="N",
        parser=whole,
        help="Sounds of each system on the page, of the same queries.",
        rich_help_panel=LISTENING,
    ),
]
Ratings = Annotated[
    list[Path] | None,
    typer.Option(
        "--ratings",
        metavar="FILE...",
        help="Files that raters sent back: mean opinion scores, as in tables 3 and 4.",
        rich_help_panel=LISTENING,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="The key.json written beside the page.",
        rich_help_panel=LISTENING,
    ),
]

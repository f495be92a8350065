"""The options of ``clipsonic generate``, and their help."""

from pathlib import Path
from typing import Annotated

import typer

from clipsonic_cli.cli.generate import inputs, outputs
from clipsonic_cli.cli.options import HOW, OUTPUT, PRESET_HELP, QUERY, number, whole
from clipsonic_cli.ranges import RECIPE

Prompts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT",
        help='Words, such as "a photo of violin"; "-" reads one a line from standard input.',
        show_default=False,
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        "-i",
        metavar="FILE",
        help="A picture instead of words; several may follow.",
        rich_help_panel=QUERY,
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="Many at once: txt with a prompt a line; csv, tsv, json or jsonl with text, prompt or "
        "image, and "
        f"{', '.join(inputs.COLUMNS)} to replace the options. '-' is standard input.",
        rich_help_panel=QUERY,
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        "--like",
        metavar="FILE",
        help="Make a sound again by the recipe in its file, and in its format; options replace "
        "its choices.",
        rich_help_panel=QUERY,
    ),
]
Negative = Annotated[
    str | None,
    typer.Option(
        "--negative",
        metavar="TEXT|FILE",
        help="Words or a picture to steer away from.",
        rich_help_panel=QUERY,
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        "-w",
        metavar="W",
        parser=number,
        help="The paper's w: 0 ignores the query, 1 follows it, more insists. Default: 1.5.",
        rich_help_panel=HOW,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help=PRESET_HELP, rich_help_panel=HOW),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        "-s",
        metavar="S",
        parser=number,
        help=f"Length of each sound, {RECIPE['seconds'].allowed}, exact to the sample. Default: 4.",
        rich_help_panel=HOW,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        parser=whole,
        help="Same seed, same sound. Default: drawn, and shown.",
        rich_help_panel=HOW,
    ),
]
Variations = Annotated[
    int,
    typer.Option(
        "--variations",
        "-n",
        metavar="N",
        parser=whole,
        help="Sounds of each query; their seeds count up.",
        rich_help_panel=HOW,
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(
        "--keep",
        metavar="K",
        parser=whole,
        help="Of the variations, write only the K that fit the words best: heard by CLAP where it "
        "was downloaded (which has learned from texts with sounds), else by the small network "
        "inside. Default: all, unheard.",
        rich_help_panel=HOW,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file, a folder (a new one with a slash at its end), or a file's name with "
        f"{', '.join(f'{{{name}}}' for name in outputs.FIELDS)} or a column of --file. "
        f"Default: {outputs.DEFAULT_NAME} here.",
        rich_help_panel=OUTPUT,
    ),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"{', '.join(outputs.FORMATS)}, where -o does not say.",
        rich_help_panel=OUTPUT,
    ),
]
Bits = Annotated[
    str | None,
    typer.Option(
        "--bits",
        metavar="BITS",
        help="16, 24 or float (float for wav only, none for ogg). Default: 16.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=OUTPUT),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Leave files that exist, make the rest.",
        rich_help_panel=OUTPUT,
    ),
]

"""The options of ``clipsonic generate``."""

from pathlib import Path
from typing import Annotated

import typer

from clipsonic_cli.cli.generate.outputs import DEFAULT_NAME, FIELDS, FORMATS, SUBTYPES
from clipsonic_cli.cli.generate.requests import COLUMNS
from clipsonic_cli.cli.options import OUTPUT, PRESETS, QUERY, SAMPLING, number, whole
from clipsonic_cli.ranges import RECIPE

PRESET_HELP = "{}.".format(
    "; ".join(f"{name}: {row['sampler']} in {row['steps']} steps" for name, row in PRESETS.items())
)

Prompts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT",
        help='Text such as "a photo of violin"; "-" reads one a line from standard input.',
    ),
]
Images = Annotated[
    list[Path] | None,
    QUERY.option("--image -i FILE", "An image instead of text; several may follow."),
]
File = Annotated[
    Path | None,
    QUERY.option(
        "--file -f FILE",
        "Many queries: txt with a prompt a line; csv, tsv, json or jsonl with text, prompt or "
        f"image, and {', '.join(COLUMNS)} to replace the options. '-' is standard input.",
    ),
]
Like = Annotated[
    Path | None,
    QUERY.option(
        "--like FILE",
        "Repeat a sound by the recipe in its file, in its format; options replace its choices.",
    ),
]
Negative = Annotated[
    str | None, QUERY.option("--negative TEXT|FILE", "Text or image to steer away from.")
]
Guidance = Annotated[
    float | None,
    SAMPLING.option(
        "--guidance -w W",
        "The paper's w: 0 ignores the query, 1 follows it, more insists. Default: 1.5.",
        number,
    ),
]
Preset = Annotated[str | None, SAMPLING.option("--preset NAME", PRESET_HELP, only=PRESETS)]
Seconds = Annotated[
    float | None,
    SAMPLING.option(
        "--seconds -s S",
        f"Length of each sound, {RECIPE['seconds'].allowed}, exact to the sample. Default: 4.",
        number,
    ),
]
Seed = Annotated[
    int | None,
    SAMPLING.option("--seed N", "Same seed, same sound. Default: drawn, and shown.", whole),
]
Variations = Annotated[
    int, SAMPLING.option("--variations -n N", "Sounds per query; their seeds count up.", whole)
]
Keep = Annotated[
    int | None,
    SAMPLING.option(
        "--keep K",
        "Write only the K variations that fit the text best: by CLAP if downloaded (trained on "
        "text and sound), else by the small built-in network. Default: all, unranked.",
        whole,
    ),
]
Output = Annotated[
    str | None,
    OUTPUT.option(
        "--output -o PATH",
        "A file, a folder (a new one with a slash at its end), or a file name with "
        f"{', '.join(f'{{{name}}}' for name in FIELDS)} or a column of --file. "
        f"Default: {DEFAULT_NAME} here.",
    ),
]
Suffix = Annotated[
    str | None,
    OUTPUT.option("--format NAME", "wav, flac or ogg, where -o does not say.", only=FORMATS),
]
Bits = Annotated[
    str | None,
    OUTPUT.option(
        "--bits BITS",
        "16, 24 or float (float: wav only; none for ogg). Default: 16.",
        only=SUBTYPES,
    ),
]
Overwrite = Annotated[bool, OUTPUT.option("--overwrite", "Replace files that exist.")]
SkipExisting = Annotated[
    bool, OUTPUT.option("--skip-existing", "Leave files that exist, make the rest.")
]

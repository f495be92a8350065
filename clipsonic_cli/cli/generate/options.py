"""The options of ``clipsonic generate``."""

import typer

from clipsonic_cli.cli.generate.jobs import RANKINGS
from clipsonic_cli.cli.generate.outputs import DEFAULT_NAME, FIELDS, FORMATS, SUBTYPES
from clipsonic_cli.cli.generate.requests import COLUMNS, FILE_FORMATS
from clipsonic_cli.cli.options import (
    PRESET_HELP,
    PRESETS,
    number,
    output,
    query,
    run,
    sampling,
    whole,
)
from clipsonic_cli.ranges import RECIPE

PROMPTS = typer.Argument(
    metavar="PROMPT",
    help='Text in quotes, such as "a photo of violin"; "-" reads one a line from standard input.',
)
IMAGES = query("--image -i FILE", "An image instead of text; several may follow.")
FILE = query(
    "--file -f FILE",
    "Many queries: txt with a prompt a line ('# ...' is a comment); csv, tsv, json or jsonl with "
    f"text, prompt or image, and {', '.join(COLUMNS)} to replace the options. '-' is standard "
    "input.",
)
FILE_FORMAT = query(
    "--file-format NAME",
    f"{', '.join(FILE_FORMATS)}. Default: what --file ends in; txt for '-'.",
    only=FILE_FORMATS,
)
LIKE = query(
    "--like FILE",
    "Repeat a sound by the recipe in its file, in its format; options replace its choices.",
)
NEGATIVE = query("--negative TEXT|FILE", "Text or image to steer away from.")
GUIDANCE = sampling(
    "--guidance -w W",
    "The paper's w: 0 ignores the query, 1 follows it, more insists. Default: 1.5.",
    number,
)
PRESET = sampling(
    "--preset NAME",
    f"{PRESET_HELP}.",
    only=PRESETS,
)
SECONDS = sampling(
    "--seconds -s S",
    f"Length of each sound, {RECIPE['seconds'].allowed}, exact to the sample. Default: 4.",
    number,
)
SEED = sampling(
    "--seed N",
    "Same seed, same noise: every query starts from it. Default: drawn, another for each sound.",
    whole,
)
COUNT = sampling("--count -n N", "Sounds per query; their seeds count up.", whole)
KEEP = sampling(
    "--keep K",
    "Write only the best K variations of each query. Default: all, unranked.",
    whole,
)
KEEP_BY = sampling(
    "--keep-by NAME",
    "What is best: 'clap', what fits the text, by CLAP if downloaded (trained on text and sound), "
    "else by the small built-in network; 'aes', the highest production quality by Audiobox "
    "Aesthetics, whatever the text or image.",
    only=RANKINGS,
)
OUTPUT = output(
    "--output -o PATH",
    "A file; a folder, with a slash at its end if it is new; '-' for standard output; names may "
    f"have {', '.join(f'{{{name}}}' for name in FIELDS)} or a column of --file. Default: "
    f"{DEFAULT_NAME} here.",
)
SUFFIX = output("--format NAME", "wav, flac or ogg, where -o does not say.", only=FORMATS)
BITS = output(
    "--bits BITS", "16, 24 or float (float: wav only; none for ogg). Default: 16.", only=SUBTYPES
)
OVERWRITE = output("--overwrite", "Replace files that exist.")
SKIP_EXISTING = output("--skip-existing", "Leave files that exist, make the rest.")
PLAY = output("--play", "Play each sound once it is written.")
BATCH_SIZE = run(
    "--batch-size N",
    "Neighbours of equal settings made at once, 1 to 1024; more take more memory. Default: 4, or "
    "as many as are 16 s together.",
    whole,
)
EXACT = run(
    "--exact",
    "Make sounds one by one, each bit for bit as it is alone; at once they differ by rounding.",
)

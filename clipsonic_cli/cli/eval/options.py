"""The options of ``clipsonic eval``."""

from functools import partial
from typing import get_args

from clipsonic_cli import types
from clipsonic_cli.cli.options import (
    PRESET_HELP,
    PRESETS,
    data,
    model_names,
    number,
    option,
    output,
    run,
    sampling,
    whole,
)
from clipsonic_cli.config import PAPER_CLIP_SECONDS, PAPER_SAMPLING
from clipsonic_cli.data import QUERY_SETS
from clipsonic_cli.metrics import BACKBONES, METRICS
from clipsonic_cli.modes import MODES

SPLITS = get_args(types.Split)
TABLES, FIGURES = (1, 2, 5), (3,)
scores = partial(option, "Scores")
model = partial(option, "Sounds of a model")
listening = partial(option, "Listening test")


METRIC_NAMES = scores(
    "--metrics NAME...",
    f"{', '.join(METRICS)}; 'fad:clap' chooses the backbone: {', '.join(BACKBONES)}. Default: "
    "fad clap, with the paper's networks if downloaded, else the built-in one.",
    names=METRICS,
)
GENERATED = scores("--generated DIR...", "Folders of sounds, one per system, instead of a model.")
REFERENCE = scores(
    "--reference DIR|NPZ", "Real sounds, or their statistics. Default: those of --data."
)
PROMPTS = scores(
    "--prompts LIST",
    "The prompt of each sound: csv, tsv, json or jsonl with columns file and prompt. Default: the "
    "recipe in each file, or its name.",
)
PICTURES = scores(
    "--pictures FOLDER...",
    "Folders of images that recipes in the sounds may name. No other image is read, as a recipe "
    "may come from anybody.",
)
SAVE_STATS = scores("--save-stats NPZ", "Save statistics of the real sounds, for --reference.")
TABLE_NUMBER = scores(
    "--table N",
    f"A table of the paper: {', '.join(map(str, TABLES))}, next to the paper's own numbers.",
    whole,
    names=[str(number) for number in TABLES],
)
FIGURE_NUMBER = scores(
    "--figure N",
    "Figure 3 of the paper, scores over w, as SVG and PNG.",
    whole,
    names=[str(number) for number in FIGURES],
)
DATA = data(
    "--data -d PATH",
    "Clips to query the model with, and their sounds to compare with. Default: names of common "
    "sounds; mini is compared with statistics of its own test clips.",
)
QUERIES = data(
    "--queries NAME DIR",
    f"A set of images instead, and the folder where you have it: {', '.join(QUERY_SETS)}. Images "
    "and their classes are the queries; there is no sound to compare with.",
    names=QUERY_SETS,
)
SPLIT = data("--split NAME", f"{', '.join(SPLITS)}.", only=SPLITS)
SPLIT_SEED = data(
    "--split-seed N",
    "The --seed of the training, which split data without a split. Default: the model's own.",
    whole,
)
CLIP_SECONDS = data(
    "--clip-seconds S",
    "Length of the clips' own sounds, from their middle. Default: --seconds; 10 with --table 5 or "
    "--preset paper.",
    number,
)
COUNT = model(
    "--count -n N",
    "Sounds per system. Default: 512, as in the paper; all of --queries; 16 without either.",
    whole,
)
MODE_NAMES = model(
    "--modes --mode -m MODE...",
    f"{', '.join(MODES)}. Default: all that the model has; iq with --queries; pd without data.",
    names=MODES,
)
GUIDANCE = model("--guidance -w W...", "The paper's w. Default: 1.5.", number)
PRESET = sampling(
    "--preset NAME",
    f"{PRESET_HELP}, {PAPER_SAMPLING['dtype']}, clips of {PAPER_CLIP_SECONDS:g} s. Other options "
    "override it.",
    only=PRESETS,
)
SECONDS = sampling("--seconds -s S", "Length of the generated sounds.", number)
SEED = sampling("--seed N", "Seed of everything random: clips, noise, confidence intervals.", whole)
OUTPUT = output(
    "--output -o DIR",
    "Folder of report.html, .json and .csv (table-1.html and so on with --table 1, mos.html with "
    "--ratings), and of the sounds, which are reused. Default: eval/NAME; nowhere with --ratings.",
)
MARKDOWN = output("--markdown", "Print the table in Markdown.")
LATEX = output("--latex", "Print the table in LaTeX, for booktabs.")
DRY_RUN = output("--dry-run", "Count sounds and hours, and say what is missing; make nothing.")
LISTENING_TEST = listening(
    "--listening-test DIR",
    "Write a page on which people rate the sounds without knowing the system, and its key next to "
    "DIR.",
)
TRIALS = listening("--trials N", "Sounds per system on the page, of the same queries.", whole)
RATINGS = listening(
    "--ratings FILE...", "Files that raters sent back: mean opinion scores, as in tables 3 and 4."
)
MODELS = run(
    "--model NAME...",
    "Names or folders of models, for one table of all. Default: mini, the built-in one.",
    names=model_names,
)
KEY = listening("--key FILE", "The key that was written next to the folder of the page.")

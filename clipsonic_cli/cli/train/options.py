"""The options of ``clipsonic train``, with their help."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from clipsonic_cli import types
from clipsonic_cli.cli.options import DATA, HOW, number, whole
from clipsonic_cli.config import PRESETS, UNET_SIZES

STAGES, CONDITIONS = get_args(types.Stage), get_args(types.Space)
PRECISIONS = ("float32", "bfloat16")
DROPPABLE = ("clipped", "still", "damaged")
"""Flaws that drop a clip only when asked to."""

WHAT, BEYOND = "What is trained", "Beyond the paper, off unless asked"

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        metavar="PATH",
        help="A folder of videos, nested or not; or a list, shards, an address. No labels are "
        "needed; a video's folder is its label.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
FrameRate = Annotated[
    float,
    typer.Option(
        "--frame-rate",
        metavar="FPS",
        parser=number,
        help="Frames a second that CLIP sees.",
        rich_help_panel=DATA,
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="FLAW",
        help=f"Drop clips with this flaw too: {', '.join(DROPPABLE)}. Unreadable, silent, "
        "short and duplicate ones always are, and said.",
        rich_help_panel=DATA,
    ),
]
Stage = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar="NAME",
        help="unet: the mel diffusion; prior: text to image vectors, for mode sd; vocoder: "
        "BigVGAN.",
        autocompletion=lambda: list(STAGES),
        rich_help_panel=WHAT,
    ),
]
Condition = Annotated[
    str,
    typer.Option(
        "--condition",
        metavar="NAME",
        help="clip-image: frames, the paper's idea; clip-text and clap-text: labels, for the "
        "modes clip-tta and clap-tta.",
        autocompletion=lambda: list(CONDITIONS),
        rich_help_panel=WHAT,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="default: suits data and machine, and says why; paper: its section 3 and appendix A, "
        "with every departure and its reason in the model card.",
        autocompletion=lambda: list(PRESETS),
        rich_help_panel=WHAT,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="NAME",
        help=f"Of the network: {', '.join(UNET_SIZES)}. Default: the warm start's, or the "
        "preset's.",
        autocompletion=lambda: list(UNET_SIZES),
        rich_help_panel=WHAT,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="NAME",
        help="Model that gives CLIP, prior and what else is not trained; 'published' is "
        "downloaded weights alone. Default: the model itself if it exists; published weights for "
        "the paper's preset, or if downloaded with a GPU; else mini.",
        rich_help_panel=WHAT,
    ),
]
WarmStart = Annotated[
    str | None,
    typer.Option(
        "--warm-start",
        metavar="NAME",
        help="Begin with the weights of a model, such as mini, or with improved-diffusion or "
        "bigvgan-44k. Default: random weights.",
        rich_help_panel=WHAT,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Of the model, for generate --model. Default: the data's.",
        rich_help_panel=WHAT,
    ),
]
Licence = Annotated[
    str,
    typer.Option(
        "--licence",
        metavar="TEXT",
        help="Of the weights, for the model card.",
        rich_help_panel=WHAT,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="The run's folder. Default: runs/NAME, or runs/NAME-prior-sd and so on for parts "
        "other than the U-Net.",
        rich_help_panel=HOW,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="DIR",
        help="Go on with the run in a folder as if it had not stopped: on a CPU, with as many "
        "threads, bit for bit. Options of the loop may change.",
        rich_help_panel=HOW,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        parser=whole,
        help="Optimizer steps in all.",
        rich_help_panel=HOW,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="M",
        parser=number,
        help="End after this much time of training.",
        rich_help_panel=HOW,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        parser=whole,
        help="Clips a step, over all processes.",
        rich_help_panel=HOW,
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        "--micro-batch",
        metavar="N",
        parser=whole,
        help="Most clips at once; gradients add up. Default: what fits into a GPU's memory.",
        rich_help_panel=HOW,
    ),
]
Lr = Annotated[
    float | None,
    typer.Option(
        "--lr",
        metavar="RATE",
        parser=number,
        help="Learning rate.",
        rich_help_panel=HOW,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="float32 or bfloat16; weights stay float32.",
        rich_help_panel=HOW,
    ),
]
Compiled = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the networks first. Default: with CUDA on Linux, except for --preset paper.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        parser=whole,
        help="Of everything random, the split too.",
        rich_help_panel=HOW,
    ),
]
SaveEvery = Annotated[
    int | None,
    typer.Option(
        "--save-every",
        metavar="N",
        parser=whole,
        help="Steps between checkpoints.",
        rich_help_panel=HOW,
    ),
]
ValidateEvery = Annotated[
    int | None,
    typer.Option(
        "--validate-every",
        metavar="N",
        parser=whole,
        help="Steps between looks at held-out clips.",
        rich_help_panel=HOW,
    ),
]
SampleEvery = Annotated[
    int | None,
    typer.Option(
        "--sample-every",
        metavar="N",
        parser=whole,
        help="Steps between samples, made at a checkpoint; 0 makes none.",
        rich_help_panel=HOW,
    ),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        metavar="TEXT|FILE",
        help="Words or a picture to make samples of. Default: some labels and frames.",
        rich_help_panel=HOW,
    ),
]
Tracker = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        metavar="NAME",
        help="tensorboard or wandb, besides metrics.jsonl.",
        rich_help_panel=HOW,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace a part of the model that another run trained.",
        rich_help_panel=HOW,
    ),
]
Window = Annotated[
    int,
    typer.Option(
        "--window",
        metavar="FRAMES",
        parser=whole,
        help="Mel frames a U-Net sees at once; 128 are 4 s.",
        rich_help_panel=BEYOND,
    ),
]
MeanOf = Annotated[
    int,
    typer.Option(
        "--mean-of",
        metavar="N",
        parser=whole,
        help="Neighbouring frames whose vectors are averaged.",
        rich_help_panel=BEYOND,
    ),
]
CondNoise = Annotated[
    float,
    typer.Option(
        "--cond-noise",
        metavar="STD",
        parser=number,
        help="Noise on the condition, against the gap to texts; CapDec's is 0.126.",
        rich_help_panel=BEYOND,
    ),
]
MinSnr = Annotated[
    float | None,
    typer.Option(
        "--min-snr",
        metavar="GAMMA",
        parser=number,
        help="Weigh the loss by min-SNR; its paper's is 5.",
        rich_help_panel=BEYOND,
    ),
]
ZeroSnr = Annotated[
    bool,
    typer.Option(
        "--zero-snr",
        help="v-prediction on a schedule that ends in pure noise.",
        rich_help_panel=BEYOND,
    ),
]
MultiScale = Annotated[
    bool,
    typer.Option(
        "--multi-scale",
        help="The vocoder's mel distance at seven scales, as BigVGAN v2.",
        rich_help_panel=BEYOND,
    ),
]

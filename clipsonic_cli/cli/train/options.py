"""The options of ``clipsonic train``."""

from pathlib import Path
from typing import Annotated, Any, get_args

from clipsonic_cli import types
from clipsonic_cli.cli.options import DATA, RUN, Panel, number, whole
from clipsonic_cli.config import PRESETS, UNET_SIZES

STAGES, SPACES = get_args(types.Stage), get_args(types.Space)
PRECISIONS = ("float32", "bfloat16")
DROPPABLE = ("clipped", "still", "damaged")
"""Flaws that drop a clip only on request."""

MODEL = Panel("Model")
LOOP = Panel("Training")
BEYOND = Panel("Beyond the paper (off by default)")

Data = Annotated[
    str | None,
    DATA.option(
        "--data -d PATH",
        "A folder of videos, nested or not; or a list, shards, an address. Labels are not needed; "
        "a video's folder is its label.",
    ),
]
FrameRate = Annotated[
    float, DATA.option("--frame-rate FPS", "Frames per second that CLIP sees.", number)
]
Drop = Annotated[
    list[Any] | None,  # of data.check.Kind; Typer takes no list of a Literal
    DATA.option(
        "--drop FLAW",
        f"Also drop clips with this flaw: {', '.join(DROPPABLE)}. Unreadable, silent, short and "
        "duplicate clips are always dropped and reported.",
        only=DROPPABLE,
    ),
]
Stage = Annotated[
    types.Stage,
    MODEL.option(
        "--stage NAME",
        "unet: the mel diffusion; prior: text to image embeddings, for mode sd; vocoder: BigVGAN.",
        only=STAGES,
    ),
]
Condition = Annotated[
    types.Space,
    MODEL.option(
        "--condition NAME",
        "clip-image: frames, as in the paper; clip-text and clap-text: labels, for the modes "
        "clip-tta and clap-tta.",
        only=SPACES,
    ),
]
Preset = Annotated[
    str,
    MODEL.option(
        "--preset NAME",
        "default: suits data and machine, and says why; paper: its section 3 and appendix A, every "
        "departure explained in the model card.",
        only=PRESETS,
    ),
]
Size = Annotated[
    str | None,
    MODEL.option(
        "--size NAME",
        f"Size of the network: {', '.join(UNET_SIZES)}. Default: that of the warm start, or of the "
        "preset.",
        names=UNET_SIZES,
    ),
]
Base = Annotated[
    str | None,
    MODEL.option(
        "--base NAME",
        "Model that provides CLIP, the prior and whatever else is not trained; 'published': "
        "downloaded weights alone. Default: the model itself if it exists; published weights for "
        "the paper's preset, or if downloaded with a GPU; else mini.",
    ),
]
WarmStart = Annotated[
    str | None,
    MODEL.option(
        "--warm-start NAME",
        "Start from the weights of a model, such as mini, or from improved-diffusion or "
        "bigvgan-44k. Default: random weights.",
    ),
]
Name = Annotated[
    str | None, MODEL.option("--name NAME", "Name for generate --model. Default: that of the data.")
]
Licence = Annotated[
    str, MODEL.option("--licence TEXT", "Licence of the weights, for the model card.")
]
Out = Annotated[
    Path | None,
    LOOP.option(
        "--out -o DIR",
        "Folder of the run. Default: runs/NAME, or runs/NAME-prior-sd and so on for parts other "
        "than the U-Net.",
    ),
]
Resume = Annotated[
    Path | None,
    LOOP.option(
        "--resume DIR",
        "Continue the run in a folder as if it had never stopped: bit for bit on a CPU with as "
        "many threads. Options of the loop may change.",
    ),
]
Steps = Annotated[int | None, LOOP.option("--steps N", "Optimizer steps in all.", whole)]
Minutes = Annotated[
    float | None, LOOP.option("--minutes M", "Stop after so many minutes of training.", number)
]
BatchSize = Annotated[
    int | None, LOOP.option("--batch-size N", "Clips per step, over all processes.", whole)
]
MicroBatch = Annotated[
    int | None,
    LOOP.option(
        "--micro-batch N",
        "Most clips at once; gradients accumulate. Default: what fits into GPU memory.",
        whole,
    ),
]
Lr = Annotated[float | None, LOOP.option("--lr RATE", "Learning rate.", number)]
Precision = Annotated[
    str | None,
    LOOP.option("--precision NAME", "float32 or bfloat16; weights stay float32.", only=PRECISIONS),
]
Compiled = Annotated[
    bool | None,
    RUN.option(
        "--compile/--no-compile",
        "Compile the networks first. Default: with CUDA on Linux, except for --preset paper.",
    ),
]
Seed = Annotated[
    int, LOOP.option("--seed N", "Seed of everything random, including the split.", whole)
]
SaveEvery = Annotated[
    int | None, LOOP.option("--save-every N", "Steps between checkpoints.", whole)
]
ValidateEvery = Annotated[
    int | None, LOOP.option("--validate-every N", "Steps between validations.", whole)
]
SampleEvery = Annotated[
    int | None,
    LOOP.option("--sample-every N", "Steps between samples, at a checkpoint; 0: none.", whole),
]
Prompts = Annotated[
    list[str] | None,
    LOOP.option("--prompt TEXT|FILE", "Text or image of a sample. Default: labels and frames."),
]
Trackers = Annotated[
    list[str] | None, LOOP.option("--tracker NAME", "tensorboard or wandb, besides metrics.jsonl.")
]
Overwrite = Annotated[
    bool, LOOP.option("--overwrite", "Replace a part of the model that another run trained.")
]
Window = Annotated[
    int, BEYOND.option("--window FRAMES", "Mel frames a U-Net sees at once; 128 are 4 s.", whole)
]
MeanOf = Annotated[
    int, BEYOND.option("--mean-of N", "Neighbouring frames whose embeddings are averaged.", whole)
]
CondNoise = Annotated[
    float,
    BEYOND.option(
        "--cond-noise STD",
        "Noise on the condition, against the gap between images and texts; CapDec uses 0.126.",
        number,
    ),
]
MinSnr = Annotated[
    float | None,
    BEYOND.option("--min-snr GAMMA", "Min-SNR loss weighting; its paper uses 5.", number),
]
ZeroSnr = Annotated[
    bool, BEYOND.option("--zero-snr", "v-prediction on a schedule that ends in pure noise.")
]
MultiScale = Annotated[
    bool, BEYOND.option("--multi-scale", "Mel loss of a vocoder at seven scales, as in BigVGAN v2.")
]

"""The options of ``clipsonic train``."""

from functools import partial
from typing import get_args

from clipsonic_cli import types
from clipsonic_cli.cli.options import data, model_names, number, option, run, whole
from clipsonic_cli.config import PRESETS, STUDENT_CALLS, TRAINED_VOCODERS, UNET_SIZES
from clipsonic_cli.store.manifest import ASSETS

PRECISIONS = ("float32", "bfloat16")
STATISTICS = "statistics"
"""The stage that trains nothing."""
DROPPABLE = ("clipped", "still", "damaged")
"""Flaws that drop a clip only on request."""

model = partial(option, "Model")
loop = partial(option, "Training")
beyond = partial(option, "Beyond the paper (off by default)")

DATA = data(
    "--data -d PATH",
    "A folder of videos, nested or not; or a list, shards, an address. Labels are not needed; a "
    "video's folder is its label.",
)
FRAME_RATE = data("--frame-rate FPS", "Frames per second that CLIP sees.", number)
DROP = data(
    "--drop FLAW",
    f"Also drop clips with this flaw: {', '.join(DROPPABLE)}. Unreadable, silent, short and "
    "duplicate clips are always dropped and reported.",
    only=DROPPABLE,
)
TEST_SHARE = data(
    "--test-share SHARE",
    "Share of the videos kept for eval, drawn by --seed, where the data state none: 0 to 0.9, and "
    "one at least of each label with two. Default: 0.1.",
    number,
)
VALID_SHARE = data(
    "--valid-share SHARE",
    "Share of the rest kept to choose the best weights by, one at least of each label with four. "
    "Default: 0.05; 0 with --preset paper.",
    number,
)
STAGE = model(
    "--stage NAME",
    "unet: the mel diffusion; student: the same in few steps, for generate --preset instant; "
    "prior: text to image embeddings, for mode sd; bridge: what frames are like, for mode db; "
    "vocoder: BigVGAN or Vocos; statistics: of the frames, for the modes ms, ra and rt, in seconds "
    "and as part of unet too.",
    only=(*get_args(types.Stage), STATISTICS),
)
CONDITION = model(
    "--condition NAME",
    "clip-image: frames, as in the paper; clip-text and clap-text: labels, for the modes clip-tta "
    "and clap-tta.",
    only=get_args(types.Space),
)
PRESET = model(
    "--preset NAME",
    "default: suits data and machine, and says why; paper: its section 3 and appendix A, every "
    "departure explained in the model card.",
    only=PRESETS,
)
SIZE = model(
    "--size NAME",
    f"Size of the network: {', '.join(UNET_SIZES)}. Default: that of the warm start, or of the "
    "preset.",
    names=UNET_SIZES,
)
VOCODER = model(
    "--vocoder NAME",
    "What --stage vocoder trains: bigvgan, the paper's and the default; or vocos, which predicts "
    "spectra and takes a fraction of the computation.",
    names=tuple(TRAINED_VOCODERS.values()),
)
CALLS = model(
    "--calls N",
    f"Steps that --stage student learns to make a sound in, a network call each: "
    f"{', '.join(map(str, STUDENT_CALLS))}. Default: 4.",
    whole,
)
BASE = model(
    "--base NAME",
    "Model that provides CLIP, the prior and whatever else is not trained; 'published': downloaded "
    "weights alone. Default: the model itself if it exists; published weights for the paper's "
    "preset, or if downloaded with a GPU; else mini.",
    names=lambda: ["published", *model_names()],
)
WARM_START = model(
    "--warm-start NAME",
    "Start from the weights of a model, such as mini, or from improved-diffusion or bigvgan-44k. "
    "Default: random weights.",
    names=lambda: [*model_names(), *(row.name for row in ASSETS.values() if row.stages)],
)
NAME = model("--name NAME", "Name for generate --model. Default: that of the data.")
LICENCE = model(
    "--licence TEXT",
    "Licence of the weights, for the model card. Default: that of the warm start.",
)
OUTPUT = loop(
    "--output -o DIR",
    "Folder of the run. Default: runs/NAME, or runs/NAME-prior-sd and so on for parts other than "
    "the U-Net.",
)
RESUME = loop(
    "--resume DIR",
    "Continue the run in a folder as if it had never stopped: bit for bit on a CPU with as many "
    "threads. Options of the loop may change.",
)
STEPS = loop("--steps N", "Optimizer steps in all.", whole)
MINUTES = loop(
    "--minutes M",
    "Stop after so many minutes, if --steps do not end before: validation and samples count, "
    "preparing clips does not, nor do the minutes before --resume. The last checkpoint and samples "
    "follow.",
    number,
)
TEXT_SHARE = loop(
    "--text-share SHARE",
    "Share of the time, at the end, for each network that brings texts nearer to frames: a bridge "
    "and, with labels, a small prior. Each is kept if texts fit held-out frames better by it. 0: "
    "none. Default: 0.1; 0 with --preset paper.",
    number,
)
BATCH_SIZE = loop("--batch-size N", "Clips per step, over all processes.", whole)
MICRO_BATCH = loop(
    "--micro-batch N",
    "Most clips at once; gradients accumulate. Default: what fits into GPU memory.",
    whole,
)
LR = loop("--lr RATE", "Learning rate.", number)
PRECISION = loop("--precision NAME", "float32 or bfloat16; weights stay float32.", only=PRECISIONS)
COMPILED = run(
    "--compile/--no-compile",
    "Compile the networks first. Default: with CUDA on Linux, except for --preset paper.",
)
SEED = loop("--seed N", "Seed of everything random, including the split.", whole)
SAVE_EVERY = loop("--save-every N", "Steps between checkpoints.", whole)
VALIDATE_EVERY = loop("--validate-every N", "Steps between validations.", whole)
SAMPLE_EVERY = loop("--sample-every N", "Steps between samples, at a checkpoint; 0: none.", whole)
PROMPTS = loop("--prompt TEXT|FILE", "Text or image of a sample. Default: labels and frames.")
TRACKERS = loop(
    "--tracker NAME",
    "tensorboard or wandb, besides metrics.jsonl.",
    names=("tensorboard", "wandb"),
)
OVERWRITE = loop("--overwrite", "Replace a part of the model that another run trained.")
DRY_RUN = loop(
    "--dry-run",
    "Say what would be done, and take how long and how much space, by the list of the data and a "
    "sample of it; train and keep nothing.",
)
WINDOW = beyond("--window FRAMES", "Mel frames a U-Net sees at once; 128 are 4 s.", whole)
MEAN_OF = beyond("--mean-of N", "Neighbouring frames whose embeddings are averaged.", whole)
CROPS = beyond(
    "--crops N",
    "Random crops of each frame that are embedded too; one of them, or the whole, is drawn each "
    "time. Preparation takes up to 1 + N times as long.",
    whole,
)
COND_COSINE = beyond(
    "--cond-cosine C",
    "Noise on the condition, against the gap between images and texts: as much as leaves it a mean "
    "cosine C with itself, 0.01 to 1. Choose the cosine of texts with frames that train prints at "
    "its end; of mini's it is 0.33 (zs).",
    number,
)
MIN_SNR = beyond("--min-snr GAMMA", "Min-SNR loss weighting; its paper uses 5.", number)
ZERO_SNR = beyond("--zero-snr", "v-prediction on a schedule that ends in pure noise.")
MULTI_SCALE = beyond("--multi-scale", "Mel loss of BigVGAN at seven scales, as in its version 2.")
CRITICS_FROM = beyond(
    "--critics-from STEP",
    "Step from which critics judge a vocos too, which makes its steps slower; 0 with --warm-start. "
    "Default: never.",
    whole,
)

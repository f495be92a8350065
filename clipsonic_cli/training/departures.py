"""How the preset "paper" differs from the paper, and where the paper is silent.

One table, which the model card prints, the README lists and the tests check.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clipsonic_cli.models.clip import PAPER
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training.presets import paper_settings
from clipsonic_cli.training.run_config import Extensions, RunConfig
from clipsonic_cli.training.stages import STAGES, size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A difference from the paper or its code, or a choice where both are silent."""

    name: str
    """A few words, for the README."""
    parts: tuple[str, ...]
    """File stems of the parts of a model that it concerns."""
    theirs: str
    """What the paper says, or the code it names does."""
    ours: str
    why: str


UNETS = tuple(part.name for part in STAGES["unet"].parts.values())
ALL = (*UNETS, "prior-sd", "vocoder")

DEPARTURES: tuple[Departure, ...] = (
    Departure(
        name="clips are drawn with replacement",
        parts=ALL,
        theirs="improved-diffusion, dalle2-pytorch and BigVGAN go through a data set in epochs",
        ours="every clip of a batch is drawn on its own from all training clips",
        why="one generator's state is then the whole position in the data: a run resumes exactly",
    ),
    Departure(
        name="unusable clips are left out",
        parts=ALL,
        theirs="all 171,899 videos of VGGSound and 1,055 of MUSIC; flaws are not mentioned",
        ours="unreadable, silent (below -60 dB), too short and duplicate clips are not trained on",
        why="a window of silence, or none, teaches nothing; data.csv lists each with its reason",
    ),
    Departure(
        name="one frame a second",
        parts=("unet", "prior-sd"),
        theirs="a frame of the video, extracted at random",
        ours="one of the frames taken once a second, at random (`frame_rate` changes the rate)",
        why="each frame goes through CLIP once, before training, and its vector is kept",
    ),
    Departure(
        name="features are kept in float16",
        parts=(*UNETS, "prior-sd"),
        theirs="improved-diffusion and BigVGAN are trained on features in float32",
        ours="both are stored in float16: a mel is off by 0.004 of a natural logarithm at most",
        why="half the disk and half the reading",
    ),
    Departure(
        name="convolutions may use TF32",
        parts=ALL,
        theirs="float32 on RTX 2080 Ti, which has no TF32",
        ours="float32, of which PyTorch's default rounds the factors of convolutions to TF32 on "
        "NVIDIA GPUs since Ampere",
        why="it is PyTorch's default, several times as fast",
    ),
    Departure(
        name="the vocoder is trained on the data given",
        parts=("vocoder",),
        theirs="one BigVGAN, trained on VGGSound, serves both data sets",
        ours="a vocoder of the data set it is trained on",
        why="to do as the paper did, train it on VGGSound and give that model as `base`",
    ),
    Departure(
        name="the vocoder is trained on recorded levels",
        parts=("vocoder",),
        theirs="BigVGAN scales every file to a peak of 0.95",
        ours="sounds keep the level they were recorded at",
        why="the U-Net's mels keep it too, and the two must agree",
    ),
    Departure(
        name="mels of the vocoder are cut from whole clips",
        parts=("vocoder",),
        theirs="BigVGAN computes the mel of each segment of 8,192 samples, with reflected ends",
        ours="the mel of the clip is computed, and cut",
        why="the mels it will be given hold no reflections inside a sound",
    ),
    Departure(
        name="the vocoder's rate decays by steps",
        parts=("vocoder",),
        theirs="BigVGAN multiplies the rate by 0.999 after every epoch of its data",
        ours="by as much every 5,371 steps, which is an epoch of the paper's VGGSound",
        why="the same on VGGSound; on 1,000 clips it would reach 1e-11 before the end",
    ),
    Departure(
        name="gradients of all critics are clipped together",
        parts=("vocoder",),
        theirs="BigVGAN clips those of its two kinds of discriminators apart, each to 1,000",
        ours="to 1,000 together",
        why="a network has one optimizer and one norm here, and so large a bound seldom acts",
    ),
)
"""Differences from the paper or the code it names."""

OPEN: tuple[Departure, ...] = (
    Departure(
        name="size of the U-Net",
        parts=UNETS,
        theirs="follows the architecture of improved-diffusion",
        ours="its published network for 64 x 64: 128 channels times 1, 2, 3, 4, three blocks",
        why="the paper's mels are 64 x 64",
    ),
    Departure(
        name="where the condition enters",
        parts=UNETS,
        theirs="a conditional signal",
        ours="a linear layer, added to the embedding of the time",
        why="improved-diffusion adds its class there",
    ),
    Departure(
        name="the absent condition",
        parts=UNETS,
        theirs="dropped for 10 % of the clips",
        ours="a learned vector stands in",
        why="what stands for no condition is then learned, as a class of improved-diffusion is",
    ),
    Departure(
        name="length of vectors",
        parts=(*UNETS, "prior-sd"),
        theirs="CLIP embeddings",
        ours="all of length 1",
        why="texts and images can only be swapped on the unit sphere",
    ),
    Departure(
        name="range of the mel",
        parts=UNETS,
        theirs="a mel spectrogram",
        ours="natural logarithm, from ln 1e-5 to 3.5 linearly to -1 to 1, and clamped",
        why="silence is -1, the loudest tones are below 1",
    ),
    Departure(
        name="loss",
        parts=UNETS,
        theirs="improved-diffusion's framework and cosine schedule",
        ours="its hybrid loss with learned variances, drawing steps uniformly",
        why="its published models with this schedule are trained so",
    ),
    Departure(
        name="average of the U-Net",
        parts=UNETS,
        theirs="-",
        ours="decay 0.9999 from the first step on, without a warm-up; the last one is published",
        why="improved-diffusion's default",
    ),
    Departure(
        name="batch on two GPUs",
        parts=UNETS,
        theirs="a batch of 32 on two GPUs; improved-diffusion counts it on each",
        ours="32 over all processes",
        why="the paper's number, whatever the number of GPUs",
    ),
    Departure(
        name="sound of a frame",
        parts=("unet",),
        theirs="the mel of the audio and a random frame",
        ours="the window around the frame's moment, moved inside the clip at its ends",
        why="the first author's CLIPSep does so",
    ),
    Departure(
        name="steps on other data",
        parts=UNETS,
        theirs="200,000 on MUSIC, 500,000 on VGGSound",
        ours="500,000 from 20,000 clips on, else 200,000",
        why="between the sizes of the two",
    ),
    Departure(
        name="optimizer of the prior",
        parts=("prior-sd",),
        theirs="AdamW, rate 1e-4, weight decay 0.06",
        ours="betas 0.9 and 0.99, epsilon 1e-6, decay of matrices alone, gradients clipped to 0.5",
        why="as in dalle2-pytorch's trainer and its configuration",
    ),
    Departure(
        name="network of the prior",
        parts=("prior-sd",),
        theirs="the architecture of CLIPSonic-PD",
        ours="LAION's configuration: 12 heads of 64, dropout 0.05, and the attention of "
        "dalle2-pytorch before 1.4.3",
        why="LAION's published prior, which is CLIPSonic-PD's, was trained so",
    ),
    Departure(
        name="average of the prior",
        parts=("prior-sd",),
        theirs="decay 0.9999; dalle2-pytorch's begins after some steps and moves every tenth",
        ours="decay 0.9999, from the first step on and at every step",
        why="the plain reading of the paper",
    ),
    Departure(
        name="size of the vocoder",
        parts=("vocoder",),
        theirs="BigVGAN",
        ours="its large network for 64 mels and a hop of 512, 121 M parameters; first version: "
        "segments of 8,192 samples, mel weight 45",
        why="the paper is of 2023-06, before the second version",
    ),
)
"""Where the paper is silent: what is done here, and why."""

NAMES = {"lr": "learning rate", "batch_size": "batch"}
BOOKKEEPING = (
    *("micro_batch", "compile", "seed", "save_every", "keep", "log_every", "validate_every"),
    *("validate_batches", "max_loss"),
)
"""Fields of TrainConfig that change what a training costs or shows, but not its result."""


def changed_from_paper(
    config: RunConfig, clips: int, steps: int, encoder: str | None
) -> list[list[str]]:
    """Return what was changed of the paper's preset, as rows: name, the paper's, this one.

    Args:
        config: A run; with another preset there are no rows.
        clips: Number of training clips.
        steps: Steps done, which may be fewer than those of the configuration.
        encoder: Identity of the CLIP or CLAP that conditions it; None for a vocoder.
    """
    if config.preset != "paper":
        return []
    network, stage = config.network, STAGES[config.stage]
    theirs = asdict(TrainConfig(**paper_settings(config.stage, clips)))
    ours = {**asdict(config.train), "steps": steps}
    rows = [
        [NAMES.get(name, name.replace("_", " ")), _shown(theirs[name]), _shown(ours[name])]
        for name in theirs
        if name not in BOOKKEEPING and theirs[name] != ours[name]
    ]
    if (size := size_of(network, config.stage)) != "large":
        rows.append(["size", "large", size or "its own"])
    for name, value in stage.paper_network.items():
        if getattr(network, name) != value:
            rows.append([name, value, getattr(network, name)])
    if config.space != "clap-text" and not (encoder or PAPER).startswith(PAPER):
        rows.append(["CLIP", "ViT-L/14 of OpenAI", f"{encoder}"])
    if config.warm_start is not None:
        rows.append(["initial weights", "random", Path(config.warm_start).name])
    extensions = asdict(config.extensions)
    rows += [
        [name.replace("_", " "), _shown(usual), _shown(extensions[name])]
        for name, usual in asdict(Extensions()).items()
        if extensions[name] != usual
    ]
    return rows


def of_part(rows: Sequence[Departure], part: str) -> list[Departure]:
    """Return the rows that concern a part."""
    return [row for row in rows if part in row.parts]


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"

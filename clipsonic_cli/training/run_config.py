"""Everything that decides a training, as one value that is kept in its run folder.

Standard library only: what is wrong with a wish is said before anything is read.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from clipsonic_cli import bounded, ranges
from clipsonic_cli.atomic import written
from clipsonic_cli.config import (
    TRAIN_FRAMES,
    DiffusionConfig,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.ranges import check_fields
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.types import Space, Stage

FILE = "run.json"
MAX_BYTES = 1 << 20
"""Bytes of a run's settings at most."""
FORMAT = 2
ADDED = {
    name: getattr(TrainConfig(), name)
    for name in ("decayed", "ema_warmup", "prior_dropout", "publish", "publish_dtype")
}
"""Fields of ``TrainConfig`` that format 1 (version 0.1.0) had not: what was done then."""

PARTS: dict[tuple[Stage, Space], str] = {
    ("unet", "clip-image"): "unet",
    ("unet", "clip-text"): "unet-clip-text",
    ("unet", "clap-text"): "unet-clap-text",
    ("prior", "clip-image"): "prior-sd",
    ("vocoder", "clip-image"): "vocoder",
}
"""The part of a model (``store/model_folders.py``) that a stage makes, conditioned on a space."""

UNETS = tuple(pair for pair in PARTS if pair[0] == "unet")
MEANING: dict[str, tuple[tuple[Stage, Space], ...]] = {
    "window": UNETS,
    "mean_of": (("unet", "clip-image"),),
    "cond_noise": UNETS,
    "min_snr": (*UNETS, ("prior", "clip-image")),
    "zero_snr": (*UNETS, ("prior", "clip-image")),
    "multi_scale": (("vocoder", "clip-image"),),
}
"""What each field of :class:`Extensions` changes."""
HALVED = 8
"""A U-Net of four levels halves its mel three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What is not in the paper, off unless asked for; the docstrings of what uses it say whence.

    Args:
        window: Frames of mel a U-Net sees; the paper's 64 are 2 s, 128 are the 4 s of a sound.
        mean_of: Neighbouring frames of the video whose vectors are averaged (CLIPSep, Dong et al.
            2023: 3).
        cond_noise: Deviation of noise on the condition (CapDec, Nukrai et al. 2022).
        min_snr: Bound of the loss's weight (Hang et al. 2023: 5).
        zero_snr: A noise schedule that ends in pure noise (Lin et al. 2023).
        multi_scale: The vocoder's mel distance at seven scales, as in BigVGAN's second version.

    Raises:
        UsageError: A number is out of its range.
    """

    window: int = TRAIN_FRAMES
    mean_of: int = 1
    cond_noise: float = 0.0
    min_snr: float | None = None
    zero_snr: bool = False
    multi_scale: bool = False

    def __post_init__(self) -> None:
        check_fields(self, ranges.EXTENSIONS, "--{}")
        if self.window % HALVED:
            raise UsageError(
                f"--window is {self.window}; it must be a multiple of {HALVED}, as the U-Net "
                "halves it three times. The paper's is 64."
            )
        if self.min_snr is not None and self.zero_snr:
            raise UsageError(
                "--min-snr and --zero-snr are given together: the first gives no weight to pure "
                "noise, which the second is for. Use one of them."
            )

    def check(self, stage: Stage, space: Space) -> None:
        """Refuses what has no meaning for a stage.

        Raises:
            UsageError: Something is asked for that would change nothing.
        """
        usual = Extensions()
        for name, able in MEANING.items():
            if getattr(self, name) == getattr(usual, name) or (stage, space) in able:
                continue
            option, stages = f"--{name.replace('_', '-')}", sorted({stage for stage, _ in able})
            if stage not in stages:
                raise UsageError(
                    f"{option} has no meaning for the stage '{stage}', but for: "
                    f"{', '.join(stages)}. Leave it out."
                )
            raise UsageError(
                f"{option} has no meaning for the condition '{space}', but for: "
                f"{', '.join(space for _, space in able)}. Leave it out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A training, complete.

    Args:
        name: Of the model it makes or adds to.
        data: Where the data set was, for people.
        catalogue: Where its prepared clips are listed.
        stage: What is trained.
        space: What it is conditioned on.
        warm_start: Whose weights it begins with, or None.
        network: Of what is trained.
        diffusion: The process; None for a vocoder.
        train: The loop.
        preset: A name of ``config.PRESETS``, which chose what was not asked for.
        beyond: What is not in the paper.
        cond_drop: Share of clips whose condition is dropped.
        sample_every: Steps between sounds made of ``prompts`` and ``pictures``; 0 makes none.
        prompts: Texts made into sound.
        pictures: Files made into sound; relative ones lie in the run's folder.
        trackers: Where metrics go besides metrics.jsonl.
        licence: Of the weights, in words.
    """

    name: str
    data: str
    catalogue: str
    stage: Stage
    space: Space
    warm_start: str | None
    network: UNetConfig | PriorConfig | VocoderConfig
    diffusion: DiffusionConfig | None
    train: TrainConfig
    preset: str = "default"
    beyond: Extensions = Extensions()
    cond_drop: float = 0.1
    sample_every: int = 0
    prompts: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()
    licence: str = "not stated"

    @property
    def part(self) -> str:
        """The part of a model it makes, such as "unet"."""
        return PARTS[self.stage, self.space]


def write_run_config(run_dir: Path, settings: RunConfig) -> None:
    """Writes ``run.json``.

    Raises:
        OSError: The disk refuses.
    """
    told = {"format": FORMAT, **dataclasses.asdict(settings)}
    with written(run_dir / FILE) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read_run_config(run_dir: Path) -> RunConfig:
    """Reads what :func:`write_run_config` wrote.

    Raises:
        UsageError: There is no run in the folder.
        ClipsonicError: Its settings are damaged, or of another version.
    """
    path = run_dir / FILE
    if not path.is_file():
        raise UsageError(
            f"'{run_dir}' holds no run ({FILE} is missing). Give the folder of one, such as "
            "runs/music, or begin one: clipsonic train --data FOLDER."
        )
    try:
        told = bounded.read_json(path, MAX_BYTES)
        if (version := told.pop("format")) == 1:
            told = {"preset": "default"} | told | {"train": ADDED | told["train"]}
        elif version != FORMAT:
            raise ValueError(f"format {version!r}, this clipsonic reads 1 and {FORMAT}")
        settings = from_dict(RunConfig, told, "run")
        if (pair := (settings.stage, settings.space)) not in PARTS:
            raise ValueError(f"a stage and a space that do not go together: {pair}")
    except (OSError, UsageError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ClipsonicError(f"{path} cannot be used ({error}). Begin another run.") from None
    return settings

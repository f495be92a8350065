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
from clipsonic_cli.training.stages import Part, part_of, spaces_with, stages_with
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
        check_fields(self, ranges.EXTENSIONS, "`{}`")
        if self.window % HALVED:
            raise UsageError(
                f"`window` is {self.window}; it must be a multiple of {HALVED}, as the U-Net "
                "halves it three times. The paper's is 64."
            )
        if self.min_snr is not None and self.zero_snr:
            raise UsageError(
                "`min_snr` and `zero_snr` are given together: the first gives no weight to pure "
                "noise, which the second is for. Use one of them."
            )

    def check(self, stage: Stage, space: Space) -> None:
        """Check that each extension asked for has an effect on a stage.

        Raises:
            UsageError: One has none.
        """
        usual = Extensions()
        applying = part_of(stage, space).extensions
        for name in (field.name for field in dataclasses.fields(self)):
            if getattr(self, name) == getattr(usual, name) or name in applying:
                continue
            spaces = spaces_with(name, stage)
            where = f"condition '{space}'" if spaces else f"stage '{stage}'"
            raise UsageError(
                f"`{name}` has no meaning for the {where}, but for: "
                f"{', '.join(spaces or stages_with(name))}. Leave it out."
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
    def part(self) -> Part:
        """What is trained."""
        return part_of(self.stage, self.space)


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
        part_of(settings.stage, settings.space)
    except (OSError, UsageError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ClipsonicError(f"{path} cannot be used ({error}). Begin another run.") from None
    return settings

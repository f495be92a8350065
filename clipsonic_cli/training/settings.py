"""Everything that decides a training, as one value that is kept in its run folder.

Standard library only: what is wrong with a wish is said before anything is read.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from clipsonic_cli.atomic import written
from clipsonic_cli.config import (
    DiffusionConfig,
    PriorConfig,
    TrainConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.store.strict import from_dict
from clipsonic_cli.types import Space, Stage

FILE = "run.json"
FORMAT = 1

PARTS: dict[tuple[Stage, Space], str] = {
    ("unet", "clip-image"): "unet",
    ("unet", "clip-text"): "unet-clip-text",
    ("unet", "clap-text"): "unet-clap-text",
    ("prior", "clip-image"): "prior-sd",
    ("vocoder", "clip-image"): "vocoder",
}
"""The part of a model (``store/models.py``) that a stage makes, conditioned on a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What is not in the paper, off unless asked for; the docstrings of what uses it say whence.

    Args:
        window: Frames of mel a U-Net sees; the paper's 64 are 2 s, 128 are the 4 s of a sound.
        mean_of: Neighbouring frames of the video whose vectors are averaged (CLIPSep, Dong et al.
            2023: 3).
        cond_noise: Deviation of noise on the condition (CapDec, Nukrai et al. 2022).
        min_snr: Bound of the loss's weight (Hang et al. 2023: 5).
        multi_scale: The vocoder's mel distance at seven scales, as in BigVGAN's second version.
    """

    window: int = 64
    mean_of: int = 1
    cond_noise: float = 0.0
    min_snr: float | None = None
    multi_scale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A training, complete.

    Args:
        name: Of the model it makes or adds to.
        data: Where the data set was, for people.
        catalogue: Where its prepared clips are listed.
        stage: What is trained.
        space: What it is conditioned on.
        base: Model or folder that gives what is not trained; None is published weights alone.
        warm_start: Whose weights it begins with, or None.
        network: Of what is trained.
        diffusion: The process; None for a vocoder.
        train: The loop.
        beyond: What is not in the paper.
        cond_drop: Share of clips whose condition is dropped.
        sample_every: Steps between sounds made of ``prompts`` and ``pictures``; 0 makes none.
        prompts: Texts made into sound.
        pictures: Files made into sound.
        trackers: Where metrics go besides metrics.jsonl.
        licence: Of the weights, in words.
    """

    name: str
    data: str
    catalogue: str
    stage: Stage
    space: Space
    base: str | None
    warm_start: str | None
    network: UNetConfig | PriorConfig | VocoderConfig
    diffusion: DiffusionConfig | None
    train: TrainConfig
    beyond: Beyond = Beyond()
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


def write_settings(run_dir: Path, settings: Settings) -> None:
    """Writes ``run.json``.

    Raises:
        OSError: The disk refuses.
    """
    told = {"format": FORMAT, **dataclasses.asdict(settings)}
    with written(run_dir / FILE) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read_settings(run_dir: Path) -> Settings:
    """Reads what :func:`write_settings` wrote.

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
        told = json.loads(path.read_text(encoding="utf-8"))
        if (version := told.pop("format")) != FORMAT:
            raise ValueError(f"format {version!r}, this clipsonic reads {FORMAT}")
        settings = from_dict(Settings, told, "run")
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise ClipsonicError(f"{path} cannot be used ({error}). Begin another run.") from None
    return settings

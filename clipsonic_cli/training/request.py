"""What a person asked to be trained, and whether it can be.

Knows: what is wrong with a wish, which is said before anything is read. Does not know: what becomes
of it (``run.py``).
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import why_unwritable
from clipsonic_cli.errors import UsageError
from clipsonic_cli.images import read_image
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.tracking import check_trackers
from clipsonic_cli.training import publish
from clipsonic_cli.training.data_setup import Source, check_source
from clipsonic_cli.training.presets import WarmStart, check_names, size_of
from clipsonic_cli.training.run_config import FILE, PARTS, Extensions
from clipsonic_cli.training.warm_start import find_start, read_start
from clipsonic_cli.types import Space, Stage

ENCODERS: dict[Space, str] = {"clip-image": "clip", "clip-text": "clip", "clap-text": "clap"}
"""The part that gives the vectors of a space."""
RUNS = Path("runs")
"""Where runs lie, in the working directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What a person asked for; None leaves the choice to the preset.

    Args:
        source: The data set.
        name: Of the model.
        out: The run's folder; None is "runs/NAME", and "runs/NAME-PART" for parts but "unet".
        stage: What is trained.
        space: What it is conditioned on.
        preset: One of ``presets.PRESETS``.
        size: Of the network.
        base: Model that gives what is not trained, or "published"; None chooses.
        warm_start: A model or published weights to begin with.
        train: Fields of TrainConfig.
        beyond: What is not in the paper.
        prompts: Texts to make samples of; none are labels of the data.
        pictures: Files to make samples of; none are frames of the data.
        sample_every: Steps between samples; 0 makes none.
        trackers: Where metrics go besides metrics.jsonl.
        licence: Of the weights, in words.
        overwrite: Replace a part that another run trained.

    Raises:
        UsageError: The stage is not conditioned on the space.
    """

    source: Source
    name: str
    out: Path | None = None
    stage: Stage = "unet"
    space: Space = "clip-image"
    preset: str = "default"
    size: str | None = None
    base: str | None = None
    warm_start: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    beyond: Extensions = field(default_factory=Extensions)
    prompts: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    sample_every: int | None = None
    trackers: tuple[str, ...] = ()
    licence: str = "not stated"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.stage, self.space) not in PARTS:
            able = " or ".join(space for stage, space in PARTS if stage == self.stage)
            raise UsageError(
                f"The stage '{self.stage}' is conditioned on {able}, not on {self.space}."
            )

    @property
    def part(self) -> str:
        """The part of a model it makes."""
        return PARTS[self.stage, self.space]

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        extra = "" if self.part == "unet" else f"-{self.part.removeprefix('unet-')}"
        return self.out or RUNS / f"{self.name}{extra}"

    @property
    def needs_frames(self) -> bool:
        """Whether what is trained sees pictures."""
        return self.stage != "vocoder" and self.space == "clip-image"

    @property
    def needs_labels(self) -> bool:
        """Whether what is trained reads texts."""
        return self.stage == "prior" or self.space != "clip-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a training takes from models that are there.

    Args:
        base: Gives what is not trained.
        start: The file of the warm start, if any.
        begun: What is in it.
    """

    base: ModelFolder
    start: Path | None = None
    begun: WarmStart | None = None


def check(request: TrainRequest, *, gpu: bool) -> Resolved:
    """Refuses what cannot be, before anything is read.

    Args:
        request: What is wanted.
        gpu: Whether networks run on one.

    Returns:
        What there is to begin with.

    Raises:
        UsageError: The wish contradicts itself or what is there.
        MissingWeights: What conditions the training, or a warm start, is not on this machine.
        BadBundle: A file of a model is damaged.
    """
    check_names(request.preset, request.stage, request.size)
    request.beyond.check(request.stage, request.space)
    check_trackers(request.trackers)
    for picture in request.pictures:
        read_image(Path(picture))
    publish.check_name(request.name)
    check_new(request.run_dir)
    check_writable(request.run_dir)
    if not request.overwrite:
        publish.check_free(request.name, request.part, run=None)
    check_source(request.source)
    base = publish.base_of(request.base, request.name, paper=request.preset == "paper", gpu=gpu)
    if request.stage != "vocoder":
        publish.check_encoder(base, request.name, ENCODERS[request.space])
    if request.warm_start is None:
        return Resolved(base=base)
    return _check_start(request, request.warm_start, base)


def check_new(run_dir: Path) -> None:
    """Check that a folder holds no run yet.

    Raises:
        UsageError: It holds one.
    """
    if (run_dir / FILE).exists():
        line = shlex.join(["clipsonic", "train", "--resume", str(run_dir)])
        raise UsageError(
            f"'{run_dir}' holds a run already. Go on with it: {line}; or choose another folder "
            "with --out."
        )


def check_writable(run_dir: Path) -> None:
    """Check that a run's folder takes files.

    Raises:
        UsageError: It does not; says why.
    """
    if (reason := why_unwritable(run_dir)) is not None:
        raise UsageError(
            f"Cannot write in the run's folder '{run_dir}' ({reason}). Give another --out."
        )


def check_batch(request: TrainRequest, processes: int) -> None:
    """Refuses a batch that processes cannot share, which the loop would when all is prepared.

    Raises:
        UsageError: It cannot be shared.
    """
    paper = TrainConfig().batch_size if request.preset == "paper" else processes
    batch = request.train.get("batch_size", paper)
    if batch % processes:
        raise UsageError(
            f"A batch of {batch} cannot be shared by {processes} processes. "
            f"Choose a multiple of {processes}."
        )


def _check_start(request: TrainRequest, name: str, base: ModelFolder) -> Resolved:
    """Refuses a warm start of another network than is to be trained."""
    start = find_start(name, request.stage, request.part)
    begun = read_start(start, request.stage)
    size = size_of(begun.network, request.stage)
    if request.size not in (None, size):
        its = f"of the size '{size}'" if size else "of a size of its own"
        raise UsageError(
            f"'{name}' is {its}, not '{request.size}'. Leave out --size, or --warm-start."
        )
    if request.stage != "vocoder" and name not in ASSETS:
        file = publish.encoder_file(base, ENCODERS[request.space])
        config = bundle.read_header(file).config
        dim = config.get("dim") if isinstance(config, dict) else None
        its_dim = getattr(begun.network, "cond_dim", None) or getattr(begun.network, "dim", None)
        if dim != its_dim:
            raise UsageError(
                f"'{name}' reads vectors of {its_dim} numbers, those of '{base.name}' have {dim}. "
                "Give the model it was trained with as --base."
            )
    return Resolved(base=base, start=start, begun=begun)


def place_of_start(name: str) -> str:
    """Gives the name of a warm start that holds in any working directory."""
    return name if name in ASSETS else model_folders.find(name).name

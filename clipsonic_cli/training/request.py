"""What a person asks to be trained, and what it names on this machine: found and checked once."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import check_writable
from clipsonic_cli.config import PAPER_VOCODER, PRESETS, STUDENT_CALLS, TRAINED_VOCODERS
from clipsonic_cli.data import READERS
from clipsonic_cli.data.check import Kind
from clipsonic_cli.data.clips import check_exists
from clipsonic_cli.data.listing import find_format
from clipsonic_cli.data.report import Survey
from clipsonic_cli.errors import UsageError
from clipsonic_cli.images import read_image
from clipsonic_cli.preparation.catalogue import is_catalogue
from clipsonic_cli.ranges import shown
from clipsonic_cli.registry import unknown
from clipsonic_cli.store.bundle import Header, read_header, training_window
from clipsonic_cli.store.model_folders import RUN_FILE, RUNS, ModelFolder
from clipsonic_cli.text import counted
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.optimizer import share_of_batch
from clipsonic_cli.trainer.progress import StepStatus
from clipsonic_cli.trainer.tracking import check_trackers
from clipsonic_cli.training import publish
from clipsonic_cli.training.run_config import Extensions
from clipsonic_cli.training.stage_row import Part, StageRow
from clipsonic_cli.training.stages import STAGES, STATISTICS, part_of, row_of, size_of
from clipsonic_cli.training.vocoder_stage import VOCODER_ROWS
from clipsonic_cli.training.warm_start import WarmStart, find_warm_start
from clipsonic_cli.types import Report, Space, Stage, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainCallbacks:
    """What a run calls to be followed."""

    on_message: Callable[[str], None] = lambda _line: None
    on_survey: Callable[[Survey], None] = lambda _survey: None
    on_progress: Report = silent
    on_step: Callable[[StepStatus], None] = lambda _status: None


SILENT = TrainCallbacks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set, and how it is read."""

    data: str
    """A folder, a file or an address (``data/clips.py``); or a catalogue of prepared clips."""
    format: str | None = None
    """A name of ``data.READERS``; None detects it."""
    seed: int = 0
    """Seed of the splits that the data set does not state."""
    test_share: float | None = None
    valid_share: float | None = None
    """Shares of ``data.splits.SplitDraw``; None is its own, or the preset's."""
    frame_rate: float = 1.0
    drop: tuple[Kind, ...] = ()
    """Flaws that drop a clip, besides ``data.check.DROP``."""
    workers: int | None = None
    """Processes that decode; None is one for each core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What a person asks for, as in RunConfig; None leaves the choice to the preset.

    Raises:
        UsageError: The stage is not conditioned on the space.
    """

    source: Source
    name: str
    out: Path | None = None
    """The run's folder; None is "runs/NAME", and "runs/NAME-PART" for parts but "unet"."""
    stage: Stage = "unet"
    space: Space = "clip-image"
    preset: str = "default"
    size: str | None = None
    vocoder: str | None = None
    """What the stage "vocoder" trains, a name of ``VOCODER_ROWS``; None is the paper's."""
    calls: int | None = None
    """Network calls that the stage "student" trains for, one of ``STUDENT_CALLS``; None is 4."""
    base: str | None = None
    """The model that gives what is not trained, or "published"."""
    warm_start: str | None = None
    """A model or published weights; None begins with random ones."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig."""
    extensions: Extensions = field(default_factory=Extensions)
    prompts: tuple[str, ...] = ()
    """Texts to make samples of; none are labels of the data."""
    images: tuple[str, ...] = ()
    """Image files to make samples of; none are frames of the data."""
    sample_every: int | None = None
    trackers: tuple[str, ...] = ()
    licence: str | None = None
    """Licence of the weights; None is that of the warm start."""
    overwrite: bool = False
    """Whether a part that another run trained is replaced."""
    text_share: float | None = None
    """Share of the time for each part that texts need (``text_parts.py``); 0 trains none."""
    only_statistics: bool = False
    """Whether the statistics of the frames are made, and nothing is trained."""

    def __post_init__(self) -> None:
        part_of(self.stage, self.space)

    @property
    def part(self) -> Part:
        """What is trained, or made of the frames."""
        return STATISTICS if self.only_statistics else part_of(self.stage, self.space)

    @property
    def row(self) -> StageRow:
        """What the stage trains."""
        return row_of(self.stage, self.vocoder)

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        part = self.part.name
        extra = "" if part == "unet" else f"-{part.removeprefix('unet-')}"
        return self.out or RUNS / f"{self.name}{extra}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a request names, as it is on this machine."""

    base: ModelFolder
    """The model that gives what is not trained."""
    encoder: Header | None = None
    """Header of the CLIP or CLAP that conditions the training; None for a vocoder."""
    warm_start: WarmStart | None = None


def resolve(request: TrainRequest, *, gpu: bool, processes: int) -> Resolved:
    """Find and check all that a request names, before any data is read.

    Raises:
        UsageError: The request contradicts itself or what is on this machine.
        MissingWeights: The encoder, or the warm start, is not on this machine.
        BadBundle: A file of a model is damaged.
    """
    # Check names and numbers.
    _check_vocoder(request)
    _check_calls(request)
    sizes = request.row.sizes
    if request.preset not in PRESETS:
        raise unknown("preset", request.preset, list(PRESETS))
    if request.size is not None and request.size not in sizes:
        raise unknown("size", request.size, list(sizes))
    request.extensions.check(request.stage, request.space, request.vocoder)
    if request.text_share and request.part.name != "unet":
        raise UsageError(
            "`text_share` is for a U-Net that reads frames, to whose model it adds what texts "
            "need. Leave it out."
        )
    check_trackers(request.trackers)
    usual = TrainConfig().batch_size if request.preset == "paper" else processes
    share_of_batch(request.train.get("batch_size", usual), processes)

    # Check files and folders.
    for image in request.images:
        read_image(Path(image))
    check_new(request.run_dir)
    check_writable(request.run_dir, "another `output`")
    check_source(request.source)
    publish.check_name(request.name)
    if not request.overwrite:
        publish.check_free(request.name, request.part.name, run=None)

    # Find models.
    base = publish.base_of(request.base, request.name, paper=request.preset == "paper", gpu=gpu)
    kind = request.part.encoder
    encoder = None if kind is None else publish.encoder_of(base, request.name, kind)
    start, name = None, request.warm_start
    if request.row.teacher is not None:
        name = _teacher(request, base)
    if name is not None:
        start = find_warm_start(name, request.stage, request.space)
        _check_warm_start(request, start, base, encoder)
    return Resolved(base=base, encoder=encoder, warm_start=start)


def check_source(source: Source) -> None:
    """Check that there is a data set, of a known format, before its clips are read."""
    check_exists(source.data)
    if source.format is not None:
        READERS.check(source.format)
    elif not is_catalogue(source.data):
        find_format(source.data)


def check_new(run_dir: Path) -> None:
    """Check that a folder holds no run yet."""
    if (run_dir / RUN_FILE).exists():
        raise UsageError(
            f"'{run_dir}' holds a run already. Go on with it: {resume_command(run_dir)}; or "
            "choose another with `output`."
        )


def resume_command(run_dir: Path) -> str:
    """Format the command that resumes a run."""
    return f"clipsonic train --resume {shlex.quote(str(run_dir))}"


def length(steps: int, minutes: float | None) -> str:
    """Format how long a training is: to the nearer of both ends."""
    if minutes is None:
        return counted(steps, "step")
    return f"{counted(steps, 'step')} or {counted(minutes, 'minute')}, whichever is first"


def _check_vocoder(request: TrainRequest) -> None:
    """Check that a vocoder is named only for its stage, and one that the preset has."""
    if request.vocoder is None:
        return
    if request.vocoder not in VOCODER_ROWS:
        raise unknown("vocoder", request.vocoder, list(VOCODER_ROWS))
    if request.stage != "vocoder":
        raise UsageError(
            f"`vocoder` has no meaning for the stage '{request.stage}', but for: vocoder. "
            "Leave it out."
        )
    if request.preset == "paper" and request.vocoder != PAPER_VOCODER:
        raise UsageError(
            f"The paper's vocoder is {PAPER_VOCODER}, not {request.vocoder}. Leave out `preset`, "
            "or `vocoder`."
        )


def _check_calls(request: TrainRequest) -> None:
    """Check that network calls are given for a student only, and a number that it can have."""
    if request.calls is None:
        return
    if request.stage != "student":
        raise UsageError(
            f"`calls` has no meaning for the stage '{request.stage}', but for: student. Leave it "
            "out."
        )
    if request.calls not in STUDENT_CALLS:
        allowed = ", ".join(map(str, STUDENT_CALLS))
        raise UsageError(f"`calls` is {shown(request.calls)}; it must be one of {allowed}.")


def _teacher(request: TrainRequest, base: ModelFolder) -> str:
    """Return the name of the model whose U-Net teaches a student: the base."""
    if request.warm_start is not None:
        raise UsageError(
            f"`warm_start` has no meaning for the stage '{request.stage}', which begins with the "
            "U-Net of its `base`. Leave it out."
        )
    if not base.path.is_dir():
        raise UsageError(
            "A student learns from a trained U-Net, and published weights have none. Train one "
            "first (the stage 'unet'), or name a model or a run that has one as `base`."
        )
    path = base.part(request.row.teacher or "")
    if path.is_file():
        window = training_window(read_header(path))
        if window != request.extensions.window:
            raise UsageError(
                f"The U-Net of '{base.name}' was trained on {window} frames, not on "
                f"{request.extensions.window}. Give `window` {window}."
            )
    return base.name


def _check_warm_start(
    request: TrainRequest, start: WarmStart, base: ModelFolder, encoder: Header | None
) -> None:
    """Check that a warm start is what is requested, and reads the encoder's embeddings."""
    vocoder, wanted = TRAINED_VOCODERS.get(type(start.network)), request.vocoder or PAPER_VOCODER
    if vocoder not in (None, wanted):
        raise UsageError(
            f"'{request.warm_start}' is a {vocoder}, not a {wanted}. Choose `vocoder` {vocoder}, "
            "or begin without `warm_start`."
        )
    size = size_of(start.network, request.stage)
    if request.size not in (None, size):
        actual = f"of the size '{size}'" if size else "of a size of its own"
        raise UsageError(
            f"'{request.warm_start}' is {actual}, not '{request.size}'. Leave out `size`, or "
            "`warm_start`."
        )
    if encoder is None or start.published:  # the published U-Net has no condition
        return
    dim = encoder.config.get("dim") if isinstance(encoder.config, dict) else None
    reads = getattr(start.network, STAGES[request.stage].encoder_fields["dim"])
    if dim != reads:
        raise UsageError(
            f"'{request.warm_start}' reads vectors of {reads} numbers, those of '{base.name}' have "
            f"{dim}. Give the model it was trained with as `base`."
        )

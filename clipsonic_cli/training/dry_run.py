"""What a training would do and take, from the list of its data and a sample: nothing is kept."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from clipsonic_cli.atomic import free_bytes
from clipsonic_cli.data.report import Survey, summarize
from clipsonic_cli.errors import MissingWeights
from clipsonic_cli.preparation import feature_shards
from clipsonic_cli.preparation.catalogue import Catalogue, collect, is_catalogue
from clipsonic_cli.preparation.prepare import indices, prepare
from clipsonic_cli.store.home import NoHome, cache_home
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.progress import StepStatus
from clipsonic_cli.training import publish
from clipsonic_cli.training.data_setup import (
    ListedData,
    list_data,
    read_prepared,
    spread,
    workers_of,
)
from clipsonic_cli.training.presets import choose, this_machine
from clipsonic_cli.training.request import SILENT, Resolved, TrainCallbacks, TrainRequest, resolve
from clipsonic_cli.training.run import load_encoder
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.setup import Setup, build
from clipsonic_cli.training.stage_row import Encoder
from clipsonic_cli.training.text_parts import share_of, wanted
from clipsonic_cli.types import Clip

SAMPLE = 8
"""Clips that are prepared, besides two for each process that decodes."""
STEPS, MINUTES = 3, 1.0
"""Steps that are timed, and the time after which no other begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEstimate:
    """What a data set holds by its list, and by a sample of its clips."""

    clips: int
    """Clips that are listed."""
    splits: Mapping[str, int]
    labels: Mapping[str, int]
    hours: float
    """Length of the clips fit for training, if all are as the sample."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Files that belong to no clip, with the reason."""
    sample: Survey | None = None
    """What the sample is like; None for clips that were prepared before."""
    unprepared: int = 0
    """Clips that are to be prepared."""
    prepare_seconds: float = 0.0
    prepare_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a training would do and take; None where it cannot be estimated."""

    run_dir: Path
    data: DataEstimate
    config: RunConfig
    reasons: Sequence[str]
    """Why it is so, a line each."""
    pace: float | None
    """Seconds a step."""
    train_seconds: float | None
    """To the nearer of both ends, with parts for texts; validations and samples come to it."""
    text_parts: Sequence[str]
    """Parts for texts that are trained at the end, if clips are as the list says."""
    text_share: float
    """Share of the time for each of them."""
    train_bytes: int | None
    """Size of the run's folder and of the finished model, in bytes."""
    free_bytes: int
    """Bytes free on the disk that the run's folder is on."""
    missing: str | None
    """What is said of weights that are not on this machine."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        fields = asdict(replace(self, data=replace(self.data, sample=None)))
        if (sample := self.data.sample) is not None:
            flaws = {kind: count for kind, count in sample.flaws.items() if count}
            counts = {"clips": sample.found, "kept": sample.kept, "flaws": flaws}
            fields["data"]["sample"] = counts
        return fields | {"run_dir": str(self.run_dir)}


def dry_run(
    request: TrainRequest,
    *,
    device: torch.device,
    minutes: float | None = None,
    callbacks: TrainCallbacks = SILENT,
) -> DryRun:
    """Describe the training that a request begins.

    A sample of the clips is prepared and some steps are done in a folder that is deleted.

    Raises:
        UsageError: The request cannot be fulfilled, whatever is on this machine.
    """
    # Resolve; what is missing is part of the answer.
    missing, gpu = None, device.type != "cpu"
    try:
        resolved = resolve(request, gpu=gpu, processes=1)
    except MissingWeights as error:
        paper = request.preset == "paper"
        base = publish.base_of(request.base, request.name, paper=paper, gpu=gpu)
        missing, resolved = str(error), Resolved(base=base)
    encoder = load_encoder(resolved.base, request.part, device) if missing is None else None

    with TemporaryDirectory(prefix="clipsonic-") as name:
        # Data.
        if is_catalogue(request.source.data):
            data, catalogue = _prepared(request, encoder)
        else:
            data, catalogue = _sampled(request, encoder, Path(name), device, callbacks)

        # Settings.
        machine, clips = this_machine(device, 1), data.splits.get("train", 0)
        config, reasons = choose(request, resolved, machine, catalogue="", clips=clips)

        # Steps.
        pace, run_bytes = None, None
        if missing is None and len(catalogue):
            setup = build(config, catalogue, encoder, resolved.warm_start)
            pace, state = _time_steps(config, setup, Path(name) / "run", device, callbacks)
            # The checkpoints kept and the one being written, the best average, and the parts.
            parts = sum(path.stat().st_size for path in resolved.base.path.glob("*"))
            run_bytes = state * (config.train.keep + 2) + 2 * parts
        texts, share = _text_parts(request, config, encoder, data)

    # Estimate.
    seconds = None
    if pace is not None:
        whole = pace * config.train.steps / (1 - share * len(texts))
        seconds = min(whole, 60 * minutes if minutes else float("inf"))
    return DryRun(
        run_dir=request.run_dir,
        data=data,
        config=config,
        reasons=reasons,
        pace=pace,
        train_seconds=seconds,
        text_parts=texts,
        text_share=share,
        train_bytes=run_bytes,
        free_bytes=free_bytes(request.run_dir),
        missing=missing,
    )


def _text_parts(
    request: TrainRequest, config: RunConfig, encoder: Encoder | None, data: DataEstimate
) -> tuple[list[str], float]:
    """Return the parts that are trained for texts, and the share of the time of each."""
    share = share_of(request)
    names, _ = wanted(config, encoder, data.labels, data.splits.get("valid", 0))
    return (names if share else []), share


def _prepared(request: TrainRequest, encoder: Encoder | None) -> tuple[DataEstimate, Catalogue]:
    """Describe clips that were prepared before."""
    catalogue = read_prepared(request, encoder).catalogue
    data = DataEstimate(
        clips=len(catalogue),
        splits=dict(Counter(catalogue.splits)),
        labels=dict(Counter(label for label in catalogue.labels if label is not None)),
        hours=catalogue.hours,
    )
    return data, catalogue


def _sampled(
    request: TrainRequest,
    encoder: Encoder | None,
    folder: Path,
    device: torch.device,
    callbacks: TrainCallbacks,
) -> tuple[DataEstimate, Catalogue]:
    """List a data set and prepare a sample of it, whose clips are all for training."""
    listed = list_data(request, encoder, callbacks.on_message)
    usable = [clip for clip in listed.clips if clip.problem is None]
    workers = workers_of(request.source)
    sample = [replace(clip, split="train") for clip in spread(usable, SAMPLE + 2 * workers)]

    # Prepare, and time what follows the first clip, which waits for the processes to start.
    moments: list[float] = []

    def report(_stage: str, done: int, total: int) -> None:
        moments.append(time.monotonic())
        callbacks.on_progress("sample", done, total)

    prepare(
        sample,
        folder,
        listed.config,
        clip_encoder=listed.clip,
        rules=listed.rules,
        workers=workers,
        device=device,
        report=report,
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    since = moments[min(1, len(sample) - 1)] if sample else 0.0
    pace = (time.monotonic() - since) / max(1, len(sample) - 1)

    # Project onto all clips.
    clips, rules = sample, listed.rules
    catalogue, findings = collect(clips, indices(folder), folder, listed.config, rules)
    survey, unprepared = summarize(findings), _unprepared(usable, listed)
    scale = len(usable) / max(1, len(sample))
    data = DataEstimate(
        clips=len(listed.clips),
        splits=dict(Counter(str(clip.split) for clip in usable)),
        labels=dict(Counter(clip.label for clip in usable if clip.label is not None)),
        left_out=listed.left_out,
        sample=survey,
        hours=scale * catalogue.hours,
        unprepared=unprepared,
        prepare_seconds=pace * unprepared,
        prepare_bytes=size * unprepared // max(1, len(sample)),
    )
    return data, catalogue


def _unprepared(clips: Sequence[Clip], listed: ListedData) -> int:
    """Count the clips that are not prepared yet."""
    done = set[str]()
    with suppress(NoHome):
        for path in (cache_home() / "prepared" / listed.folder).glob(feature_shards.PATTERN):
            with suppress(feature_shards.BadShard, OSError):
                index = feature_shards.read_index(str(path))
                done.update(row.key for row in index.rows if row.digest)
    return sum(feature_shards.key_of(clip) not in done for clip in clips)


def _time_steps(
    config: RunConfig,
    setup: Setup,
    run_dir: Path,
    device: torch.device,
    callbacks: TrainCallbacks,
) -> tuple[float, int]:
    """Do some steps, and return the seconds of one and the bytes of a checkpoint."""
    seen: list[StepStatus] = []

    def on_step(status: StepStatus) -> None:
        seen.append(status)
        callbacks.on_progress("steps", status.step, STEPS)

    few = replace(config.train, steps=STEPS, save_every=STEPS, compile=False)
    callbacks.on_progress("steps", 0, STEPS)
    train(
        setup.objective,
        setup.dataset,
        few,
        run_dir,
        device=device,
        minutes=MINUTES,
        on_step=on_step,
    )
    path = checkpoint.newest(run_dir)
    assert path is not None  # the loop ends with one
    return seen[-1].pace, path.stat().st_size

"""From a folder of videos to a model that makes sound: prepare, choose, train, publish.

A run's folder holds its configuration (``run.json``), what was dropped of the data (``data.csv``),
the training's state and metrics, samples, and ``model/``, which makes sound at any time.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from clipsonic_cli.atomic import check_writable
from clipsonic_cli.data.report import write_csv
from clipsonic_cli.encoders.clap import load_clap
from clipsonic_cli.encoders.clip import ClipModel, load_clip
from clipsonic_cli.errors import UsageError
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.optimizer import make_accelerator
from clipsonic_cli.trainer.tracking import check_trackers
from clipsonic_cli.training import announce, data_setup, publish, text_parts
from clipsonic_cli.training.card import data_summary, write_summary
from clipsonic_cli.training.export import (
    ModelInTraining,
    Outcome,
    run_id,
)
from clipsonic_cli.training.presets import choose, this_machine
from clipsonic_cli.training.request import (
    SILENT,
    TrainCallbacks,
    TrainRequest,
    check_new,
    resolve,
)
from clipsonic_cli.training.run_config import RunConfig, read_run_config, write_run_config
from clipsonic_cli.training.setup import Setup, build
from clipsonic_cli.training.stage_row import Encoder, Part
from clipsonic_cli.training.stages import STATISTICS
from clipsonic_cli.training.statistics import only_statistics, write_statistics
from clipsonic_cli.training.warm_start import find_warm_start


def begin(
    request: TrainRequest,
    *,
    device: torch.device,
    minutes: float | None = None,
    callbacks: TrainCallbacks = SILENT,
) -> Outcome | None:
    """Prepare the data, train, and publish the model.

    ``run.json`` is written last, when the loop can begin: a run that is interrupted before begins
    again with the same request. After ``minutes`` in the loop it stops and publishes.

    Returns:
        The result; None in all processes but the main one.

    Raises:
        UsageError: The request cannot be fulfilled; mostly before any data is read.
        MissingWeights: The encoder, or the warm start, is not on this machine.
        KeyboardInterrupt: After a signal; what was done is kept.
    """
    accelerator = make_accelerator(device)
    main, run_dir = accelerator.is_main_process, request.run_dir
    resolved = resolve(request, gpu=device.type != "cpu", processes=accelerator.num_processes)
    with _held(run_dir, accelerator):
        check_new(run_dir)  # another process may have started and ended meanwhile
        if main and (reason := publish.why_unpublished(request.name)) is not None:
            callbacks.on_message(
                f"note: the finished model will stay in {run_dir / 'model'}. {reason}"
            )

        # Prepare data.
        encoder = load_encoder(resolved.base, request.part, accelerator.device)
        data = _gather(request, encoder, accelerator, callbacks)
        if request.only_statistics:
            outcome = only_statistics(request, resolved, data, encoder, callbacks) if main else None
            accelerator.wait_for_everyone()
            return outcome

        # Choose settings.
        machine = this_machine(accelerator.device, accelerator.num_processes)
        clips = len(data.catalogue.numbers("train"))
        chosen = choose(request, resolved, machine, catalogue=data.path, clips=clips)
        # Machines may differ, and the catalogue's path is the main process's.
        ((config, reasons),) = broadcast_object_list([chosen])
        for reason in reasons:
            callbacks.on_message(reason)

        # Build and record.
        setup = build(config, data.catalogue, encoder, resolved.warm_start)
        if main:
            publish.take_over(resolved.base, run_dir / "model", request.part.name)
            name = data_setup.name_of(request.source.data)
            summary = data_summary(name, data.catalogue, data.survey, data.splits)
            write_summary(run_dir, summary)
            config = _with_queries(config, request, data, callbacks)
            _add_statistics(config, setup, encoder, run_dir, callbacks)
            text_parts.plan(request, config, setup, encoder, run_dir, callbacks)
        return _train(config, setup, encoder, run_dir, accelerator, minutes, callbacks)


def resume(
    run_dir: Path,
    *,
    device: torch.device,
    minutes: float | None = None,
    train_changes: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    callbacks: TrainCallbacks = SILENT,
) -> Outcome | None:
    """Continue a run as if it had never stopped, and publish the model.

    ``minutes`` count from here. ``train_changes`` are fields of TrainConfig to change, such as
    ``steps``; ``changes`` others of RunConfig, such as ``trackers``. ``overwrite`` replaces a part
    that another run trained.

    Returns:
        The result; None in all processes but the main one.

    Raises:
        UsageError: There is no run, its prepared clips are gone, or another run has trained the
            part since.
    """
    read_run_config(run_dir)
    check_writable(run_dir, "another `output`")
    accelerator = make_accelerator(device)
    with _held(run_dir, accelerator):
        # Change settings, and check them.
        config = read_run_config(run_dir)
        changed = replace(config.train, **(train_changes or {}))
        if config.row.teacher is not None and changed.steps != config.train.steps:
            raise UsageError(
                f"`steps` is {changed.steps}; the phases of a {config.stage} were planned for "
                f"{config.train.steps}. Leave it out, or begin another run."
            )
        config = replace(config, train=changed, **(changes or {}))
        check_trackers(config.trackers)
        if not overwrite:
            publish.check_free(config.name, config.part.name, run_id(config))
        try:
            catalogue = read_catalogue(config.catalogue)
        except UsageError as error:
            raise UsageError(
                f"{error} Without them this run cannot go on; begin another, in another folder."
            ) from None

        # Build.
        start = None
        if config.warm_start is not None and checkpoint.newest(run_dir) is None:
            start = find_warm_start(config.warm_start, config.stage, config.space)
        model = ModelFolder(run_dir / "model")
        encoder = load_encoder(model, config.part, accelerator.device)
        setup = build(config, catalogue, encoder, start)
        if accelerator.is_main_process and not model.has(STATISTICS.name):  # of an older run
            _add_statistics(config, setup, encoder, run_dir, callbacks)
        return _train(config, setup, encoder, run_dir, accelerator, minutes, callbacks)


def _gather(
    request: TrainRequest,
    encoder: Encoder | None,
    accelerator: Accelerator,
    callbacks: TrainCallbacks,
) -> data_setup.PreparedData:
    """Prepare the clips of a run, and report what they are like."""
    source, main = request.source.data, accelerator.is_main_process
    callbacks.on_message(f"preparing the clips of '{source}'")
    data = data_setup.gather(request, encoder, accelerator, callbacks)
    if main and data.survey is not None:
        request.run_dir.mkdir(parents=True, exist_ok=True)
        write_csv(data.survey, request.run_dir / "data.csv")
        callbacks.on_survey(data.survey)
    data_setup.check_any(data, source)
    note = publish.other_splits(request.name, data_setup.name_of(source), data.splits)
    if main and note is not None:
        callbacks.on_message(note)
    return data


@contextmanager
def _held(run_dir: Path, accelerator: Accelerator) -> Iterator[None]:
    """Hold a run's folder while the block runs, by the main process for all."""
    with ExitStack() as stack:
        refusal: str | None = None
        if accelerator.is_main_process:
            try:
                stack.enter_context(owned(run_dir, "clipsonic train"))
            except UsageError as error:
                refusal = str(error)
        (refusal,) = broadcast_object_list([refusal])
        if refusal is not None:
            raise UsageError(refusal)
        yield


def load_encoder(model: ModelFolder, part: Part, device: torch.device) -> Encoder | None:
    """Load the CLIP or CLAP of a model that conditions a training; none for a vocoder."""
    if part.encoder is None:
        return None
    model.require([part.encoder])
    load: Callable[[Bundle], Encoder] = load_clap if part.encoder == "clap" else load_clip
    return load(bundle.load(model.part(part.encoder), kind=part.encoder)).to(device)


def _with_queries(
    config: RunConfig,
    request: TrainRequest,
    data: data_setup.PreparedData,
    callbacks: TrainCallbacks,
) -> RunConfig:
    """Choose queries, for samples and to try the model: those requested, else labels and frames."""
    prompts = request.prompts
    images = tuple(str(Path(path).absolute()) for path in request.images)
    if not prompts and not images:
        prompts = tuple(data_setup.prompts_of(data, request.space))
        if request.part.frames:
            folder = request.run_dir / "samples" / "queries"
            frames = data_setup.save_frames(data, folder, on_message=callbacks.on_message)
            images = tuple(str(frame.relative_to(request.run_dir)) for frame in frames)
    return replace(config, prompts=prompts, images=images)


def _add_statistics(
    config: RunConfig,
    setup: Setup,
    encoder: Encoder | None,
    run_dir: Path,
    callbacks: TrainCallbacks,
) -> None:
    """Write the statistics of the frames that a U-Net is trained on, where it is trained on any."""
    if config.stage == "unet" and isinstance(encoder, ClipModel) and config.part.frames:
        name = data_setup.name_of(config.data)
        meta = {"data": name, "licence": config.licence, "run": run_id(config)}
        write_statistics(
            run_dir / "model",
            setup.dataset.clips,
            encoder,
            seed=config.train.seed,
            meta=meta,
            on_message=callbacks.on_message,
            report=callbacks.on_progress,
        )


def _train(
    config: RunConfig,
    setup: Setup,
    encoder: Encoder | None,
    run_dir: Path,
    accelerator: Accelerator,
    minutes: float | None,
    callbacks: TrainCallbacks,
) -> Outcome | None:
    """Write ``run.json``, run the loop, publish the model, and add what texts need."""
    main = accelerator.is_main_process
    if main:
        write_run_config(run_dir, config)
    accelerator.wait_for_everyone()
    plan = text_parts.planned(run_dir)
    own_minutes = None if minutes is None else round(plan.rest * minutes, 3)
    model = ModelInTraining(config, setup, run_dir, accelerator.device, callbacks)
    if main:
        command = model.command(ModelFolder(model.folder))
        for note in (
            *announce.notes(config, setup, model.data, accelerator.device),
            *announce.plan(config, run_dir, own_minutes, command),
            *text_parts.notes(plan),
        ):
            callbacks.on_message(note)
    started = time.monotonic()
    progress = train(
        setup.objective,
        setup.dataset,
        config.train,
        run_dir,
        held_out=setup.held_out,
        device=accelerator.device,
        minutes=own_minutes,
        trackers=config.trackers,
        on_save=model.save,
        on_step=announce.with_estimate(callbacks, share=plan.rest),
    )
    spare = None if minutes is None else minutes - (time.monotonic() - started) / 60
    outcome = model.finish(progress) if main else None
    accelerator.wait_for_everyone()
    added = text_parts.train_parts(
        config,
        setup,
        encoder,
        run_dir,
        accelerator,
        seconds=progress.seconds,
        spare=spare,
        callbacks=callbacks,
    )
    return model.renewed(outcome) if added and outcome is not None else outcome

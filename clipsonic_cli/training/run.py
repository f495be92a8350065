"""From a folder of videos to a model that makes sound: prepare, choose, train, publish.

Knows: the order of things, and what is kept where. Does not know: how any of it is done, nor how a
person is talked to. A run's folder holds its settings (``run.json``), what was dropped of the data
(``data.csv``), the training's state and metrics, samples, and ``model/``, which makes sound at any
time.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from clipsonic_cli.data.report import write_csv
from clipsonic_cli.encoders.clap import ClapModel, load_clap
from clipsonic_cli.encoders.clip import ClipModel, load_clip
from clipsonic_cli.errors import UsageError
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.ema import share_of_start
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.optimizer import make_accelerator
from clipsonic_cli.trainer.tracking import check_trackers
from clipsonic_cli.training import publish
from clipsonic_cli.training.card import data_summary
from clipsonic_cli.training.data_setup import (
    HELD_OUT,
    PreparedData,
    check_any,
    gather,
    name_of,
    pictures_of,
    prompts_of,
)
from clipsonic_cli.training.export import (
    SILENT,
    SUMMARY,
    ModelInTraining,
    Outcome,
    TrainCallbacks,
    run_id,
)
from clipsonic_cli.training.held_out_fad import why_none
from clipsonic_cli.training.presets import Facts, choose, this_machine
from clipsonic_cli.training.request import (
    ENCODERS,
    Resolved,
    TrainRequest,
    check,
    check_batch,
    check_new,
    check_writable,
    place_of_start,
)
from clipsonic_cli.training.run_config import RunConfig, read_run_config, write_run_config
from clipsonic_cli.training.stages import Setup, build, least_seconds
from clipsonic_cli.training.warm_start import find_start, start_with
from clipsonic_cli.types import Space, Stage

NOTABLE_SHARE = 0.01
"""Share of the initial weights in an average above which a line says so."""


def begin(
    request: TrainRequest,
    *,
    device: torch.device,
    minutes: float | None = None,
    callbacks: TrainCallbacks = SILENT,
) -> Outcome | None:
    """Prepares the data, trains, and publishes the model.

    ``run.json`` is written last, when the loop can begin: a run that is interrupted before is begun
    again by the same wish.

    Args:
        request: What is wanted.
        device: What networks run on.
        minutes: Stop after this much time in steps and go to the end.
        callbacks: How it tells where it is.

    Returns:
        What came of it; None in all processes but the main one.

    Raises:
        UsageError: A wish cannot be fulfilled; mostly before anything is read.
        MissingWeights: What conditions the training is not on this machine.
        KeyboardInterrupt: After a signal; what was done is kept.
    """
    given = check(request, gpu=device.type != "cpu")
    accelerator = make_accelerator(device)
    check_batch(request, accelerator.num_processes)
    with held(request.run_dir, accelerator):
        check_new(request.run_dir)  # another process may have begun and ended meanwhile
        return _begin(request, given, accelerator, minutes=minutes, callbacks=callbacks)


@contextmanager
def held(run_dir: Path, accelerator: Accelerator) -> Iterator[None]:
    """Hold a run's folder while the block runs, by the main process for all.

    Raises:
        UsageError: Another training holds it; in every process.
    """
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


def _begin(
    request: TrainRequest,
    given: Resolved,
    accelerator: Accelerator,
    *,
    minutes: float | None,
    callbacks: TrainCallbacks,
) -> Outcome | None:
    """Do what :func:`begin` says, once the run's folder is held."""
    main = accelerator.is_main_process
    if main and (reason := publish.why_unpublished(request.name)) is not None:
        callbacks.tell(
            f"note: the finished model will stay in {request.run_dir / 'model'}. {reason}"
        )
    encoder = load_encoder(given.base, request.stage, request.space, accelerator.device)
    callbacks.tell(f"preparing the clips of '{request.source.data}'")
    material = gather(
        request.source,
        encoder if isinstance(encoder, ClipModel) and request.needs_frames else None,
        waves=request.stage == "vocoder",
        labels=request.needs_labels,
        least=lambda spec: least_seconds(request.stage, request.beyond.window, spec),
        spare=request.run_dir / "prepared",
        accelerator=accelerator,
        held_out=0.0 if request.preset == "paper" else HELD_OUT,
        tell=callbacks.tell,
        report=callbacks.report,
    )
    if main and material.survey is not None:
        request.run_dir.mkdir(parents=True, exist_ok=True)
        write_csv(material.survey, request.run_dir / "data.csv")
        callbacks.show(material.survey)
    check_any(material, request.source.data)
    settings, reasons = decide(request, material, given, encoder, accelerator)
    for reason in reasons:
        callbacks.tell(reason)
    work = build(settings, material.catalogue, encoder)
    if given.start is not None:
        start_with(work.network, given.start)
    if main:
        publish.take_over(given.base, request.run_dir / "model", request.part)
        told = data_summary(name_of(request.source.data), material.catalogue, material.survey)
        (request.run_dir / SUMMARY).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        settings = with_queries(settings, request, material, callbacks)
        write_run_config(request.run_dir, settings)
    accelerator.wait_for_everyone()
    return _train(
        settings, work, request.run_dir, accelerator, minutes=minutes, callbacks=callbacks
    )


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
    """Goes on with a run as if it had never stopped, and publishes the model.

    Args:
        run_dir: The run's folder.
        device: What networks run on.
        minutes: Stop after this much time in steps and go to the end.
        train_changes: Fields of TrainConfig to change, such as ``steps``.
        changes: Other fields of Settings to change, such as ``trackers``.
        overwrite: Replace a part that another run trained.
        callbacks: How it tells where it is.

    Returns:
        What came of it; None in all processes but the main one.

    Raises:
        UsageError: There is no run, its prepared clips are gone, or another run has trained the
            part since.
    """
    read_run_config(run_dir)
    check_writable(run_dir)
    accelerator = make_accelerator(device)
    with held(run_dir, accelerator):
        settings = read_run_config(run_dir)
        changed = dataclasses.replace(settings.train, **(train_changes or {}))
        settings = dataclasses.replace(settings, train=changed, **(changes or {}))
        return _resume(
            settings,
            run_dir,
            accelerator,
            minutes=minutes,
            overwrite=overwrite,
            callbacks=callbacks,
        )


def _resume(
    settings: RunConfig,
    run_dir: Path,
    accelerator: Accelerator,
    *,
    minutes: float | None,
    overwrite: bool,
    callbacks: TrainCallbacks,
) -> Outcome | None:
    """Do what :func:`resume` says, once the run's folder is held."""
    check_trackers(settings.trackers)
    if not overwrite:
        publish.check_free(settings.name, settings.part, run_id(settings))
    try:
        catalogue = read_catalogue(settings.catalogue)
    except UsageError as error:
        raise UsageError(
            f"{error} Without them this run cannot go on; begin another, in another folder."
        ) from None
    model = ModelFolder(run_dir / "model")
    encoder = load_encoder(model, settings.stage, settings.space, accelerator.device)
    work = build(settings, catalogue, encoder)
    if settings.warm_start is not None and checkpoint.load_newest(run_dir) is None:
        start_with(work.network, find_start(settings.warm_start, settings.stage, settings.part))
    if accelerator.is_main_process:
        write_run_config(run_dir, settings)
    return _train(settings, work, run_dir, accelerator, minutes=minutes, callbacks=callbacks)


def load_encoder(
    model: ModelFolder, stage: Stage, space: Space, device: torch.device
) -> ClipModel | ClapModel | None:
    """Reads the CLIP or CLAP of a model that conditions a training; none for a vocoder.

    Raises:
        MissingWeights: It is not on this machine.
        BadBundle: It is damaged.
    """
    if stage == "vocoder":
        return None
    kind = ENCODERS[space]
    path = publish.encoder_file(model, kind)
    if kind == "clap":
        return load_clap(bundle.load(path, kind="clap")).to(device)
    return load_clip(bundle.load(path, kind="clip")).to(device)


def decide(
    request: TrainRequest,
    material: PreparedData,
    given: Resolved,
    encoder: ClipModel | ClapModel | None,
    accelerator: Accelerator,
) -> tuple[RunConfig, tuple[str, ...]]:
    """Makes settings of a wish, the data and the machine, and says why; the same everywhere."""
    machine = this_machine(accelerator.device, accelerator.num_processes)
    facts = Facts(clips=len(material.catalogue.numbers("train")))
    if encoder is not None:
        facts = dataclasses.replace(facts, dim=encoder.dim)
    if isinstance(encoder, ClipModel):
        facts = dataclasses.replace(
            facts, text_dim=encoder.config.text_dim, max_text_len=encoder.config.max_text_len
        )
    chosen = choose(
        request.preset,
        request.stage,
        machine,
        facts,
        size=request.size,
        begun=given.begun,
        wishes=request.train,
    )
    diffusion, every = chosen.diffusion, request.sample_every
    if request.beyond.zero_snr and diffusion is not None:
        prediction = "v" if diffusion.prediction == "eps" else diffusion.prediction
        diffusion = dataclasses.replace(
            diffusion, schedule="cosine-zero-snr", prediction=prediction
        )
    settings = RunConfig(
        name=request.name,
        data=request.source.data,
        catalogue=material.path,
        stage=request.stage,
        space=request.space,
        warm_start=request.warm_start and place_of_start(request.warm_start),
        network=chosen.network,
        diffusion=diffusion,
        train=chosen.train,
        preset=request.preset,
        beyond=request.beyond,
        sample_every=chosen.sample_every if every is None else every,
        trackers=request.trackers,
        licence=request.licence,
    )
    where = machine.name + (f", {machine.processes} processes" if machine.processes > 1 else "")
    there = given.base.path.is_dir()
    rest = f"model '{given.base.name}'" if there else "published weights"
    reasons = (f"training {settings.part} on {where}; the rest is from {rest}", *chosen.reasons)
    # Machines may differ, and the catalogue's path is the main process's.
    told = broadcast_object_list([(settings, reasons)])
    shared: tuple[RunConfig, tuple[str, ...]] = told[0]
    return shared


def with_queries(
    settings: RunConfig, request: TrainRequest, material: PreparedData, callbacks: TrainCallbacks
) -> RunConfig:
    """Chooses what samples are made of, where nothing was asked for: some labels and frames."""
    prompts, pictures = (
        request.prompts,
        tuple(str(Path(path).absolute()) for path in request.pictures),
    )
    if not prompts and not pictures:
        prompts = tuple(prompts_of(material, request.space))
        if request.needs_frames and settings.sample_every:
            folder = request.run_dir / "samples" / "queries"
            frames = pictures_of(material, folder, tell=callbacks.tell)
            pictures = tuple(str(frame.relative_to(request.run_dir)) for frame in frames)
    return dataclasses.replace(settings, prompts=prompts, pictures=pictures)


def _train(
    settings: RunConfig,
    work: Setup,
    run_dir: Path,
    accelerator: Accelerator,
    *,
    minutes: float | None,
    callbacks: TrainCallbacks,
) -> Outcome | None:
    """Runs the loop, and makes a model of what it gave."""
    model = ModelInTraining(settings, work, run_dir, accelerator.device, callbacks)
    if accelerator.is_main_process:
        if work.held_out is None:
            why = "as in the paper" if settings.preset == "paper" else "too few"
            callbacks.tell(f"no clips are held out ({why}): the last average is kept, not the best")
        if (start := share_of_start(settings.train)) > NOTABLE_SHARE:
            callbacks.tell(
                f"after {settings.train.steps:,} steps the average still holds {start:.0%} of the "
                "weights it began with, as the paper's has no warm-up: train longer"
            )
        no_fad = why_none(work.dataset, work.held_out, accelerator.device)
        if no_fad is not None and settings.sample_every:  # it is made with the samples
            callbacks.tell(no_fad)
    progress = train(
        work.objective,
        work.dataset,
        settings.train,
        run_dir,
        held_out=work.held_out,
        device=accelerator.device,
        minutes=minutes,
        trackers=settings.trackers,
        on_save=model.save,
        report=callbacks.report,
    )
    outcome = model.finish(progress) if accelerator.is_main_process else None
    accelerator.wait_for_everyone()
    return outcome

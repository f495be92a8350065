"""From a folder of videos to a model that makes sound: prepare, choose, train, publish.

Knows: the order of things, and what is kept where. Does not know: how any of it is done, nor how a
person is talked to. A run's folder holds its settings (``run.json``), what was dropped of the data
(``data.csv``), the training's state and metrics, samples, and ``model/``, which makes sound at any
time.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from clipsonic_cli.data.report import write_csv
from clipsonic_cli.encoders.clap import Clap, load_clap
from clipsonic_cli.encoders.clip import Clip, load_clip
from clipsonic_cli.errors import UsageError
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.store import bundle
from clipsonic_cli.store.models import ModelFolder
from clipsonic_cli.training import publish
from clipsonic_cli.training.card import data_summary
from clipsonic_cli.training.material import Material, Source, gather, queries_of
from clipsonic_cli.training.metrics import check_trackers
from clipsonic_cli.training.model import SILENT, SUMMARY, ModelInTraining, Outcome, Voice
from clipsonic_cli.training.presets import Facts, check_names, choose, this_machine
from clipsonic_cli.training.settings import (
    FILE,
    PARTS,
    Beyond,
    Settings,
    read_settings,
    write_settings,
)
from clipsonic_cli.training.stages import Work, build, least_seconds
from clipsonic_cli.training.start import find_start, start_with
from clipsonic_cli.training.trainer import train
from clipsonic_cli.training.updates import accelerate
from clipsonic_cli.types import Space, Stage

ENCODERS: dict[Space, str] = {"clip-image": "clip", "clip-text": "clip", "clap-text": "clap"}
"""The part that gives the vectors of a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asked for; None leaves the choice to the preset.

    Args:
        source: The data set.
        run_dir: The run's folder.
        name: Of the model.
        stage: What is trained.
        space: What it is conditioned on.
        preset: One of ``presets.PRESETS``.
        size: Of the network.
        base: Model that gives what is not trained, or "published"; None chooses.
        warm_start: A model or published weights to begin with.
        train: Fields of TrainConfig.
        beyond: What is not in the paper.
        zero_snr: A schedule whose last step is pure noise (Lin et al. 2023).
        prompts: Texts to make samples of; none are labels of the data.
        pictures: Files to make samples of; none are frames of the data.
        sample_every: Steps between samples; 0 makes none.
        trackers: Where metrics go besides metrics.jsonl.
        licence: Of the weights, in words.
        overwrite: Replace a part that another run trained.
    """

    source: Source
    run_dir: Path
    name: str
    stage: Stage = "unet"
    space: Space = "clip-image"
    preset: str = "default"
    size: str | None = None
    base: str | None = None
    warm_start: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    beyond: Beyond = field(default_factory=Beyond)
    zero_snr: bool = False
    prompts: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    sample_every: int | None = None
    trackers: tuple[str, ...] = ()
    licence: str = "not stated"
    overwrite: bool = False

    @property
    def part(self) -> str:
        """The part of a model it makes."""
        return PARTS[self.stage, self.space]


def begin(
    wish: Wish, *, device: torch.device, minutes: float | None = None, voice: Voice = SILENT
) -> Outcome | None:
    """Prepares the data, trains, and publishes the model.

    Args:
        wish: What is wanted.
        device: What networks run on.
        minutes: Stop after this much time in steps and go to the end.
        voice: How it tells where it is.

    Returns:
        What came of it; None in all processes but the main one.

    Raises:
        UsageError: A wish cannot be fulfilled; mostly before anything is read.
        MissingWeights: What conditions the training is not on this machine.
        KeyboardInterrupt: After a signal; what was done is kept.
    """
    base, start = check(wish, gpu=device.type != "cpu")
    accelerator = accelerate(device)
    main = accelerator.is_main_process
    if main:
        publish.take_over(base, wish.run_dir / "model", wish.part)
    accelerator.wait_for_everyone()
    encoder = load_encoder(wish.run_dir, wish.stage, wish.space, accelerator.device)
    material = gather(
        wish.source,
        encoder if isinstance(encoder, Clip) and needs_frames(wish) else None,
        waves=wish.stage == "vocoder",
        least=lambda spec: least_seconds(wish.stage, wish.beyond.window, spec),
        accelerator=accelerator,
        report=voice.report,
    )
    settings, reasons = decide(wish, material, base, encoder, accelerator)
    if main:
        if material.survey is not None:
            write_csv(material.survey, wish.run_dir / "data.csv")
            voice.show(material.survey)
        for reason in reasons:
            voice.tell(reason)
        settings = with_queries(settings, wish, material)
        told = data_summary(material.catalogue, material.survey)
        (wish.run_dir / SUMMARY).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        write_settings(wish.run_dir, settings)
    accelerator.wait_for_everyone()
    settings = read_settings(wish.run_dir)
    work = build(settings, material.catalogue, encoder)
    if start is not None:
        start_with(work.network, start)
    return _train(settings, work, wish.run_dir, accelerator, minutes=minutes, voice=voice)


def resume(
    run_dir: Path,
    *,
    device: torch.device,
    minutes: float | None = None,
    changes: Mapping[str, Any] | None = None,
    voice: Voice = SILENT,
) -> Outcome | None:
    """Goes on with a run as if it had never stopped, and publishes the model.

    Args:
        run_dir: The run's folder.
        device: What networks run on.
        minutes: Stop after this much time in steps and go to the end.
        changes: Fields of TrainConfig to change, such as ``steps``.
        voice: How it tells where it is.

    Raises:
        UsageError: There is no run, or its prepared clips are gone.
    """
    settings = read_settings(run_dir)
    changed = dataclasses.replace(settings.train, **(changes or {}))
    settings = dataclasses.replace(settings, train=changed)
    catalogue = read_catalogue(settings.catalogue)
    accelerator = accelerate(device)
    if accelerator.is_main_process:
        write_settings(run_dir, settings)
    encoder = load_encoder(run_dir, settings.stage, settings.space, accelerator.device)
    work = build(settings, catalogue, encoder)
    return _train(settings, work, run_dir, accelerator, minutes=minutes, voice=voice)


def check(wish: Wish, *, gpu: bool) -> tuple[ModelFolder, Path | None]:
    """Refuses what cannot be, before anything is read.

    Returns:
        The model that gives what is not trained, and the file to begin with, if any.
    """
    if (wish.stage, wish.space) not in PARTS:
        able = ", ".join(space for stage, space in PARTS if stage == wish.stage)
        raise UsageError(f"The stage '{wish.stage}' is conditioned on {able}, not {wish.space}.")
    check_names(wish.preset, wish.stage, wish.size)
    check_trackers(wish.trackers)
    publish.target(wish.name)
    if (wish.run_dir / FILE).exists():
        raise UsageError(
            f"'{wish.run_dir}' holds a run already. Go on with it: clipsonic train --resume "
            f"{wish.run_dir}; or choose another folder with --out."
        )
    if not wish.overwrite:
        publish.check_free(wish.name, wish.part, run="")
    base = publish.base_of(wish.base, wish.name, paper=wish.preset == "paper", gpu=gpu)
    if wish.stage != "vocoder":
        publish.encoder_file(base, ENCODERS[wish.space])
    asked = wish.warm_start
    return base, None if asked is None else find_start(asked, wish.stage, wish.part)


def needs_frames(wish: Wish) -> bool:
    """Whether what is trained sees pictures."""
    return wish.stage != "vocoder" and wish.space == "clip-image"


def load_encoder(
    run_dir: Path, stage: Stage, space: Space, device: torch.device
) -> Clip | Clap | None:
    """Reads the CLIP or CLAP that conditions a run; none for a vocoder."""
    if stage == "vocoder":
        return None
    kind = ENCODERS[space]
    path = publish.encoder_file(ModelFolder(run_dir / "model"), kind)
    if kind == "clap":
        return load_clap(bundle.load(path, kind="clap")).to(device)
    return load_clip(bundle.load(path, kind="clip")).to(device)


def decide(
    wish: Wish,
    material: Material,
    base: ModelFolder,
    encoder: Clip | Clap | None,
    accelerator: Accelerator,
) -> tuple[Settings, tuple[str, ...]]:
    """Makes settings of a wish, the data and the machine, and says why."""
    machine = this_machine(accelerator.device, accelerator.num_processes)
    facts = Facts(clips=len(material.catalogue.numbers("train")))
    if encoder is not None:
        facts = dataclasses.replace(facts, dim=encoder.dim)
    if isinstance(encoder, Clip):
        facts = dataclasses.replace(
            facts, text_dim=encoder.config.text_dim, max_text_len=encoder.config.max_text_len
        )
    chosen = choose(wish.preset, wish.stage, machine, facts, size=wish.size, wishes=wish.train)
    diffusion = chosen.diffusion
    if wish.zero_snr:
        if diffusion is None:
            raise UsageError("A vocoder has no noise schedule; --zero-snr is for the others.")
        prediction = "v" if diffusion.prediction == "eps" else diffusion.prediction
        diffusion = dataclasses.replace(
            diffusion, schedule="cosine-zero-snr", prediction=prediction
        )
    every = wish.sample_every
    settings = Settings(
        name=wish.name,
        data=wish.source.data,
        catalogue=material.path,
        stage=wish.stage,
        space=wish.space,
        base=base.name if base.path.is_dir() else None,
        warm_start=wish.warm_start,
        network=chosen.network,
        diffusion=diffusion,
        train=chosen.train,
        beyond=wish.beyond,
        sample_every=chosen.sample_every if every is None else every,
        prompts=wish.prompts,
        pictures=wish.pictures,
        trackers=wish.trackers,
        licence=wish.licence,
    )
    where = f"{machine.name}, {machine.processes} processes" if machine.processes > 1 else None
    given = f"model '{base.name}'" if base.path.is_dir() else "published weights"
    reasons = (
        f"training {settings.part} on {where or machine.name}; the rest is from {given}",
        *chosen.reasons,
    )
    return settings, reasons


def with_queries(settings: Settings, wish: Wish, material: Material) -> Settings:
    """Chooses what samples are made of, where nothing was asked for."""
    if not settings.sample_every:
        return settings
    prompts, pictures = queries_of(material, wish.space, wish.run_dir / "samples" / "queries")
    return dataclasses.replace(
        settings,
        prompts=settings.prompts or tuple(prompts),
        pictures=settings.pictures or tuple(map(str, pictures if needs_frames(wish) else ())),
    )


def _train(
    settings: Settings,
    work: Work,
    run_dir: Path,
    accelerator: Accelerator,
    *,
    minutes: float | None,
    voice: Voice,
) -> Outcome | None:
    """Runs the loop, and makes a model of what it gave."""
    model = ModelInTraining(settings, work, run_dir, accelerator.device, voice)
    if work.held_out is None and accelerator.is_main_process:
        voice.tell("no clips are held out: too few, so the last weights are kept, not the best")
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
        report=voice.report,
    )
    outcome = model.finish(progress) if accelerator.is_main_process else None
    accelerator.wait_for_everyone()
    return outcome

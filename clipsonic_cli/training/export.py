"""The model a run is making: its file as training goes on, what it sounds like, its end.

Knows: what a part's file says, when samples are made, which weights are kept. Does not know: the
loop, nor where its data came from.
"""

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipsonic_cli import bounded
from clipsonic_cli.config import VocoderConfig
from clipsonic_cli.data.report import Survey
from clipsonic_cli.device import choose_dtype
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.models.bigvgan import fold_weight_norm
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.modes import DEFAULT_MODE, MODES
from clipsonic_cli.preparation.dataset import FramesAndSounds, Segments
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.store.home import REMEDY, NoHome
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.loop import Progress
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.trainer.vocoder import compare_vocoders
from clipsonic_cli.training import publish
from clipsonic_cli.training.card import write_card
from clipsonic_cli.training.departures import changed_from_paper
from clipsonic_cli.training.held_out_fad import backbone_for, held_out_fad
from clipsonic_cli.training.previews import make_samples
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.stages import Setup
from clipsonic_cli.types import Query, Report, silent

SUMMARY = "data.json"
MAX_SUMMARY = 64 << 20
"""Bytes of it at most; it has some numbers, and a line for each label."""
"""What is said of the data, in the run's folder."""
TEXT_MODES = ("pd", "sd", "clip-tta", "clap-tta", "zs")
"""What a person is most likely to want to hear, first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainCallbacks:
    """What a run calls to be followed."""

    on_message: Callable[[str], None] = lambda _line: None
    on_survey: Callable[[Survey], None] = lambda _survey: None
    on_progress: Report = silent


SILENT = TrainCallbacks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a training.

    Args:
        name: The model's.
        path: Where it lies.
        run_dir: The run's folder.
        part: What was trained.
        step: Steps done.
        seconds: Time spent in steps.
        losses: Their last means.
        best: Least held-out loss; None where nothing was held out.
        command: The line that makes a sound; None where the model lacks a part for that.
    """

    name: str
    path: Path
    run_dir: Path
    part: str
    step: int
    seconds: float
    losses: Mapping[str, float]
    best: float | None
    command: str | None


def write_summary(run_dir: Path, summary: Mapping[str, Any]) -> None:
    """Write what a run's data held (``card.data_summary``)."""
    (run_dir / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Return what a run's data held, for its model card.

    Raises:
        ClipsonicError: The file is missing or damaged.
    """
    path = run_dir / SUMMARY
    try:
        summary = bounded.read_json(path, MAX_SUMMARY)
        if not isinstance(summary, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipsonicError(
            f"{path}, which says what the run is trained on, cannot be used ({reason}). Put a copy "
            "back, or begin another run on the same data: what was prepared is used again."
        ) from None
    return summary


class ModelInTraining:
    """The model that a run is making, as it stands."""

    def __init__(
        self,
        settings: RunConfig,
        work: Setup,
        run_dir: Path,
        device: torch.device,
        callbacks: TrainCallbacks,
    ) -> None:
        self.settings, self.work, self.run_dir = settings, work, run_dir
        self.device, self.callbacks = device, callbacks
        self.folder = run_dir / "model"
        self.data = read_summary(run_dir)
        done = [int(path.name.removeprefix("step-")) for path in run_dir.glob("samples/step-*")]
        self.sampled = max(done, default=0)

    def save(self, progress: Progress, log: MetricsLog) -> None:
        """Writes the part as it stands, and makes samples when it is time."""
        self._write(progress, None)
        losses = {name: progress.losses.get(name) for name in self.work.objective.networks}
        told = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items() if loss is not None)
        self.callbacks.on_message(f"step {progress.step:,} saved: {told or 'no loss yet'}")
        every = self.settings.sample_every
        due = every and progress.step // every > self.sampled // every
        if due or (every and progress.step == self.settings.train.steps):
            self.sampled = progress.step
            self._sample(progress.step, log)

    def finish(self, progress: Progress) -> Outcome:
        """Keep the best average or the last, publish the model, and write its card."""
        best = None
        if self.work.held_out is not None and self.settings.train.publish == "best":
            best = checkpoint.load_best(self.run_dir)
        self._write(progress, best, final=True)
        model = self._published()
        command = self._command(model)
        write_card(model, self.settings.name, command)
        return Outcome(
            name=self.settings.name,
            path=model.path,
            run_dir=self.run_dir,
            part=self.settings.part.name,
            step=progress.step,
            seconds=progress.seconds,
            losses=progress.losses,
            best=None if best is None else best["score"],
            command=command,
        )

    def _published(self) -> ModelFolder:
        """Put the model among the others, or leave it in the run's folder and say why."""
        try:
            return publish.publish(self.folder, self.settings.name, self.settings.part.name)
        except NoHome as error:
            reason = str(error)
        except OSError as error:
            reason = f"{error.filename or 'The folder'} cannot be written ({error.strerror})."
            reason = f"{reason} {REMEDY}"
        self.callbacks.on_message(f"note: the model stays in {self.folder}. {reason}")
        return ModelFolder(self.folder)

    def _write(
        self, progress: Progress, best: Mapping[str, Any] | None, *, final: bool = False
    ) -> None:
        """Write the part with the best average, or with that of now; a final vocoder is scored."""
        settings = self.settings
        meta: dict[str, Any] = {
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "losses": {name: round(loss, 5) for name, loss in progress.losses.items()},
            "batch_size": settings.train.batch_size,
            "data": self.data,
            "warm_start": settings.warm_start and Path(settings.warm_start).name,
            "licence": settings.licence,
            "settings": settings_of(settings),
            "changed": changed_from_paper(
                settings,
                self.data["splits"].get("train", 0),
                progress.step,
                self.work.header.encoder,
            ),
            "run": run_id(settings),
        }
        weights = progress.weights if best is None else best["weights"]
        plain = fold_weight_norm(weights)  # only a vocoder has any
        if best is not None:
            meta["best"] = {"step": best["step"], "held_out_loss": round(best["score"], 5)}
        if final and isinstance(self.work.held_out, Segments):
            meta |= self._scores(plain, self.work.held_out)
        header = dataclasses.replace(self.work.header, meta=meta)
        dtype = getattr(torch, settings.train.publish_dtype)
        stored = {name: weight.to(dtype) for name, weight in plain.items()}
        path = self.folder / f"{settings.part.name}{SUFFIX}"
        bundle.write(path, Bundle(header=header, weights=stored))

    def _scores(self, weights: Mapping[str, Tensor], held_out: Segments) -> dict[str, Any]:
        """Score the vocoder and Griffin-Lim on held-out clips, and name the better one."""
        config, spec = self.settings.network, self.work.header.mel
        assert isinstance(config, VocoderConfig)
        assert spec is not None  # a vocoder's header has one
        vocoders = {
            name: build_vocoder(name, spec, config, weights)
            for name in VOCODERS
            if VOCODERS.load(name).part in (None, self.settings.part.name)
        }
        scores = compare_vocoders(vocoders, spec, held_out)
        told = {name: {"log_mel_l1": round(score, 4)} for name, score in scores.items()}
        return {"scores": told, "default_vocoder": min(scores, key=lambda name: scores[name])}

    def _sample(self, step: int, log: MetricsLog) -> None:
        queries = [Query(text=text) for text in self.settings.prompts]
        queries += [Query(image=self.run_dir / picture) for picture in self.settings.pictures]
        made = make_samples(
            self.folder,
            queries,
            self.run_dir,
            step,
            log,
            device=self.device,
            dtype=choose_dtype("auto", self.device),
            report=self.callbacks.on_progress,
        )
        for note in made.notes:
            self.callbacks.on_message(note)
        try:
            self._held_out_fad(step, log)
        except (ClipsonicError, torch.OutOfMemoryError) as error:
            self.callbacks.on_message(f"No FAD of held-out frames: {str(error).splitlines()[0]}")

    def _held_out_fad(self, step: int, log: MetricsLog) -> None:
        """Logs the distance, where there are a network to hear and clips enough."""
        backbone = backbone_for(self.device)
        if not isinstance(self.work.held_out, FramesAndSounds) or backbone is None:
            return
        fad = held_out_fad(
            self.folder,
            self.work.held_out,
            backbone.load(self.device),
            device=self.device,
            dtype=choose_dtype("auto", self.device),
            report=self.callbacks.on_progress,
        )
        if fad is not None:
            log.write(step, {f"held_out_fad_{backbone.name}": fad})

    def _command(self, model: ModelFolder) -> str | None:
        """Gives the line that makes a sound with the part, if there is all that it takes."""
        part, able = self.settings.part.name, model.modes()
        serves = [mode for mode in TEXT_MODES if part in ("vocoder", *MODES[mode].weights)]
        mode = next((mode for mode in serves if mode in able), None)
        if mode is None:
            return None
        stays = model.path == self.folder
        name = str(self.folder) if stays else self.settings.name
        prompt = next(iter(self.settings.prompts), "a photo of violin")
        command = "clipsonic generate --model {} {}"
        if mode != DEFAULT_MODE["text"]:
            command = f"clipsonic generate --model {{}} {{}} --mode {mode}"
        return command.format(shlex.quote(name), shlex.quote(prompt))


def settings_of(settings: RunConfig) -> dict[str, Any]:
    """Gives the settings that a part's file does not tell elsewhere, for its card."""
    return {
        "preset": settings.preset,
        "stage": settings.stage,
        "condition dropped": settings.cond_drop,
        **dataclasses.asdict(settings.beyond),
        **dataclasses.asdict(settings.train),
    }


def run_id(settings: RunConfig) -> str:
    """Gives what tells a run from others, however long it goes on."""
    network = dataclasses.asdict(settings.network)
    told = [settings.name, settings.catalogue, settings.part.name, settings.train.seed, network]
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=6).hexdigest()

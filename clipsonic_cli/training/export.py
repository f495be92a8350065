"""The model a run is making: its file during training, its samples, and its publication."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipsonic_cli.config import TRAINED_VOCODERS, BridgeConfig, VocoderConfig, VocosConfig
from clipsonic_cli.encoders.bridge import KEY, BridgeEncoder
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.models import VOCODERS, state_dict
from clipsonic_cli.models.bigvgan import fold_weight_norm
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.modes import STUDENT
from clipsonic_cli.preparation.dataset import FramesAndSounds, Segments
from clipsonic_cli.preparation.statistics import embed_bank
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.store.home import REMEDY, NoHome
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder
from clipsonic_cli.store.student import student_sampling
from clipsonic_cli.text import digest
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.progress import Progress
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.trainer.vocoder import compare_vocoders
from clipsonic_cli.training import publish, text_modes
from clipsonic_cli.training.bridge import choose_entry
from clipsonic_cli.training.card import read_summary, write_card
from clipsonic_cli.training.command import command_for
from clipsonic_cli.training.departures import changed_from_paper
from clipsonic_cli.training.held_out_fad import backbone_for, held_out_fad, why_none
from clipsonic_cli.training.previews import make_samples
from clipsonic_cli.training.request import TrainCallbacks
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.setup import Setup
from clipsonic_cli.training.step_grids import grids_of
from clipsonic_cli.training.student_stage import header_after, unfinished
from clipsonic_cli.types import Query

MAX_LABELS = 5000
"""Labels that a U-Net's file lists, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a training."""

    name: str
    path: Path
    """The model's folder."""
    run_dir: Path
    part: str
    step: int
    seconds: float
    """Wall-clock time of the loop (``trainer.progress.Progress``)."""
    losses: Mapping[str, float]
    """Their last means."""
    best: float | None
    """Lowest validation loss; None without held-out clips, or where the last average is kept."""
    command: str | None
    """The command that makes a sound; None where the model lacks a part for that."""


class ModelInTraining:
    """The model that a run is making, in ``RUN/model/``."""

    def __init__(
        self,
        config: RunConfig,
        setup: Setup,
        run_dir: Path,
        device: torch.device,
        callbacks: TrainCallbacks,
    ) -> None:
        self.config, self.setup, self.run_dir = config, setup, run_dir
        self.device, self.callbacks = device, callbacks
        self.part, self.folder = config.part.name, run_dir / "model"
        self.data = read_summary(run_dir)
        steps = [int(path.name.removeprefix("step-")) for path in run_dir.glob("samples/step-*")]
        self.sampled = max(steps, default=0)
        self.compared = False

    @property
    def vocoder(self) -> str | None:
        """The name of the vocoder that is trained; None where another part is."""
        return TRAINED_VOCODERS.get(type(self.config.network))

    def save(self, progress: Progress, log: MetricsLog) -> None:
        """Write the part as it is, and make samples when they are due."""
        self._write(progress, None)
        losses = {name: progress.losses.get(name) for name in self.setup.objective.networks}
        shown = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items() if loss is not None)
        self.callbacks.on_message(f"step {progress.step:,} saved: {shown or 'no loss yet'}")
        if self.part == "unet" and not self.compared:
            self.compared = True
            self.choose_default_mode(ModelFolder(self.folder))
        every, step = self.config.sample_every, progress.step
        due = every and step // every > self.sampled // every
        # Samples just before the end would take the time of its steps, and resemble the last.
        if every and (progress.last or (due and 2 * (progress.steps - step) >= every)):
            self.sampled = step
            self._sample(step, log)

    def finish(self, progress: Progress) -> Outcome:
        """Keep the best average or the last, publish the model, and write its card."""
        best = self.write_last(progress)
        for note in unfinished(self.config, progress.step):
            self.callbacks.on_message(note)
        model = published(self.folder, self.config.name, self.part, self.callbacks)
        self.choose_default_mode(model)
        outcome = Outcome(
            name=self.config.name,
            path=model.path,
            run_dir=self.run_dir,
            part=self.part,
            step=progress.step,
            seconds=progress.seconds,
            losses=progress.losses,
            best=None if best is None else best["score"],
            command=None,
        )
        return self.renewed(outcome)

    def write_last(self, progress: Progress) -> Mapping[str, Any] | None:
        """Write the part with the best average or the last, and return the best, if any."""
        best = None
        if self.setup.held_out is not None and self.config.train.publish == "best":
            best = checkpoint.load_best(self.run_dir)
        self._write(progress, best, final=True)
        return best

    def renewed(self, outcome: Outcome) -> Outcome:
        """Write the card of a model that has other parts now, and return it with its command."""
        model = ModelFolder(outcome.path)
        write_card(model, self.config.name, self.command(model, image="picture.jpg"))
        return replace(outcome, command=self.command(model))

    def _write(
        self, progress: Progress, best: Mapping[str, Any] | None, *, final: bool = False
    ) -> None:
        """Write the part with the best average, or else the current one; score a final vocoder."""
        config, header, step = self.config, self.setup.header, progress.step
        clips = self.data["splits"].get("train", 0)
        settings = {  # for the card: those that the file does not state elsewhere
            "preset": config.preset,
            "stage": config.stage,
            "condition dropped": config.cond_drop,
            **asdict(config.extensions),
            **asdict(config.train),
            "warmup": progress.warmup,
        }
        meta: dict[str, Any] = {
            "steps": step,
            "minutes": round(progress.seconds / 60, 1),
            "losses": {name: round(loss, 5) for name, loss in progress.losses.items()},
            "batch_size": config.train.batch_size,
            "data": self.data,
            "warm_start": config.warm_start and Path(config.warm_start).name,
            "licence": config.licence,
            "settings": settings,
            "changed": changed_from_paper(config, clips, step, header.encoder),
            "run": run_id(config),
        }
        weights = progress.weights if best is None else best["weights"]
        plain = fold_weight_norm(weights)  # only a vocoder has any
        if best is not None:
            meta["best"] = {"step": best["step"], "held_out_loss": round(best["score"], 5)}
        if final and (why := why_none(self.setup.dataset, self.setup.held_out, self.device)):
            meta["no_fad"] = why
        if header.kind == STUDENT:
            header = header_after(header, config, step)
        if header.kind in ("unet", STUDENT):
            meta["labels"] = self.setup.dataset.labels()[:MAX_LABELS]
        if final and header.kind == "unet":
            meta |= grids_of(
                plain, config, self.setup, self.device, progress.seconds, self.callbacks
            )
        if final and header.kind == "vocoder":
            meta |= self._scores(plain)
        if final and header.kind == "bridge":
            meta |= self._entry(plain)
        dtype = getattr(torch, config.train.publish_dtype)
        stored = {name: weight.to(dtype) for name, weight in plain.items()}
        made = Bundle(header=replace(header, meta=meta), weights=stored)
        bundle.write(self.folder / f"{self.part}{SUFFIX}", made)

    def _scores(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Score the vocoder and Griffin-Lim on held-out clips, and name the better one the default.

        Without such clips none is named. Only the preset "paper", which holds none out and whose
        vocoder is the trained one, then compares on training clips.
        """
        config, setup = self.config, self.setup
        clips, of = setup.held_out, "held-out clips"
        if clips is None and config.preset == "paper":
            clips, of = setup.dataset, "training clips, as none are held out"
        trained = self.vocoder
        hear = f"clipsonic generate --model {shlex.quote(config.name)} --vocoder {trained}"
        if clips is None:
            self.callbacks.on_message(
                f"{trained} was not compared with griffin-lim, as no clips are held out, and "
                f"is not the default vocoder. To hear it: {hear}"
            )
            return {}
        assert isinstance(clips, Segments)
        assert isinstance(config.network, VocoderConfig | VocosConfig)
        spec = clips.clips.spec
        vocoders = {
            name: build_vocoder(name, spec, config.network, weights)
            for name in VOCODERS
            if name == trained or VOCODERS.load(name).part is None
        }
        scores = compare_vocoders(vocoders, clips)
        better = min(scores, key=lambda name: scores[name])
        shown = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
        other = "" if better == trained else f". To hear {trained}: {hear}"
        self.callbacks.on_message(
            f"vocoders on {of}: spectral distance {shown}; the default is {better}{other}"
        )
        rounded = {name: {"spectral_distance": round(score, 4)} for name, score in scores.items()}
        return {"scores": rounded, "scored_on": of, "default_vocoder": better}

    def _entry(self, weights: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Choose where texts enter the bridge, by held-out frames or else by those trained on."""
        network, diffusion = self.config.network, self.config.diffusion
        assert isinstance(network, BridgeConfig)
        assert diffusion is not None  # a bridge has one
        part = bundle.load(ModelFolder(self.folder).part("clip"), kind="clip")
        clip = load_clip(part).to(self.device)
        bridge = state_dict.build(lambda: Bridge(network), weights, self.part, device=self.device)
        clips, of = self.setup.held_out, "held-out frames"
        if clips is None:
            clips, of = self.setup.dataset, "the frames trained on, as none are held out"
        encoder, frames = (
            BridgeEncoder(clip, bridge, diffusion),
            text_modes.frames_of(clips.clips)[0],
        )
        meta = choose_entry(encoder, embed_bank(clip), frames)
        shown = ", ".join(f"{entry} {fit:.3f}" for entry, fit in meta["cosines"].items())
        self.callbacks.on_message(
            f"texts enter the bridge at step {meta[KEY]} of {diffusion.train_steps}: cosine with "
            f"{of} by entry {shown}"
        )
        return meta

    def _sample(self, step: int, log: MetricsLog) -> None:
        """Make samples, and the FAD of held-out frames; a failure is a message."""
        queries = [Query(text=text) for text in self.config.prompts]
        queries += [Query(image=self.run_dir / image) for image in self.config.images]
        on_message, report = self.callbacks.on_message, self.callbacks.on_progress
        sampling = student_sampling(ModelFolder(self.folder)) if self.part == STUDENT else {}
        make_samples(
            self.folder,
            queries,
            self.run_dir,
            step,
            log,
            vocoder=self.vocoder,
            sampling=sampling,
            device=self.device,
            on_message=on_message,
            report=report,
        )
        backbone, held_out = backbone_for(self.device), self.setup.held_out
        if not isinstance(held_out, FramesAndSounds) or backbone is None:
            return
        try:
            embedder = backbone.load(self.device)
            fad = held_out_fad(
                self.folder,
                held_out,
                embedder,
                sampling=sampling,
                device=self.device,
                report=report,
            )
        except (ClipsonicError, torch.OutOfMemoryError) as error:
            on_message(f"No FAD of held-out frames: {str(error).splitlines()[0]}")
            return
        if fad is not None:
            log.write(step, {f"held_out_fad_{backbone.name}": fad})

    def choose_default_mode(self, model: ModelFolder) -> None:
        """Compare the ways from text where the model has others than were compared before."""
        if self.config.part.frames and text_modes.is_due(model, self.part):
            text_modes.choose_default_mode(
                model,
                self.setup.dataset.clips,
                None if self.setup.held_out is None else self.setup.held_out.clips,
                self.device,
                on_message=self.callbacks.on_message,
                report=self.callbacks.on_progress,
            )

    def command(self, model: ModelFolder, image: str | None = None) -> str | None:
        """Return :func:`command_for` a label or, without one, ``image``; by default a frame."""
        if self.config.images:
            image = image or str(self.run_dir / self.config.images[0])
        return command_for(model, self.part, self.config.prompts, image)


def published(folder: Path, name: str, part: str, callbacks: TrainCallbacks) -> ModelFolder:
    """Publish a run's model by its name, or leave it in the run's folder and say why."""
    try:
        model, former = publish.publish(folder, name, part)
        for path in former:
            callbacks.on_message(
                f"the former part '{path.name.partition('.')[0]}' is kept; to go back, rename "
                f"{path} to {path.stem}"
            )
        return model
    except NoHome as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename or 'The folder'} cannot be written ({error.strerror})."
        reason = f"{reason} {REMEDY}"
    callbacks.on_message(f"note: the model stays in {folder}. {reason}")
    return ModelFolder(folder)


def run_id(config: RunConfig) -> str:
    """Return a digest that identifies a run, however long it is continued."""
    network = asdict(config.network)
    identity = [config.name, config.catalogue, config.part.name, config.train.seed, network]
    return digest(json.dumps(identity))

"""What texts need besides statistics, trained at the end of a U-Net's training: bridge and prior.

Each takes a share of the time, and is kept if texts fit held-out frames better by it than by any
other way. ``RUN/texts.json`` says what is planned, and what came of it.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.preparation.texts import knows
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import RUN_FILE, SUFFIX, ModelFolder
from clipsonic_cli.text import counted, duration
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.progress import StepStatus
from clipsonic_cli.training import publish
from clipsonic_cli.training.card import read_summary, write_summary
from clipsonic_cli.training.export import ModelInTraining, published
from clipsonic_cli.training.presets import choose, this_machine
from clipsonic_cli.training.request import (
    SILENT,
    Resolved,
    Source,
    TrainCallbacks,
    TrainRequest,
)
from clipsonic_cli.training.run_config import RunConfig, read_run_config, write_run_config
from clipsonic_cli.training.setup import Setup, build
from clipsonic_cli.training.stage_row import Encoder
from clipsonic_cli.training.text_modes import HELD_OUT, Comparison, compare_by_clips, store
from clipsonic_cli.types import Stage

PARTS: Mapping[str, tuple[Stage, str]] = {"bridge": ("bridge", "db"), "prior-sd": ("prior", "sd")}
"""The stage that trains each part, and the mode that needs it."""
SHARE = 0.1
"""Default share of the time for each part."""
FILE = "texts.json"
MAX_BYTES = 1 << 16
FOLDER = "texts"
"""Folder in a run's, of the trainings of the parts; each is deleted when its part is judged."""
LEAST_MINUTES = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlan:
    """What a run trains for texts."""

    share: float = 0.0
    """Share of the training's time for each part, 0 to 1."""
    verdicts: Mapping[str, str | None]
    """What came of each part, for people; None where it is to be trained."""

    @property
    def due(self) -> list[str]:
        """The parts that are to be trained."""
        return [name for name, verdict in self.verdicts.items() if verdict is None]

    @property
    def rest(self) -> float:
        """Share of the time that is the U-Net's."""
        return round(1 - self.share * len(self.due), 6)

    def minutes(self, seconds: float, spare: float | None) -> float:
        """Return the time of the next part, of ``spare`` minutes that all have, if any are set.

        ``seconds`` is the time of the U-Net's training.
        """
        own = self.share / (1 - self.share * len(self.verdicts)) * seconds / 60
        return own if spare is None else max(0.0, min(own, spare / len(self.due)))


def share_of(request: TrainRequest) -> float:
    """Return the share of the time for each part: by default none of the paper's training."""
    usual = SHARE if request.preset == "default" else 0.0
    return usual if request.text_share is None else request.text_share


def wanted(
    config: RunConfig, clip: Encoder | None, labels: Iterable[str], held_out: int
) -> tuple[list[str], str]:
    """Return the parts that a training of a U-Net for frames adds, or none and why, for people."""
    if config.part.name != "unet" or not isinstance(clip, ClipModel):
        return [], ""
    if held_out < HELD_OUT:
        return [], f"{counted(held_out, 'clip')} held out, of {HELD_OUT} that judge them"
    names = ["bridge"]
    if sum(knows(clip, label) for label in labels) > 1:
        names.append("prior-sd")
    own = publish.target(config.name)
    return [name for name in names if own is None or not _is_there(own, name)], ""


def _is_there(model: ModelFolder, name: str) -> bool:
    """Return whether a model has a part; what cannot be looked into has none."""
    return os.path.isfile(model.path / f"{name}{SUFFIX}")  # noqa: PTH113 - False where it is hidden


def plan(
    request: TrainRequest,
    config: RunConfig,
    setup: Setup,
    clip: Encoder | None,
    run_dir: Path,
    callbacks: TrainCallbacks,
) -> None:
    """Decide which parts a run will train for texts, and write that into its folder."""
    share = share_of(request)
    if not share:
        return
    held_out = 0 if setup.held_out is None else len(setup.held_out.clips)
    names, why = wanted(config, clip, setup.dataset.labels(), held_out)
    if why:
        callbacks.on_message(f"no bridge or prior is trained for texts: {why}")
    if names:
        _write(run_dir, TextPlan(share=share, verdicts=dict.fromkeys(names)))


def planned(run_dir: Path) -> TextPlan:
    """Read what a run trains for texts; nothing where it has no plan.

    Raises:
        ClipsonicError: The file is damaged.
    """
    path = run_dir / FILE
    if not path.is_file():
        return TextPlan(verdicts={})
    try:
        fields = bounded.read_json(path, MAX_BYTES)
        share, verdicts = float(fields["share"]), dict(fields["parts"])
        if not (0 < share * len(PARTS) < 1 and verdicts.keys() <= PARTS.keys()):
            raise ValueError("a share or a part that cannot be")
        if not all(verdict is None or isinstance(verdict, str) for verdict in verdicts.values()):
            raise ValueError("a verdict that is no text")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ClipsonicError(
            f"{path} cannot be used ({error}). Delete it to train nothing more for texts."
        ) from None
    return TextPlan(share=share, verdicts=verdicts)


def _write(run_dir: Path, plan: TextPlan) -> None:
    with written(run_dir / FILE) as temporary:
        content = {"share": plan.share, "parts": dict(plan.verdicts)}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def notes(plan: TextPlan) -> Iterator[str]:
    """Yield what a person should know of a plan before the training begins."""
    if plan.due:
        yield (
            f"at the end, {plan.share:.0%} of the time for {' and for '.join(plan.due)} "
            "(`text_share`), kept if texts fit held-out frames better by it"
        )


def train_parts(
    config: RunConfig,
    setup: Setup,
    clip: Encoder | None,
    run_dir: Path,
    accelerator: Accelerator,
    *,
    seconds: float,
    spare: float | None,
    callbacks: TrainCallbacks,
) -> bool:
    """Train the parts that are due, and keep those by which texts fit frames better.

    Args:
        config: The U-Net's.
        setup: The U-Net's networks and data.
        clip: Encodes frames and texts.
        run_dir: The U-Net's run.
        accelerator: The Accelerator of the processes, which all call this.
        seconds: Time of the U-Net's training.
        spare: Minutes that are left; None sets no end.
        callbacks: Followed by people.

    Returns:
        Whether the model has another part now.
    """
    kept, main = False, accelerator.is_main_process
    while (plan := planned(run_dir)).due:
        # Share out the time.
        name = plan.due[0]
        (minutes,) = broadcast_object_list([plan.minutes(seconds, spare)])
        later = None if spare is None else spare - minutes
        callbacks.on_message(
            f"training {name}, for mode {PARTS[name][1]}: {duration(60 * minutes)} at most"
        )

        def on_step(status: StepStatus, later: float | None = later) -> None:
            left = None if later is None else later + (status.minutes_left or 0.0)
            callbacks.on_step(replace(status, minutes_left=left))

        # Train, and judge.
        try:
            followed = replace(callbacks, on_step=on_step)
            found = _train(name, config, setup, clip, run_dir, accelerator, minutes, followed)
            pays, verdict = judge(found, name) if main else (False, "")
        except (ClipsonicError, torch.OutOfMemoryError) as error:
            found, pays, verdict = None, False, f"{name} is left out: {str(error).splitlines()[0]}"
        # Keep the part, or nothing of it.
        if main:
            callbacks.on_message(verdict)
            if pays and found is not None:
                _keep(name, config.name, run_dir, found, callbacks)
                kept = True
            _write(run_dir, replace(plan, verdicts={**plan.verdicts, name: verdict}))
            shutil.rmtree(run_dir / FOLDER / name, ignore_errors=True)
        accelerator.wait_for_everyone()
        spare = later
    return kept


def _train(
    name: str,
    config: RunConfig,
    setup: Setup,
    clip: Encoder | None,
    run_dir: Path,
    accelerator: Accelerator,
    minutes: float,
    callbacks: TrainCallbacks,
) -> Comparison | None:
    """Train a part, or go on with it, in a folder of its own, and compare the ways from text."""
    folder, base = run_dir / FOLDER / name, ModelFolder(run_dir / "model")
    clips, main, device = setup.dataset.clips, accelerator.is_main_process, accelerator.device
    # Choose settings, and build.
    if (folder / RUN_FILE).is_file():
        own = read_run_config(folder)
    else:
        request = TrainRequest(
            source=Source(data=config.data, seed=config.train.seed),
            name=config.name,
            out=folder,
            stage=PARTS[name][0],
            licence=config.licence,
            sample_every=0,
            train={"seed": config.train.seed},
        )
        resolved = Resolved(base=base, encoder=bundle.read_header(base.part("clip")))
        machine = this_machine(device, accelerator.num_processes)
        chosen = choose(request, resolved, machine, catalogue=config.catalogue, clips=len(clips))
        (own,) = broadcast_object_list([chosen[0]])
    part = build(own, clips.catalogue, clip, None)
    if main:
        publish.take_over(base, folder / "model", name)
        write_summary(folder, read_summary(run_dir))
        write_run_config(folder, own)
    accelerator.wait_for_everyone()
    # Train.
    model = ModelInTraining(own, part, folder, device, SILENT)
    before = checkpoint.load_newest(folder)
    spent = 0.0 if before is None else before["seconds"] / 60
    progress = train(
        part.objective,
        part.dataset,
        own.train,
        folder,
        held_out=part.held_out,
        device=device,
        minutes=max(minutes - spent, LEAST_MINUTES),
        on_save=model.save,
        on_step=callbacks.on_step,
    )
    if not main:
        return None
    # Compare.
    model.write_last(progress)
    held_out = None if setup.held_out is None else setup.held_out.clips
    folder, report = model.folder, callbacks.on_progress
    return compare_by_clips(ModelFolder(folder), clips, held_out, device, report=report)


def judge(found: Comparison | None, name: str) -> tuple[bool, str]:
    """Return whether texts fit frames better by a part, beyond chance, and that for people."""
    mode = PARTS[name][1]
    if found is None or mode not in found.fits:
        return False, f"{name} is left out: it does not fit the model"
    other = found.without(mode).best
    ahead, interval = found.advantage(mode, other)
    pays = found.best == mode and interval is not None and interval[0] > 0
    shown = ", ".join(f"{way} {found.fits[way]:.3f}" for way in (mode, other))
    chance = "too few to tell" if interval is None else "95 % {:.3f} to {:.3f}".format(*interval)
    return pays, (
        f"{name} is {'kept' if pays else 'left out'}: cosines with held-out frames {shown}; "
        f"{ahead:+.3f} ({chance})"
    )


def _keep(
    part: str, name: str, run_dir: Path, found: Comparison, callbacks: TrainCallbacks
) -> None:
    """Add a part to the run's model and to the finished one, with the ways from text compared."""
    own, file = ModelFolder(run_dir / "model"), f"{part}{SUFFIX}"
    publish.copy(run_dir / FOLDER / part / "model" / file, own.path / file)
    finished = published(own.path, name, part, callbacks)
    for model in {own.path: own, finished.path: finished}.values():
        store(model, found)
    callbacks.on_message(str(found))

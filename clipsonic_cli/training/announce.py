"""What a run says of its training before and while it goes on."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.preparation.dataset import FramesAndSounds
from clipsonic_cli.text import counted, duration
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.clock import MEASURED
from clipsonic_cli.trainer.ema import share_of_start
from clipsonic_cli.trainer.progress import StepStatus
from clipsonic_cli.training import student_stage
from clipsonic_cli.training.held_out_fad import why_none
from clipsonic_cli.training.request import TrainCallbacks, length, resume_command
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.setup import Setup

NOTABLE_SHARE = 0.01
"""Share of the initial weights in an average above which a message says so."""

NOTABLE_SECONDS = 60
"""Time left from which a message says how much it is."""


def plan(
    config: RunConfig, run_dir: Path, minutes: float | None, command: str | None
) -> Iterator[str]:
    """Yield how long a training is, where it is kept, how it goes on, and how to hear it."""
    done, steps = checkpoint.newest_step(run_dir), config.train.steps
    if not done:
        yield f"{length(steps, minutes)}, in {run_dir}"
    elif done < steps:
        rest = length(steps - done, minutes)
        rest += ", with no limit of `minutes`" if minutes is None else ""
        yield f"going on in {run_dir} from step {done:,}: {rest}"
    else:
        yield f"{run_dir} is done ({counted(done, 'step')}); for more give `steps`"
        return
    yield f"Ctrl-C saves; to go on: {resume_command(run_dir)}"
    first = config.train.save_every
    if command is not None and done < first < steps:
        sooner = "" if minutes is None else " (or from the end, if that is sooner)"
        yield f"to hear it from step {first:,} on{sooner}: {command}"
    if not done and config.licence == "not stated":
        yield "the model's licence is not stated: to state it, give `licence` when a run begins"


def with_estimate(callbacks: TrainCallbacks, *, share: float) -> Callable[[StepStatus], None]:
    """Return the callback for steps, which says once how long the training will take.

    ``share`` is the part of the whole time that these steps have: minutes left are of the whole.
    """
    steps = itertools.count(1)

    def on_step(status: StepStatus) -> None:
        if next(steps) == MEASURED and status.seconds_left > NOTABLE_SECONDS:
            callbacks.on_message(
                f"about {duration(status.seconds_left)} to go, {duration(status.pace)} a step"
            )
        left = None if status.minutes_left is None else status.minutes_left / share
        callbacks.on_step(replace(status, minutes_left=left))

    return on_step


def notes(
    config: RunConfig, setup: Setup, data: Mapping[str, Any], device: torch.device
) -> Iterator[str]:
    """Yield what a person should know of a training before it begins."""
    yield from student_stage.plan(config)
    if setup.held_out is None:
        why = _why_none_held_out(config, data)
        yield f"no clips are held out ({why}): the last average is kept, not the best"
    if (share := share_of_start(config.train)) > NOTABLE_SHARE:
        yield (
            f"after {counted(config.train.steps, 'step')} the average still holds {share:.0%} of "
            "the weights it began with, as the paper's has no warm-up: train longer"
        )
    fad = isinstance(setup.dataset, FramesAndSounds) and config.sample_every
    if fad and why_none(setup.dataset, setup.held_out, device) is None:
        yield "with the samples comes the FAD of held-out frames, in metrics.jsonl"


def _why_none_held_out(config: RunConfig, data: Mapping[str, Any]) -> str:
    """Format why no clip is for validation, by the summary of the data."""
    drawn = data.get("drawn")
    if count := data["splits"].get("valid"):
        return f"none of the {count:,} for validation can be used for this stage"
    if drawn is None:
        return "the data set has none for validation that can be used"
    if drawn["valid_share"]:
        return "none was drawn that can be used; it takes four videos of one label, or of none"
    return "as in the paper" if config.preset == "paper" else "`valid_share` is 0"

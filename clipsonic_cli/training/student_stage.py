"""The stage that trains a student: what it is, and what its file says of a training so far."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from clipsonic_cli.config import STUDENT_SIZES, DiffusionConfig, MelSpec, StudentConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.modes import STUDENT, TAUGHT
from clipsonic_cli.preparation.dataset import FramesAndSounds
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.student import StudentObjective, calls_after, phases_of, student_process
from clipsonic_cli.training.stage_row import Part, StageRow

if TYPE_CHECKING:  # run_config.py reads this row
    from clipsonic_cli.training.run_config import RunConfig


def _student(config: "RunConfig", _spec: MelSpec) -> Objective:
    network = cast(StudentConfig, config.network)
    student, teacher = UNet(network), UNet(network)
    for unet in (student, teacher):
        unet.to(memory_format=torch.channels_last)
    return StudentObjective(
        student,
        teacher,
        Process(cast(DiffusionConfig, config.diffusion)),
        phases=phases_of(network.calls, config.train.steps),
        window=config.extensions.window,
        max_guidance=network.max_guidance,
    )


def header_after(header: Header, config: "RunConfig", step: int) -> Header:
    """Return a student's header after so many steps, with the calls it is trained for by then."""
    network = cast(StudentConfig, config.network)
    calls = calls_after(network.calls, config.train.steps, step)
    return replace(header, config=replace(network, calls=calls))


def plan(config: "RunConfig") -> Iterator[str]:
    """Yield what a student learns from which step on, for people; nothing of another stage."""
    if isinstance(config.network, StudentConfig):
        guided, *halved = phases_of(config.network.calls, config.train.steps)
        then = ", ".join(f"{phase.calls} from step {phase.start:,}" for phase in halved)
        yield f"the student learns guidance in {guided.calls} calls, then fewer: {then}"


def unfinished(config: "RunConfig", step: int) -> Iterator[str]:
    """Yield that a student stopped before its last phase, for people, where it did."""
    if isinstance(config.network, StudentConfig):
        wanted = config.network.calls
        if (calls := calls_after(wanted, config.train.steps, step)) != wanted:
            yield (
                f"note: the student takes {calls} calls so far, not {wanted}; let the run go on to "
                "its last step"
            )


STUDENT_ROW = StageRow(
    parts={
        "clip-image": Part(
            name=STUDENT,
            encoder="clip",
            frames=True,
            extensions=frozenset({"window", "mean_of", "crops"}),
        )
    },
    sizes=STUDENT_SIZES,
    lr={"large": 5e-5, "base": 1e-4, "mini": 3e-4},
    teacher=TAUGHT,
    left_with=student_process,
    encoder_fields={"dim": "cond_dim"},
    # The last average, as losses of different phases do not compare, and one of few steps, so that
    # each phase ends with an average of its own.
    default={"steps": 40_000, "ema_decay": 0.999, "publish": "last"},
    cpu={"steps": 4000, "ema_decay": 0.99},
    paper={"lr": 5e-5, "ema_decay": 0.999},  # CLIPSonic has none: as by default
    paper_steps=(40_000, 40_000),
    least_frames=lambda window, _spec: window,
    objective=_student,
    dataset=lambda clips, _texts, extensions: FramesAndSounds(
        clips, window=extensions.window, mean_of=extensions.mean_of, crops=extensions.crops
    ),
)

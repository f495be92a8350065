"""The training objective of a student: guidance, and few calls, learned from a U-Net.

First the student, which reads w, learns what its teacher predicts with guidance. Then, again and
again, it learns to do in one step what its own average so far, its new teacher, does in two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.halving import halved
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import halving_timesteps
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.batches import Batch, crop, random_starts
from clipsonic_cli.trainer.objective import Loss

GUIDED_CALLS = 32
"""Levels at which guidance is learned: as many calls as the first halving begins with."""
BITS = 30
"""Of the number that draws a level, whatever their count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a student's training."""

    start: int
    """Its first step."""
    calls: int
    """Network calls of a sound that it trains for."""

    @property
    def guided(self) -> bool:
        """Whether the student learns guidance; else it learns to take half as many calls."""
        return self.calls == GUIDED_CALLS


def phases_of(calls: int, steps: int) -> list[Phase]:
    """Return the phases of a training for so many network calls, in so many steps.

    The first and the last have two shares of the steps each, the others one.
    """
    counts = [GUIDED_CALLS]
    while counts[-1] > calls:
        counts.append(counts[-1] // 2)
    shares = [2, *[1] * (len(counts) - 2), 2][: len(counts)]
    starts = [steps * sum(shares[:place]) // sum(shares) for place in range(len(counts))]
    return [Phase(start=start, calls=n) for start, n in zip(starts, counts, strict=True)]


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """Return the phase of step number ``step`` (0-based)."""
    return next(phase for phase in reversed(phases) if phase.start <= step)


def calls_after(calls: int, steps: int, step: int) -> int:
    """Return the network calls that a student is trained for when ``step`` steps are done."""
    return phase_at(phases_of(calls, steps), max(0, step - 1)).calls


def student_process(teachers: DiffusionConfig) -> DiffusionConfig:
    """Return the process of a student: its teacher's, but for what is predicted, which is v."""
    return replace(teachers, prediction="v", variance="fixed")


class StudentObjective:
    """The squared error of the v by which a student's one step ends where its teacher does.

    A batch holds ``mel`` (B, 1, F, T) normalised, T >= window, and ``embed`` (B, D) of unit norm.
    Whatever the teacher predicts, the student predicts v: at pure noise a prediction of eps says
    nothing of x0, which is the whole sound in one call.

    Args:
        student: ``student(x_t, time, cond, w)``. Its weights are at first those of the U-Net that
            teaches it, with whatever ``w``; ``null_cond`` is its absent condition.
        teacher: Such a network, of any weights.
        process: The U-Net's process.
        phases: See :func:`phases_of`.
        window: Frames a clip is cropped to.
        max_guidance: w is drawn uniformly from 0 to this.

    Source: Meng et al. 2023 (guidance, stage one); Salimans & Ho 2022 (halving, v, and its weight
        of errors, SNR + 1).
    """

    main = criterion = "student"

    def __init__(
        self,
        student: UNet,
        teacher: UNet,
        process: Process,
        *,
        phases: Sequence[Phase],
        window: int = 64,
        max_guidance: float = 4.0,
    ) -> None:
        student.null_cond.requires_grad = False  # no loss depends on it
        self.student, self.teacher = student, teacher
        self.networks: dict[str, nn.Module] = {"student": student, "teacher": teacher}
        self.taught = Process(replace(process.config, variance="fixed"))
        self.process = Process(student_process(process.config))
        self.phases, self.window, self.max_guidance = phases, window, max_guidance
        self._enter(phases[0])

    def _enter(self, phase: Phase) -> None:
        """Choose the levels that the teacher visits."""
        self.phase, process = phase, self.taught if phase.guided else self.process
        levels = phase.calls if phase.guided else 2 * phase.calls
        self.chain = process.respaced(halving_timesteps(process.config.train_steps, levels))

    def begin(self, step: int, average: Callable[[], Mapping[str, Tensor]]) -> None:
        """Enter the phase of a step; at its start teacher and student become the average."""
        self._enter(phase_at(self.phases, step))
        if step == self.phase.start:
            weights = average()
            self.teacher.load_state_dict(weights)
            self.student.load_state_dict(weights)

    def turns(self, _step: int) -> Sequence[str]:
        """Return the student's name; the teacher is not updated."""
        return (self.main,)

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw window, noise, w, and a number that chooses the level."""
        starts = random_starts(batch["mel"], self.window, generator)
        x_0 = crop(batch["mel"], starts, self.window)  # (B, 1, F, T)
        return {
            "clip": batch["clip"],
            "embed": batch["embed"],
            "x_0": x_0,
            "eps": torch.randn(x_0.shape, generator=generator),
            "level": torch.randint(1 << BITS, (len(x_0),), generator=generator),
            "guidance": self.max_guidance * torch.rand(len(x_0), generator=generator),
        }

    def loss(self, _network: str, batch: Batch, _step: int, /) -> Loss:
        """Compute the loss of a batch in the phase that was begun last."""
        i = batch["level"] * self.phase.calls >> BITS
        i = i if self.phase.guided else 2 * i + 1  # a level that the student visits, too
        x_t = self.chain.q_sample(batch["x_0"], i, batch["eps"])
        x_0 = self._target(x_t, i, batch)
        output = self._call(self.networks["student"], x_t, i, batch["embed"], batch["guidance"])
        # By the student's process: that of the chain may predict eps.
        t = self.chain.timesteps[i]
        target = self.process.target(x_0, t, self.process.eps_from_x0(x_t, t, x_0))
        losses = (output - target).square().flatten(1).mean(1)  # (B,)
        return Loss(
            mean=losses.mean(), parts={f"student_{self.phase.calls}_calls": losses.detach()}
        )

    @torch.no_grad()
    def _target(self, x_t: Tensor, i: Tensor, batch: Batch) -> Tensor:
        """Return the x0 (B, 1, F, T) that the student learns to predict at levels i (B,)."""
        self.teacher.eval()
        cond, w = batch["embed"], batch["guidance"]
        if not self.phase.guided:

            def predict(x_t: Tensor, i: Tensor) -> Tensor:
                return self.chain.predict_x0(x_t, i, self._call(self.teacher, x_t, i, cond, w))

            return halved(self.chain, i, x_t, predict)
        uncond = self.teacher.null_cond.expand_as(cond)
        twice = (torch.cat([x_t, x_t]), torch.cat([i, i]), torch.cat([uncond, cond]))
        without, with_ = self._call(self.teacher, *twice, torch.cat([w, w])).chunk(2)
        scale = w.reshape(-1, *[1] * (x_t.ndim - 1))
        return self.chain.predict_x0(x_t, i, without + scale * (with_ - without))

    def _call(self, network: nn.Module, x_t: Tensor, i: Tensor, cond: Tensor, w: Tensor) -> Tensor:
        """Compute a network's prediction at levels i (B,) of the chain, in float32."""
        time = self.process.network_time(self.chain.timesteps[i]).to(x_t.device)
        output: Tensor = network(x_t, time, cond, w)
        return output.float()

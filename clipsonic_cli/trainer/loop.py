"""The one loop that trains every network of clipsonic, in one process or in many.

Knows: order of things, averages, checkpoints, when to stop. Does not know: what is trained
(``objective.py``), on what (``batches.py``), or how weights are moved (``updates.py``). A run that
was interrupted and resumed is, on the CPU with as many threads, bit for bit the run that was not; a
run of many processes is, but for rounding and dropout, the run of one.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.batches import Batch, Dataset, Feed, draw_clips
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.ema import Ema
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.optimizer import Updater, learning_rate, make_accelerator
from clipsonic_cli.trainer.signals import catch_signals
from clipsonic_cli.trainer.tracking import Means, MetricsLog, check_trackers
from clipsonic_cli.types import Report, silent

VALIDATION_SEED = 0
"""Of the held-out clips and their noise: the same for every run, so that curves compare."""


class Diverged(ClipsonicError):
    """A loss is no number, or larger than any real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training stands when it is saved.

    Args:
        step: Steps done.
        seconds: Time spent in steps, over all resumptions.
        losses: Means since the last line of metrics.jsonl.
        weights: Averaged weights of the network that is kept.
        best: Least held-out loss of such weights so far; theirs are in best.pt. Infinite before.
    """

    step: int
    seconds: float
    losses: dict[str, float]
    weights: dict[str, Tensor]
    best: float = math.inf


def train(
    objective: Objective,
    dataset: Dataset,
    config: TrainConfig,
    run_dir: Path,
    *,
    held_out: Dataset | None = None,
    device: torch.device | None = None,
    minutes: float | None = None,
    trackers: Sequence[str] = (),
    on_save: Callable[[Progress, MetricsLog], None] | None = None,
    report: Report = silent,
) -> Progress:
    """Trains until ``config.steps``, from the newest checkpoint in ``run_dir`` if there is one.

    Writes ``state-*.pt``, ``best.pt`` and ``metrics.jsonl`` into ``run_dir``. SIGTERM and Ctrl-C
    finish the step, save, and then interrupt; a second one interrupts at once.

    Started by ``accelerate launch`` or ``torchrun``, the processes share every batch; the main one
    alone writes and calls back. All need to see ``run_dir``.

    Args:
        objective: What to lower; its networks are moved to the device and trained in place.
        dataset: Where batches come from.
        config: How.
        run_dir: The run's folder, made if need be.
        held_out: Clips to judge the averaged weights by, always with the same noise.
        device: Kind of device the networks run on, a process each; None is the CPU.
        minutes: Stop and save after this much time in this call, if ``steps`` are not done before.
        trackers: Names of ``metrics.TRACKERS`` that shall show the training as well.
        on_save: Called after every checkpoint, with the log for whatever else is to be shown.
        report: Progress.

    Returns:
        Where the training stands at its end.

    Raises:
        Diverged: A loss is not finite or above ``max_loss``; the last checkpoint stays.
        UsageError: The run in ``run_dir`` is of another network, or trained by another process, the
            batch cannot be shared, or a tracker cannot be used.
        ClipsonicError: One clip alone does not fit into the device's memory.
        KeyboardInterrupt: After a signal, once saved.
    """
    check_trackers(trackers)
    accelerator = make_accelerator(device or torch.device("cpu"))
    main = accelerator.is_main_process
    run = _Run(objective, dataset, held_out, config, run_dir, accelerator)
    with owned(run_dir, "a training") if main else nullcontext():
        run.resume(trackers)
        deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
        try:
            with catch_signals() as interrupted, run.feed:
                while run.step < config.steps:
                    run.advance()
                    report("train", run.step, config.steps)
                    stopped, late = run.anywhere(interrupted.is_set(), time.monotonic() > deadline)
                    ending = run.step == config.steps or stopped or late
                    if ending or run.step % config.save_every == 0:
                        progress = run.save()
                        if main and on_save is not None:
                            on_save(progress, run.log)
                    if stopped:
                        raise KeyboardInterrupt
                    if ending:
                        break
        finally:
            run.close()
    return run.progress()


@dataclass(slots=True)
class _Clock:
    """Time since the last line of metrics."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(slots=True)
class _Run:
    """A training's whole state, and how it advances by one step."""

    objective: Objective
    dataset: Dataset
    held_out: Dataset | None
    config: TrainConfig
    run_dir: Path
    accelerator: Accelerator
    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    losses: dict[str, float] = field(default_factory=dict)
    means: Means = field(default_factory=Means)
    clock: _Clock = field(default_factory=_Clock)
    rows: slice = field(init=False)
    feed: Feed = field(init=False)
    updater: Updater = field(init=False)
    ema: Ema = field(init=False)
    log: MetricsLog = field(init=False)

    def __post_init__(self) -> None:
        processes, number = self.accelerator.num_processes, self.accelerator.process_index
        share, left = divmod(self.config.batch_size, processes)
        if left or not share:
            raise UsageError(
                f"A batch of {self.config.batch_size} cannot be shared by {processes} processes. "
                f"Choose a multiple of {processes}."
            )
        self.rows = slice(number * share, (number + 1) * share)
        self.feed = Feed(
            self.dataset,
            self.objective.draw,
            batch_size=self.config.batch_size,
            rows=self.rows,
            generator=torch.Generator().manual_seed(self.config.seed),
        )
        self.updater = Updater(self.objective, self.config, self.accelerator, share)
        kept = self.updater.networks[self.objective.main]
        self.ema = Ema(kept, self.config.ema_decay, warmup=self.config.ema_warmup)

    def advance(self) -> None:
        """Does one step."""
        started, waited = time.monotonic(), self.feed.waited
        drawn, seed = self.feed.next()
        batch = self._placed(drawn)
        self.updater.set_rate(self.step)
        for name in self.objective.turns(self.step):
            wrong = self.updater.update(name, batch, self.step, seed, self.means)
            if wrong is not None:
                raise self._diverged(wrong, batch)
        self.ema.update(self.step)
        self.step += 1
        elapsed = time.monotonic() - started
        self.seconds += elapsed
        self.clock.steps += 1
        self.clock.seconds += elapsed
        self.clock.waited += self.feed.waited - waited
        last = self.step == self.config.steps
        if last or self.step % self.config.log_every == 0:
            self._write_means()
        if self.held_out is not None and (last or self.step % self.config.validate_every == 0):
            self._validate(self.held_out)

    def _placed(self, batch: Batch) -> Batch:
        """Moves a batch to the device, but for integers, which tables are looked up by."""
        device = self.accelerator.device
        placed = dict(batch)
        for name, values in batch.items():
            if values.is_floating_point():
                values = values.pin_memory() if device.type == "cuda" else values
                placed[name] = values.to(device, non_blocking=True)
        return placed

    def _diverged(self, what: str, batch: Batch) -> Diverged:
        numbers = gather_object(batch["clip"].tolist())
        clips = ", ".join(self.dataset.name(clip) for clip in numbers)
        return Diverged(
            f"Training stopped at step {self.step}: {what} (allowed: up to "
            f"{self.config.max_loss:g}). Lower the learning rate or look at the clips: {clips}."
        )

    def _write_means(self) -> None:
        self.means.pool(self.accelerator)
        self.losses, self.means = self.means.values(), Means()
        clock, self.clock = self.clock, _Clock()
        pace = clock.seconds / clock.steps
        line = {
            "seconds": round(self.seconds, 3),
            **self.losses,
            "lr": learning_rate(self.config, self.step - 1),
            "clips_per_second": round(self.config.batch_size / pace, 3),
            "waiting": round(clock.waited / clock.seconds, 4),
            "eta_seconds": round(pace * (self.config.steps - self.step)),
        }
        if self.updater.piece < self.updater.rows:
            line["micro_batch"] = self.updater.piece
        self._write(line)

    def _validate(self, held_out: Dataset) -> None:
        """Judges the averaged weights by held-out clips."""
        main = self.objective.main
        network = self.updater.networks[main]
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        means = Means()
        network.eval()
        with self.ema.applied(), torch.no_grad():
            for _ in range(self.config.validate_batches):
                seeds = torch.randint(2**62, (self.config.batch_size,), generator=generator)
                mine = seeds[self.rows].tolist()
                for start in range(0, len(mine), self.updater.piece):
                    piece = mine[start : start + self.updater.piece]
                    batch = self._placed(draw_clips(held_out, self.objective.draw, piece))
                    with self.updater.autocast():
                        loss = self.objective.loss(main, batch, self.step)
                    means.add(main, loss.mean, len(piece))
                    for name, values in loss.parts.items():
                        means.add(name, values, len(piece) if values.ndim == 0 else 1)
        network.train()
        means.pool(self.accelerator)
        found = means.values()  # all of them in the main process, none elsewhere
        self._write({f"held_out_{name}": value for name, value in found.items()})
        score = found.get(self.objective.criterion, math.inf)
        if score < self.best:
            self.best, weights = score, self.ema.state_dict()
            best = {"step": self.step, "score": score, "weights": weights}
            checkpoint.save_best(self.run_dir, best)

    def _write(self, line: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.log.write(self.step, line)

    def anywhere(self, *happened: bool) -> tuple[bool, ...]:
        """Tells of each thing whether it happened in any of the processes."""
        if self.accelerator.num_processes == 1:
            return happened
        flags = torch.tensor(happened, dtype=torch.float32, device=self.accelerator.device)
        return tuple((self.accelerator.reduce(flags, "sum") > 0).tolist())

    def progress(self) -> Progress:
        """Gives where the run stands."""
        return Progress(
            step=self.step,
            seconds=self.seconds,
            losses=self.losses,
            weights=self.ema.state_dict(),
            best=self.best,
        )

    def save(self) -> Progress:
        """Writes a checkpoint."""
        self.means.pool(self.accelerator)
        if self.accelerator.is_main_process:
            state = {
                "config": dataclasses.asdict(self.config),
                "step": self.step,
                "seconds": self.seconds,
                "best": self.best,
                "sums": {name: float(total) for name, total in self.means.sums.items()},
                "counts": dict(self.means.counts),
                "losses": self.losses,
                "generator": self.feed.position(),
                "ema": self.ema.state_dict(),
                **self.updater.state_dict(),
            }
            checkpoint.save(self.run_dir, self.step, state, keep=self.config.keep)
        self.accelerator.wait_for_everyone()
        return self.progress()

    def resume(self, trackers: Sequence[str]) -> None:
        """Takes up the newest checkpoint, if there is one."""
        main = self.accelerator.is_main_process
        if main:
            self.run_dir.mkdir(parents=True, exist_ok=True)
        self.accelerator.wait_for_everyone()
        state = checkpoint.load_newest(self.run_dir)
        if state is not None:
            self._restore(state)
        steps = set(gather_object([self.step]))
        if len(steps) > 1:
            raise UsageError(
                f"Processes found different checkpoints in {self.run_dir}, of steps "
                f"{sorted(steps)}. Choose a folder that all machines share."
            )
        if main:
            self.log = MetricsLog(self.run_dir, self.step, trackers=trackers)
        self.updater.wrap()

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.updater.load_state_dict(state)
            self.ema.load_state_dict(state["ema"])
            self.feed.generator.set_state(state["generator"])
            self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
            self.best = state.get("best", math.inf)
            if self.accelerator.is_main_process:  # the sums are those of all processes
                # Until counts were kept, every value was there once a step.
                once = {name: self.step - state.get("logged", 0) for name in state["sums"]}
                self.means.counts = dict(state.get("counts", once))
                self.means.sums = {name: torch.tensor(v) for name, v in state["sums"].items()}
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.run_dir} holds a training of another network, or a damaged one "
                f"({str(error).splitlines()[0]}). Choose another folder to begin anew."
            ) from None

    def close(self) -> None:
        """Gives the objective its networks back and ends the log."""
        self.updater.release()
        if self.accelerator.is_main_process:
            self.log.close()

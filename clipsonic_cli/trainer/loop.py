"""The one loop that trains every network of clipsonic, in one process or in many.

A run that was interrupted and resumed is, on the CPU with as many threads, bit for bit the run that
was not; a run of many processes is, but for rounding and dropout, the run of one.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.batches import Batch, Dataset, Feed, draw_clips
from clipsonic_cli.trainer.clock import MEASURED, Clock
from clipsonic_cli.trainer.config import TrainConfig, longest_warmup
from clipsonic_cli.trainer.ema import Ema
from clipsonic_cli.trainer.objective import Objective, Phased
from clipsonic_cli.trainer.optimizer import Updater, make_accelerator, share_of_batch
from clipsonic_cli.trainer.progress import Progress, StepStatus
from clipsonic_cli.trainer.signals import catch_signals
from clipsonic_cli.trainer.tracking import Means, MetricsLog, check_trackers

VALIDATION_SEED = 0
"""Seed of the held-out clips and their noise: the same for every run, so that curves compare."""


class Diverged(ClipsonicError):
    """A loss is NaN, or above the largest allowed."""


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
    on_step: Callable[[StepStatus], None] = lambda _status: None,
) -> Progress:
    """Train until ``config.steps``, from the newest checkpoint in ``run_dir`` if there is one.

    With ``minutes`` the end may come before. If so the warm-up is at most a tenth of the steps that
    the time is enough for, as measured in the run's first steps; checkpoints keep its length.

    Writes ``state-*.pt``, ``best.pt`` and ``metrics.jsonl`` into ``run_dir``. SIGTERM and Ctrl-C
    finish the step, save, and then interrupt; a second one interrupts at once.

    Started by ``accelerate launch`` or ``torchrun``, the processes share every batch; the main one
    alone writes and calls back. All need to see ``run_dir``.

    Args:
        objective: Its networks are moved to the device and trained in place.
        dataset: The training clips.
        config: Hyperparameters.
        run_dir: Made if need be.
        held_out: Validation clips for the averaged weights, always with the same noise.
        device: Kind of device, one for each process; None is the CPU.
        minutes: Stop after this much time in this call, validations and samples included; the last
            validation, checkpoint and samples follow.
        trackers: Names of ``tracking.TRACKERS`` to log to as well.
        on_save: Called after every checkpoint, with the log for whatever else is to be shown.
        on_step: Called after every step.

    Raises:
        Diverged: A loss is not finite or above ``max_loss``; the last checkpoint stays.
        UsageError: The run in ``run_dir`` is of another network, or trained by another process, the
            batch cannot be shared, or a tracker cannot be used.
        ClipsonicError: One clip alone does not fit into the device's memory.
        KeyboardInterrupt: After a signal, once saved.
    """
    check_trackers(trackers)
    accelerator = make_accelerator(device or torch.device("cpu"))
    run = _Run(objective, dataset, held_out, config, run_dir, accelerator)
    with owned(run_dir, "a training") if accelerator.is_main_process else nullcontext():
        run.resume(trackers, minutes)
        try:
            with catch_signals() as interrupted, run.feed:
                while not run.last:
                    run.advance()
                    if minutes is not None:
                        run.watch_time()
                    run.observe()
                    on_step(run.status())
                    stopped = run.any_process(interrupted.is_set())
                    if stopped or run.due(config.save_every):
                        progress = run.save()
                        if run.log is not None and on_save is not None:
                            on_save(progress, run.log)
                    if stopped:
                        raise KeyboardInterrupt
        finally:
            run.close()
    return run.progress()


class _Run:
    """The state of a training, and how it advances by one step."""

    def __init__(
        self,
        objective: Objective,
        dataset: Dataset,
        held_out: Dataset | None,
        config: TrainConfig,
        run_dir: Path,
        accelerator: Accelerator,
    ) -> None:
        share = share_of_batch(config.batch_size, accelerator.num_processes)
        start = accelerator.process_index * share
        self.objective, self.dataset, self.held_out = objective, dataset, held_out
        self.config, self.run_dir, self.accelerator = config, run_dir, accelerator
        self.rows = slice(start, start + share)
        generator = torch.Generator().manual_seed(config.seed)
        self.feed = Feed(dataset, objective.draw, config.batch_size, self.rows, generator)
        self.updater = Updater(objective, config, accelerator, share)
        self.network = self.updater.networks[objective.main]
        self.ema = Ema(self.network, config.ema_decay, warmup=config.ema_warmup)
        self.log: MetricsLog | None = None
        """Open from :meth:`resume` to :meth:`close`, in the main process alone."""
        self.clock: Clock
        self.step, self.earlier, self.best = 0, 0.0, math.inf
        self.late = False
        self.losses: dict[str, float] = {}
        self._start_line()

    def _start_line(self) -> None:
        """Start to count what the next line of metrics.jsonl holds."""
        self.means = Means()
        self.line_steps, self.line_seconds, self.line_waited = 0, 0.0, 0.0

    def due(self, every: int) -> bool:
        """Return whether something is due that is done every so many steps, and after the last."""
        return self.last or self.step % every == 0

    @property
    def last(self) -> bool:
        """Whether no step is left, or no time."""
        return self.late or self.step >= self.config.steps

    def advance(self) -> None:
        """Do one step."""
        started, waited = time.monotonic(), self.feed.waited

        # Update.
        if isinstance(self.objective, Phased):
            self.objective.begin(self.step, self.ema.state_dict)
        drawn, seed = self.feed.next()
        batch = self._to_device(drawn)
        self.updater.set_rate(self.step)
        for name in self.objective.turns(self.step):
            wrong = self.updater.update(name, batch, self.step, seed, self.means)
            if wrong is not None:
                raise self._diverged(wrong, batch)
        self.ema.update(self.step)
        self.step += 1

        # Time.
        self.clock.tick(self.step)
        self.line_steps += 1
        self.line_seconds += time.monotonic() - started
        self.line_waited += self.feed.waited - waited

    def watch_time(self) -> None:
        """Find whether the time is up, and fit the warm-up to it once the pace is known."""
        self.late = self.any_process(self.clock.over)
        if self.step == MEASURED:
            steps, _ = self.clock.end(self.step, self.config.steps)
            fitted = min(self.updater.warmup, longest_warmup(steps))
            (self.updater.warmup,) = broadcast_object_list([fitted])

    def observe(self) -> None:
        """Log and validate, where it is due."""
        if self.due(self.config.log_every):
            self._log_means()
        if self.held_out is not None and self.due(self.config.validate_every):
            self._validate(self.held_out)

    def _to_device(self, batch: Batch) -> Batch:
        """Move a batch to the device, but for integers, which index tables."""
        device = self.accelerator.device
        moved = dict(batch)
        for name, values in batch.items():
            if values.is_floating_point():
                values = values.pin_memory() if device.type == "cuda" else values
                moved[name] = values.to(device, non_blocking=True)
        return moved

    def _diverged(self, what: str, batch: Batch) -> Diverged:
        numbers = gather_object(batch["clip"].tolist())
        clips = ", ".join(self.dataset.name(clip) for clip in numbers)
        return Diverged(
            f"Training stopped at step {self.step}: {what} (allowed: up to "
            f"{self.config.max_loss:g}). Lower the learning rate or look at the clips: {clips}."
        )

    def _log_means(self) -> None:
        self.means.pool(self.accelerator)
        self.losses = self.means.values()
        pace = self.line_seconds / self.line_steps
        values = {
            "seconds": round(self.clock.seconds, 3),
            **self.losses,
            "lr": self.updater.rate,
            "clips_per_second": round(self.config.batch_size / pace, 3),
            "waiting": round(self.line_waited / self.line_seconds, 4),
            "eta_seconds": round(self.clock.end(self.step, self.config.steps)[1]),
        }
        if self.updater.at_once < self.updater.rows:
            values["micro_batch"] = self.updater.at_once
        if self.log is not None:
            self.log.write(self.step, values)
        self._start_line()

    def _validate(self, held_out: Dataset) -> None:
        """Compute the validation loss of the averaged weights, and keep the best ones."""
        main, at_once = self.objective.main, self.updater.at_once
        generator, means = torch.Generator().manual_seed(VALIDATION_SEED), Means()
        self.network.eval()
        with self.ema.applied(), torch.no_grad():
            for _ in range(self.config.validate_batches):
                seeds = torch.randint(2**62, (self.config.batch_size,), generator=generator)
                own = seeds[self.rows].tolist()
                for start in range(0, len(own), at_once):
                    clips = own[start : start + at_once]
                    batch = self._to_device(draw_clips(held_out, self.objective.draw, clips))
                    with self.updater.autocast():
                        loss = self.objective.loss(main, batch, self.step)
                    means.add_loss(main, loss, len(clips))
        self.network.train()
        means.pool(self.accelerator)
        if self.log is None:
            return
        values = means.values()
        self.log.write(self.step, {f"held_out_{name}": value for name, value in values.items()})
        score = values[self.objective.criterion]
        if score < self.best:
            self.best = score
            best = {"step": self.step, "score": score, "weights": self.ema.state_dict()}
            checkpoint.save_best(self.run_dir, best)

    def any_process(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        if self.accelerator.num_processes == 1:
            return flag
        number = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(number, "sum") > 0)

    @property
    def latest_losses(self) -> dict[str, float]:
        """Means in the last line of metrics.jsonl; before the first, so far."""
        return self.losses or self.means.values()

    def status(self) -> StepStatus:
        """Return what a display shows of the run."""
        steps, left = self.clock.end(self.step, self.config.steps)
        pace = self.clock.pace(self.step)
        return StepStatus(
            step=self.step,
            steps=steps,
            seconds_left=left,
            minutes_left=self.clock.minutes_left,
            pace=pace,
            clips_per_second=self.config.batch_size / pace if pace else math.inf,
            loss=self.latest_losses.get(self.objective.main),
        )

    def progress(self) -> Progress:
        """Return the state of the run."""
        return Progress(
            step=self.step,
            steps=self.clock.end(self.step, self.config.steps)[0],
            seconds=self.clock.seconds,
            warmup=self.updater.warmup,
            last=self.last,
            losses=self.latest_losses,
            weights=self.ema.state_dict(),
            best=self.best,
        )

    def save(self) -> Progress:
        """Write a checkpoint."""
        self.means.pool(self.accelerator)
        if self.accelerator.is_main_process:
            state = {
                "config": dataclasses.asdict(self.config),
                "step": self.step,
                "seconds": self.clock.seconds,
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

    def resume(self, trackers: Sequence[str], minutes: float | None) -> None:
        """Restore the newest checkpoint, if there is one, open the log and start the clock."""
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
        self.clock = Clock(step=self.step, earlier=self.earlier, minutes=minutes)

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.updater.load_state_dict(state)
            self.ema.load_state_dict(state["ema"])
            self.feed.generator.set_state(state["generator"])
            self.step, self.earlier = state["step"], state["seconds"]
            self.losses, self.best = state["losses"], state["best"]
            if self.accelerator.is_main_process:  # the sums are those of all processes
                self.means.counts = dict(state["counts"])
                self.means.sums = {name: torch.tensor(v) for name, v in state["sums"].items()}
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.run_dir} holds a training of another network, or a damaged one "
                f"({str(error).splitlines()[0]}). Choose another folder to begin again."
            ) from None

    def close(self) -> None:
        """Unwrap the objective's networks and close the log."""
        self.updater.release()
        if self.log is not None:
            self.log.close()

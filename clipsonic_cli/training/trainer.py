"""The one loop that trains every network of clipsonic.

Knows: optimizers, averages, precision, checkpoints, when to stop. Does not know: what is trained
(an :class:`Objective` says that) or on what (a ``Dataset``). A run that was interrupted and
resumed is, on the CPU, bit for bit the run that was not.
"""

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clipsonic_cli.config import TrainConfig
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.training import checkpoint
from clipsonic_cli.training.batches import Batch, Dataset
from clipsonic_cli.training.ema import Ema
from clipsonic_cli.types import Report, silent


class Diverged(ClipsonicError):
    """A loss is no number, or larger than any real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One network's move in a step.

    Args:
        network: Its name in :attr:`Objective.networks`; it is updated before the next turn.
        loss: Scalar to be lowered.
        parts: Scalars worth logging, by name.
    """

    network: str
    loss: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What to lower, by turning a batch into losses.

    Attributes:
        networks: What is trained, by name. The first is the one that is kept: its weights are
            averaged. A GAN has its discriminators after it.
    """

    networks: Mapping[str, nn.Module]

    def turns(self, batch: Batch, step: int, generator: torch.Generator, /) -> Iterator[Turn]:
        """Gives the losses of one step, one after another; the trainer updates in between.

        Args:
            batch: From the data set, moved to the networks' device.
            step: Steps done before this one.
            generator: On the CPU; all the randomness there is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training stands when it is saved.

    Args:
        step: Steps done.
        seconds: Time spent in steps, over all resumptions.
        losses: Means since the last line of metrics.jsonl.
        weights: Averaged weights of the network that is kept.
    """

    step: int
    seconds: float
    losses: dict[str, float]
    weights: dict[str, Tensor]


def train(
    objective: Objective,
    dataset: Dataset,
    config: TrainConfig,
    run_dir: Path,
    *,
    device: torch.device | None = None,
    minutes: float | None = None,
    on_save: Callable[[Progress], None] | None = None,
    report: Report = silent,
) -> Progress:
    """Trains until ``config.steps``, from the newest checkpoint in ``run_dir`` if there is one.

    Writes ``state-*.pt`` and ``metrics.jsonl`` into ``run_dir``. SIGTERM and Ctrl-C finish the
    step, save, and then interrupt; a second one interrupts at once.

    Args:
        objective: What to lower; its networks are moved to the device and trained in place.
        dataset: Where batches come from.
        config: How.
        run_dir: The run's folder, made if need be.
        device: Where the networks run; None is the CPU.
        minutes: Stop and save after this much time in this call, if ``steps`` are not done before.
        on_save: Called after every checkpoint.
        report: Progress.

    Returns:
        Where the training stands at its end.

    Raises:
        Diverged: A loss is not finite or above ``max_loss``; the last checkpoint stays.
        UsageError: The run in ``run_dir`` is of another network.
        KeyboardInterrupt: After a signal, once saved.
    """
    run = _Run(objective, dataset, config, run_dir, device or torch.device("cpu"))
    run.resume()
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    with _interrupts() as interrupted:
        while run.step < config.steps:
            run.advance()
            report("train", run.step, config.steps)
            ending = run.step == config.steps or time.monotonic() > deadline or interrupted.is_set()
            if ending or run.step % config.save_every == 0:
                progress = run.save()
                if on_save is not None:
                    on_save(progress)
            if interrupted.is_set():
                raise KeyboardInterrupt
            if ending:
                break
    return run.progress()


class _Run:
    """A training's whole state, and how it advances by one step."""

    def __init__(
        self,
        objective: Objective,
        dataset: Dataset,
        config: TrainConfig,
        run_dir: Path,
        device: torch.device,
    ) -> None:
        self.objective, self.dataset, self.config = objective, dataset, config
        self.run_dir, self.device = run_dir, device
        self.networks = {name: net.to(device).train() for name, net in objective.networks.items()}
        self.optimizers = {
            name: torch.optim.AdamW(
                network.parameters(),
                lr=config.lr,
                betas=config.betas,
                weight_decay=config.weight_decay,
                foreach=True,
            )
            for name, network in self.networks.items()
        }
        self.ema = Ema(next(iter(self.networks.values())), config.ema_decay)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
        self.logged = 0  # the step of the newest line of metrics
        self.sums: dict[str, float] = {}
        self.losses: dict[str, float] = {}

    def advance(self) -> None:
        """Does one step."""
        started = time.monotonic()
        config, generator = self.config, self.generator
        batch = self.dataset.sample(config.batch_size, generator)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = config.lr * min(1.0, (self.step + 1) / max(1, config.warmup))
        autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
        )
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            # Dropout draws from the global generator; here it too follows ours.
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            turns = self.objective.turns(batch, self.step, generator)
            while True:
                with autocast:
                    turn = next(turns, None)
                if turn is None:
                    break
                self._update(turn, batch)
        self.ema.update(self.step)
        self.step += 1
        self.seconds += time.monotonic() - started
        if self.step % config.log_every == 0 or self.step == config.steps:
            self._log()

    def _update(self, turn: Turn, batch: Batch) -> None:
        network, optimizer = self.networks[turn.network], self.optimizers[turn.network]
        loss = float(turn.loss.detach())
        if not abs(loss) <= self.config.max_loss:  # also true of nan
            raise self._diverged(f"the loss of the {turn.network} is {loss:g}", batch)
        optimizer.zero_grad(set_to_none=True)
        turn.loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(
            network.parameters(), self.config.clip_norm or math.inf, foreach=True
        )
        if not math.isfinite(norm):
            raise self._diverged(f"the gradient of the {turn.network} is {float(norm):g}", batch)
        optimizer.step()
        values = {turn.network: loss, f"{turn.network}_grad_norm": float(norm)}
        values |= {name: float(part.detach()) for name, part in turn.parts.items()}
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def _diverged(self, what: str, batch: Batch) -> Diverged:
        clips = ", ".join(self.dataset.name(int(clip)) for clip in batch["clip"])
        return Diverged(
            f"Training stopped at step {self.step}: {what} (allowed: up to "
            f"{self.config.max_loss:g}). Lower the learning rate or look at the clips: {clips}."
        )

    def _log(self) -> None:
        count = self.step - self.logged
        self.losses = {name: total / count for name, total in self.sums.items()}
        self.logged, self.sums = self.step, {}
        line = {"step": self.step, "seconds": round(self.seconds, 3), **self.losses}
        with (self.run_dir / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def progress(self) -> Progress:
        """Gives where the run stands."""
        return Progress(
            step=self.step,
            seconds=self.seconds,
            losses=self.losses,
            weights=self.ema.state_dict(),
        )

    def save(self) -> Progress:
        """Writes a checkpoint."""
        state = {
            "config": dataclasses.asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "logged": self.logged,
            "sums": self.sums,
            "losses": self.losses,
            "generator": self.generator.get_state(),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "ema": self.ema.state_dict(),
        }
        checkpoint.save(self.run_dir, self.step, state, keep=self.config.keep)
        return self.progress()

    def resume(self) -> None:
        """Takes up the newest checkpoint, if there is one."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        state = checkpoint.load_newest(self.run_dir)
        if state is not None:
            self._restore(state)
        self._drop_metrics_after(self.step)

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            for name, network in self.networks.items():
                network.load_state_dict(state["networks"][name])
                self.optimizers[name].load_state_dict(state["optimizers"][name])
            self.ema.load_state_dict(state["ema"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"{self.run_dir} holds a training of another network "
                f"({str(error).splitlines()[0]}). Choose another folder to begin anew."
            ) from None
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.logged, self.sums, self.losses = state["logged"], state["sums"], state["losses"]

    def _drop_metrics_after(self, step: int) -> None:
        """Removes lines of steps that will be done again."""
        path = self.run_dir / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
            path.write_text("".join(kept), encoding="utf-8")


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turns the first SIGINT or SIGTERM into an event; the second acts as it always did."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals belong to the main thread; nothing to catch here
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        event.set()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield event
    finally:
        restore()

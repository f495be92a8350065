"""How one network is updated by one batch: gradients in pieces that fit, clipped, then AdamW."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType, InitProcessGroupKwargs, release_memory
from torch import Tensor, nn

from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.trainer.batches import Batch
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.tracking import Means


def make_accelerator(device: torch.device) -> Accelerator:
    """Create the Accelerator; one process unless launched by torchrun or accelerate.

    Precision stays with :class:`TrainConfig`: an ``Accelerator`` fixes it once for a process.

    Raises:
        UsageError: ``accelerate launch`` is to shard networks, or the device is another.
    """
    handlers = [
        DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        # The main process may make samples, or wait for another's decoding, for long.
        InitProcessGroupKwargs(timeout=timedelta(days=1)),
    ]
    cpu = device.type == "cpu"
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
    plain = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in plain:
        raise UsageError(
            f"Training copies whole networks to every process and has no use for "
            f"{accelerator.distributed_type.value}. Choose multi-GPU in: accelerate config."
        )
    if accelerator.device.type != device.type:
        raise UsageError(
            f"Training on {device.type} was requested, but this process already computes on "
            f"{accelerator.device.type}. Start a new one."
        )
    return accelerator


def share_of_batch(batch_size: int, processes: int) -> int:
    """Return how many clips of a batch each process computes."""
    if batch_size % processes:
        raise UsageError(
            f"A batch of {batch_size} cannot be shared by {processes} processes. "
            f"Choose a multiple of {processes}."
        )
    return batch_size // processes


class Updater:
    """Networks with their optimizers, on this process's device.

    Several processes hold the same networks; each computes the gradient of its rows and they are
    averaged (DistributedDataParallel). Rows that do not fit into a GPU's memory at once are
    computed in pieces of half the size, and half again, whose gradients add up to the same.

    The objective's networks are moved to the device, and wrapped from :meth:`wrap` to
    :meth:`release`; :attr:`networks` are the same, never wrapped. ``rows`` is the number of clips
    of a batch this process computes, :attr:`at_once` of them at once. :attr:`warmup` is the
    configuration's, and may be changed.
    """

    def __init__(
        self, objective: Objective, config: TrainConfig, accelerator: Accelerator, rows: int
    ) -> None:
        self.objective, self.config, self.accelerator = objective, config, accelerator
        self.device, self.rows = accelerator.device, rows
        self.at_once = min(config.micro_batch or rows, rows)
        self.networks = {n: net.to(self.device).train() for n, net in objective.networks.items()}
        self.optimizers = {n: adamw(net, config) for n, net in self.networks.items()}
        self.warmup, self.rate = config.warmup, config.lr
        self._known_to_fit: set[str] = set()

    def wrap(self) -> None:
        """Let processes exchange gradients, copy the main one's weights to all, and compile."""
        for name, network in self.networks.items():
            if self.config.compile:
                # In place: no name of a weight changes. In the default mode, as CUDA graphs would
                # hold on to the weights' addresses, and averages trade places with weights in a
                # validation (which is compiled once more, without gradients).
                network.compile()
            self.objective.networks[name] = self.accelerator.prepare_model(network)

    def release(self) -> None:
        """Give the objective its own networks back."""
        self.objective.networks.update(self.networks)
        for network in self.networks.values():
            # There is no public way back from compile(); as of torch 2.14.
            network._compiled_call_impl = None

    def set_rate(self, step: int) -> None:
        """Set the learning rate for step number ``step`` (0-based)."""
        self.rate = learning_rate(replace(self.config, warmup=self.warmup), step)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.rate

    def update(self, name: str, batch: Batch, step: int, seed: int, means: Means) -> str | None:
        """Update a network by the gradient of its loss on this process's rows.

        The seed is dropout's, which alone draws from the global generator; that is restored.
        ``means`` receives the values to log.

        Returns:
            What is wrong if the loss or its gradient is not finite or too large; the network is
            then unchanged. The same in all processes.

        Raises:
            ClipsonicError: One clip alone does not fit into memory, or compiling fails.
        """
        network, optimizer = self.networks[name], self.optimizers[name]

        # Gradient.
        if self.accelerator.num_processes > 1 and name not in self._known_to_fit:
            # A process that runs out of memory while others wait for its gradient could not try
            # again; so the first time is a rehearsal without exchange.
            with self._no_exchange():
                self._gradient(name, batch, step, seed, Means())
            self._known_to_fit.add(name)
        loss = self._gradient(name, batch, step, seed, means)
        loss = self.accelerator.reduce(loss, "mean")

        # Clip.
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        if self.config.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(
                network.parameters(), self.config.clip_norm, norm, foreach=True
            )

        # Check.
        value, length = torch.stack([loss, norm.to(loss)]).tolist()  # one wait for the device
        if math.isnan(value) or abs(value) > self.config.max_loss:
            return f"the loss of the {name} is {value:g}"
        if not math.isfinite(length):
            return f"the gradient of the {name} is {length:g}"
        optimizer.step()
        means.add(f"{name}_grad_norm", norm)
        return None

    def _gradient(self, name: str, batch: Batch, step: int, seed: int, means: Means) -> Tensor:
        """Compute the gradient, in smaller pieces if they must be, and return the loss."""
        devices = [self.device] if self.device.type == "cuda" else []
        while True:
            # Try.
            try:
                attempt = Means()
                with torch.random.fork_rng(devices), self._compiling(name):
                    torch.manual_seed(seed + self.accelerator.process_index)
                    loss = self._in_pieces(name, batch, step, attempt)
            except torch.OutOfMemoryError:
                if self.at_once == 1 or name in self._known_to_fit:
                    raise ClipsonicError(
                        f"Memory of {self.device} ran out at step {step} with {self.at_once} of "
                        f"{self.rows} clips at once. Set a smaller micro-batch, or choose a "
                        "smaller network."
                    ) from None
            else:
                means.merge(attempt)
                return loss
            # Shrink: outside the handler, whose traceback holds on to what filled the memory.
            self.at_once //= 2
            release_memory()

    def _in_pieces(self, name: str, batch: Batch, step: int, means: Means) -> Tensor:
        """Add up the gradients of a batch's pieces, and return its loss."""
        total = torch.zeros((), device=self.device)
        for start in range(0, self.rows, self.at_once):
            size = min(self.at_once, self.rows - start)
            piece = batch  # as it is where it is whole: an objective may keep what it computed
            if size < self.rows:
                piece = {key: values[start : start + size] for key, values in batch.items()}
            last = start + size == self.rows
            with nullcontext() if last else self._no_exchange():
                with self.autocast():
                    loss = self.objective.loss(name, piece, step)
                if start == 0:
                    # Not before the forward pass: the C library would give the memory back to the
                    # system and fetch it again, which made a step of a U-Net a tenth slower.
                    self.optimizers[name].zero_grad(set_to_none=True)
                share = loss.mean.float() * (size / self.rows)
                share.backward()  # type: ignore[no-untyped-call]
            total += share.detach()
            means.add_loss(name, loss, size)
        return total

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass's precision."""
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @contextmanager
    def _compiling(self, name: str) -> Iterator[None]:
        """Explain why a network cannot be compiled, which its first call does."""
        if not self.config.compile:
            yield
            return
        from torch._dynamo.exc import TorchDynamoException  # seconds to import

        try:
            yield
        except TorchDynamoException as error:
            why = getattr(error, "inner_exception", error)
            raise ClipsonicError(
                f"The {name} cannot be compiled for {self.device} ({type(why).__name__}: "
                f"{(str(why).splitlines() or [''])[0]}). Install a C++ compiler, such as g++, or "
                "train without compiling."
            ) from error

    @contextmanager
    def _no_exchange(self) -> Iterator[None]:
        """Keep gradients in this process: only the last piece's backward pass exchanges them."""
        with ExitStack() as stack:
            for network in self.objective.networks.values():
                stack.enter_context(self.accelerator.no_sync(network))
            yield

    def state_dict(self) -> dict[str, Any]:
        """Return weights, and the optimizers' state by number of the parameter in its network."""
        optimizers = {}
        for name, optimizer in self.optimizers.items():
            state = optimizer.state_dict()["state"]
            order = _order(self.networks[name], optimizer)
            optimizers[name] = {"state": {order[i]: moments for i, moments in state.items()}}
        networks = {name: network.state_dict() for name, network in self.networks.items()}
        return {"networks": networks, "optimizers": optimizers, "warmup": self.warmup}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; the configuration's hyperparameters stay, but for the warm-up."""
        self.warmup = state.get("warmup", self.warmup)  # 0.1.0 wrote none
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            optimizer, saved = self.optimizers[name], state["optimizers"][name]["state"]
            own = optimizer.state_dict()
            order = enumerate(_order(network, optimizer))
            own["state"] = {i: saved[number] for i, number in order if number in saved}
            optimizer.load_state_dict(own)


def adamw(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Build the optimizer of a network.

    Source: Loshchilov & Hutter 2019; ``decayed`` "matrices": dalle2-pytorch's trainer.
    """
    parameters = list(network.parameters())
    least_axes = 0 if config.decayed == "all" else 2
    fused = parameters[0].device.type in ("cpu", "cuda")  # several times as fast there
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= least_axes]},
        {"params": [p for p in parameters if p.ndim < least_axes], "weight_decay": 0.0},
    ]
    usual = {name: getattr(config, name) for name in ("lr", "betas", "eps", "weight_decay")}
    return torch.optim.AdamW(groups, fused=fused, foreach=not fused, **usual)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Compute the learning rate of step number ``step`` (0-based): it rises, then decays."""
    warmed = config.lr * min(1.0, (step + 1) / max(1, config.warmup))
    return warmed * config.lr_decay ** max(0, step - config.warmup)


def _order(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[int]:
    """Return each parameter's number in the network, in the order of the optimizer's groups."""
    number = {id(parameter): i for i, parameter in enumerate(network.parameters())}
    return [number[id(p)] for group in optimizer.param_groups for p in group["params"]]

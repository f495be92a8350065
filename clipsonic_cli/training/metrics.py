"""What a training writes about itself: lines of metrics.jsonl, and curves for TensorBoard."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from clipsonic_cli.errors import UsageError


class Means:
    """Running means by name; values stay on their device until they are asked for.

    Attributes:
        sums: Sum of each name's values.
        counts: How many there were.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, values: Tensor, weight: int = 1) -> None:
        """Adds values of any shape, also none at all, each counting ``weight`` times."""
        self._add(name, values.detach().float().sum() * weight, values.numel() * weight)

    def merge(self, other: "Means") -> None:
        """Adds all that another has."""
        for name, total in other.sums.items():
            self._add(name, total, other.counts[name])

    def _add(self, name: str, total: Tensor, count: int) -> None:
        self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.counts[name] = self.counts.get(name, 0) + count

    def pool(self, accelerator: Accelerator) -> None:
        """Brings the values of all processes together in the main one."""
        if accelerator.num_processes == 1 or not self.sums:
            return
        names = sorted(self.sums)
        mine = [
            torch.stack([self.sums[name].double().cpu() for name in names]),
            torch.tensor([float(self.counts[name]) for name in names], dtype=torch.float64),
        ]
        sums, counts = accelerator.reduce(torch.stack(mine).to(accelerator.device))
        share = 1 if accelerator.is_main_process else 0
        self.sums = {name: share * total for name, total in zip(names, sums, strict=True)}
        self.counts = {
            name: share * int(count) for name, count in zip(names, counts.tolist(), strict=True)
        }

    def values(self) -> dict[str, float]:
        """Gives the means of the names that have values."""
        return {
            name: float(total) / self.counts[name]
            for name, total in self.sums.items()
            if self.counts[name]
        }


class MetricsLog:
    """The run's metrics.jsonl and, if wished, its TensorBoard events.

    Args:
        run_dir: The run's folder.
        step: Steps done; lines of later ones, which will be done again, are dropped.
        tensorboard: Write events to ``run_dir/tensorboard`` as well.

    Raises:
        UsageError: TensorBoard is wished for and not installed.
    """

    def __init__(self, run_dir: Path, step: int, *, tensorboard: bool) -> None:
        self.path = run_dir / "metrics.jsonl"
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
            temporary = self.path.with_suffix(".part")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(self.path)
        self.writer: Any = None
        if tensorboard:
            if find_spec("tensorboard") is None:
                raise UsageError(
                    "TensorBoard is not installed. Install it with: pip install 'clipsonic[train]'"
                )
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(run_dir / "tensorboard", purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def close(self) -> None:
        """Ends the events file."""
        if self.writer is not None:
            self.writer.close()

"""The metrics of a training: running means, metrics.jsonl, TensorBoard and W&B.

A tracker's package is imported only when the tracker is requested.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.models.optional import install_command
from clipsonic_cli.registry import unknown
from clipsonic_cli.trainer.objective import Loss
from clipsonic_cli.types import Waveform

Media = Waveform | Image.Image
"""What a tracker can show: a waveform, on the CPU, or an RGB image."""
MAX_LOG = 1 << 30
"""Bytes of a log of metrics at most."""


class Means:
    """Running means by name, as sums and counts; sums stay on their device until read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, values: Tensor, weight: int = 1) -> None:
        """Add values of any shape, also none at all, each counting ``weight`` times."""
        self._add(name, values.detach().float().sum() * weight, values.numel() * weight)

    def add_loss(self, name: str, loss: Loss, clips: int) -> None:
        """Add a network's loss on some clips, and its parts."""
        self.add(name, loss.mean, clips)
        for part, values in loss.parts.items():
            self.add(part, values, clips if values.ndim == 0 else 1)

    def merge(self, other: "Means") -> None:
        """Add all that another has."""
        for name, total in other.sums.items():
            self._add(name, total, other.counts[name])

    def _add(self, name: str, total: Tensor, count: int) -> None:
        self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.counts[name] = self.counts.get(name, 0) + count

    def pool(self, accelerator: Accelerator) -> None:
        """Move the values of all processes to the main one."""
        if accelerator.num_processes == 1 or not self.sums:
            return
        names = sorted(self.sums)
        own = [[float(self.sums[name]), float(self.counts[name])] for name in names]
        pairs = torch.tensor(own, dtype=torch.float64, device=accelerator.device)
        share = 1 if accelerator.is_main_process else 0
        pooled = dict(zip(names, share * accelerator.reduce(pairs), strict=True))
        self.sums = {name: total for name, (total, _) in pooled.items()}
        self.counts = {name: int(count) for name, (_, count) in pooled.items()}

    def values(self) -> dict[str, float]:
        """Return the means of the names that have values."""
        return {
            name: float(total) / self.counts[name]
            for name, total in self.sums.items()
            if self.counts[name]
        }


class TensorBoard:
    """Events in ``run_dir/tensorboard``; those after ``step``, to be done again, are hidden."""

    def __init__(self, run_dir: Path, *, step: int, last: int) -> None:  # noqa: ARG002
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(run_dir / "tensorboard", purge_step=step + 1)

    def curves(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each named curve."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def show(self, step: int, name: str, value: Media) -> None:
        """Add a waveform or an image."""
        if isinstance(value, Waveform):
            self.writer.add_audio(name, value.samples[None], step, value.sample_rate)
        else:
            self.writer.add_image(name, np.asarray(value), step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Close the events file."""
        self.writer.close()


class WeightsAndBiases:
    """A run of W&B's project "clipsonic", which a resumed training continues.

    The run's id is kept in ``run_dir/wandb-id``. W&B takes no step back: rows of steps that are
    done again stay (on the CPU they are the same), and nothing is sent until the training is
    beyond them. A row is sent when the next begins, so that a kill loses the last one.

    With ``WANDB_MODE=offline`` every resumption is a folder of its own in ``run_dir/wandb``, and
    their steps follow each other: ``wandb sync`` the first, then the others with ``--append``.

    ``last`` is the last step that the log held before.

    Raises:
        UsageError: W&B cannot be logged in to or reached.
    """

    def __init__(self, run_dir: Path, *, step: int, last: int) -> None:  # noqa: ARG002
        import wandb

        path = run_dir / "wandb-id"
        known = path.exists()
        if not known:
            with written(path) as temporary:
                temporary.write_text(secrets.token_hex(8), encoding="utf-8")
        try:
            self.run = wandb.init(
                project="clipsonic",
                id=path.read_text(encoding="utf-8"),
                resume="allow",
                name=run_dir.resolve().name,
                dir=run_dir,
                # Off: it would copy all that the command prints. Its own messages go to stderr.
                settings=wandb.Settings(console="off", quiet=True),
            )
        except wandb.Error as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise UsageError(
                f"W&B does not begin a run: {reason}. Log in with: wandb login; or set "
                "WANDB_MODE=offline to keep the run in its folder."
            ) from None
        beyond = last + 1 if known else 0
        self.first = beyond if self.run.offline else self.run.starting_step

    def curves(self, step: int, values: Mapping[str, object]) -> None:
        """Add a point to each named curve."""
        if step >= self.first:
            self.run.log(dict(values), step=step)

    def show(self, step: int, name: str, value: Media) -> None:
        """Add a waveform or an image."""
        import wandb

        if isinstance(value, Waveform):
            media = wandb.Audio(value.samples.numpy(), sample_rate=value.sample_rate)
        else:
            media = wandb.Image(value)
        self.curves(step, {name: media})

    def close(self) -> None:
        """Send the last row and close this part of the run."""
        self.run.finish()


Tracker = TensorBoard | WeightsAndBiases
TRACKERS: dict[str, tuple[type[Tracker], str]] = {
    "tensorboard": (TensorBoard, "train"),
    "wandb": (WeightsAndBiases, "wandb"),
}
"""By the name of its package: a tracker, and the extra of clipsonic that installs it."""


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers can be used; imports nothing."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, list(TRACKERS))
        # A folder of that name, where such a package keeps its runs, has no origin.
        if getattr(find_spec(name), "origin", None) is None:
            command = install_command(TRACKERS[name][1])
            raise UsageError(f"{name} is not installed. Install it with: {command}")


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the whole lines of a log of metrics, each with its step."""
    whole: list[tuple[int, str]] = []
    try:
        for line in bounded.read_text(path, MAX_LOG).splitlines(keepends=True):
            if line.endswith("\n"):  # the last may be half written
                whole.append((int(json.loads(line)["step"]), line))
        return whole
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        where = getattr(error, "strerror", None) or f"its line {len(whole) + 1} is damaged"
        raise ClipsonicError(
            f"{path} cannot be gone on with ({where}). Delete that line, or the file: it is only "
            "a log, and the training is in the checkpoints."
        ) from None


class MetricsLog:
    """The run's metrics.jsonl and the requested trackers.

    Lines after ``step`` steps, which will be done again, are dropped.

    Raises:
        UsageError: A tracker is unknown, not installed, or cannot be used.
        ClipsonicError: The file cannot be read, or a line of it is damaged.
    """

    def __init__(self, run_dir: Path, step: int, *, trackers: Sequence[str] = ()) -> None:
        check_trackers(trackers)
        self.path = run_dir / "metrics.jsonl"
        last = 0
        if self.path.exists():
            whole = _lines(self.path)
            last = max((number for number, _ in whole), default=0)
            temporary = self.path.with_suffix(".part")
            kept = "".join(line for number, line in whole if number <= step)
            temporary.write_text(kept, encoding="utf-8")
            temporary.replace(self.path)
        self.trackers = [TRACKERS[name][0](run_dir, step=step, last=last) for name in trackers]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write a line, and add a point to each curve."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for tracker in self.trackers:
            tracker.curves(step, values)

    def show(self, step: int, name: str, value: Media) -> None:
        """Show a waveform or an image in the trackers: one of a series by name, a slash groups."""
        for tracker in self.trackers:
            tracker.show(step, name, value)

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self.trackers:
            tracker.close()

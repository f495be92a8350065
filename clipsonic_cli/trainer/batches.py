"""What the loop asks of training data, and how batches of it are drawn."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
"""Tensors with B as their first axis: ``clip`` (B,) int64 numbers the clips, the others are the
objective's."""

Draw = Callable[[Batch, torch.Generator], Batch]
"""Draws what a loss needs from a data set's batch (:meth:`Objective.draw`)."""


class Dataset(Protocol):
    """Clips to draw from.

    All randomness comes from the generator. The loop draws one clip at a time, each from a
    generator of its own, in a background thread: clips may be of different lengths.
    """

    def __len__(self) -> int:
        """Return the number of clips."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw a batch, on the CPU."""

    def name(self, clip: int) -> str:
        """Return the id of a clip, for messages."""


def draw_clips(dataset: Dataset, draw: Draw, seeds: Sequence[int]) -> Batch:
    """Draw a batch in which every clip has its own seed.

    So neither the size of a batch nor the processes it is divided among change a clip.
    """
    clips = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        clips.append(draw(dataset.sample(1, generator), generator))
    return {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}


class Feed:
    """An endless series of batches; the next one is drawn in the background.

    Of ``batch_size`` clips over all processes, this one draws ``rows``. The generator's state, as
    :meth:`position`, is the whole position in the data.
    """

    def __init__(
        self, dataset: Dataset, draw: Draw, batch_size: int, rows: slice, generator: torch.Generator
    ) -> None:
        self.dataset, self.draw = dataset, draw
        self.batch_size, self.rows, self.generator = batch_size, rows, generator
        self.waited = 0.0
        """Seconds spent waiting for batches."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self._state = generator.get_state()
        self._next: tuple[Future[Batch], int] | None = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def next(self) -> tuple[Batch, int]:
        """Return this process's rows of the next batch, and a seed for dropout."""
        started = time.monotonic()
        future, seed = self._next or self._submit()
        batch = future.result()
        self._next = self._submit()
        self.waited += time.monotonic() - started
        return batch, seed

    def position(self) -> Tensor:
        """Return the generator's state before the batch that comes next."""
        return self.generator.get_state() if self._next is None else self._state

    def _submit(self) -> tuple[Future[Batch], int]:
        self._state = self.generator.get_state()
        seeds = torch.randint(2**62, (self.batch_size + 1,), generator=self.generator).tolist()
        rows = seeds[:-1][self.rows]
        return self._thread.submit(draw_clips, self.dataset, self.draw, rows), seeds[-1]


def crop(values: Tensor, starts: Tensor, size: int) -> Tensor:
    """Cut a window (B, ..., size) out of every row of (B, ..., T), from starts (B,) int64."""
    rows = zip(values, starts.tolist(), strict=True)
    return torch.stack([row[..., start : start + size] for row, start in rows])


def random_starts(values: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw the starts (B,) int64 of windows in (B, ..., T), uniformly over all that fit."""
    spare = values.shape[-1] - size
    if spare < 0:
        raise ValueError(f"a window of {size} does not fit into {values.shape[-1]}")
    return torch.randint(spare + 1, (len(values),), generator=generator)

"""What every metric is: a comparison of two sets of vectors, and what must be known about it.

Knows: who is compared with whom, that both must fit, and the frame of a score. Does not know: any
one metric, nor where the vectors come from.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES, METRICS, intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import Statistics
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.types import Score

Against = Literal["reference", "originals", "prompts", "labels", "images"]
"""What sounds are compared with: a set of others; or, one each, the sound they should have been,
their text, the class of it, or (query vectors in place of sounds) their picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of a metric, before its frame.

    Args:
        name: The metric's own, or another's that is given along with it.
        value: The number.
        interval: See ``types.Score``.
        bias: See ``types.Score``.
        notes: See ``types.Score``.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    bias: float | None = None
    notes: tuple[str, ...] = ()


Compare = Callable[[Features, Any, torch.Generator], Iterable[Measured]]
"""Any is Features, or Statistics as well where the metric takes them."""
LONGER = 1.1
"""Ratio of mean lengths from which it is said that they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric; calling it scores a set.

    Args:
        name: As in METRICS.
        title: What it is, for tables and help.
        better: Which way is good.
        backbone: Whose vectors it is defined with; others' are labelled.
        against: What sounds are compared with. All but "reference" are matched by name.
        compare: Gives the numbers; pairs come in the same order.
        windows: How sounds are cut before they are heard.
        statistics: Whether saved statistics of a reference are enough.
        least: Rows that it needs on either side.
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    backbone: str
    against: Against
    compare: Compare
    windows: Windows | None = None
    statistics: bool = False
    least: int = 1

    def __call__(
        self, made: Features, against: Features | Statistics, *, generator: torch.Generator
    ) -> tuple[Score, ...]:
        """Scores a set.

        Args:
            made: What is scored.
            against: What with, as :attr:`against` says; of the same backbone.
            generator: For resampling; the same seed gives the same scores, whatever the order of
                the sounds.

        Returns:
            The metric's own score first.

        Raises:
            UsageError: Too few sounds, none with a partner, statistics where sounds are needed or
                of vectors of another size, or nothing that can be compared.
            ValueError: The two are of different backbones.
        """
        notes = list(made.notes)
        if isinstance(against, Statistics):
            if not self.statistics:
                raise UsageError(
                    f"'{self.name}' needs the sounds of the {self.against}, not their statistics; "
                    f"give the folder they are in."
                )
            if (size := len(against.mean)) != made.dim:
                raise UsageError(
                    f"The statistics are of vectors of size {size}, those of '{made.backbone}' "
                    f"have size {made.dim}; save them again with --save-stats, or give the sounds "
                    f"themselves."
                )
        else:
            if (against.dim, against.backbone) != (made.dim, made.backbone):
                raise ValueError(
                    f"need vectors of one backbone, got '{made.backbone}' of size {made.dim} and "
                    f"'{against.backbone}' of size {against.dim}"
                )
            if self.against == "reference":
                notes += [f"Of the reference: {note}" for note in against.notes]
            else:
                made, against, unpaired = self._paired(made, against)
                notes += unpaired
        notes += self._differences(made, against)
        rows = against.n if isinstance(against, Statistics) else len(against.rows)
        if (fewest := min(len(made.rows), rows)) < self.least:
            raise UsageError(
                f"'{self.name}' needs {self.least} windows of sound or more on either side, got "
                f"{fewest}; give more or longer sounds."
            )
        return tuple(
            Score(
                metric=measured.name,
                value=measured.value,
                better=self.better,
                n=len(made.names),
                rows=len(made.rows),
                against=rows,
                backbone=made.backbone,
                as_paper=made.backbone == self.backbone,
                sample_rate=made.sample_rate,
                seconds=made.seconds,
                interval=measured.interval,
                bias=measured.bias,
                notes=(*notes, *measured.notes),
            )
            for measured in self.compare(made, against, generator)
        )

    def _differences(self, made: Features, against: Features | Statistics) -> Iterator[str]:
        """Says how the sounds differ in what no metric means to tell."""
        rates = (made.sample_rate, against.sample_rate)
        if None not in rates and rates[0] != rates[1]:
            yield f"Sample rates differ: {rates[0]} Hz, and {rates[1]} Hz of the {self.against}."
        ours, theirs = made.seconds, against.seconds
        if ours and theirs and max(ours, theirs) > LONGER * min(ours, theirs):
            whose = f"of the {self.against}"
            yield f"Lengths differ: {ours:.2f} s on average, and {theirs:.2f} s {whose}."

    def _paired(self, made: Features, against: Features) -> tuple[Features, Features, list[str]]:
        """Gives the sounds that have a partner, sorted by name, with their partners."""
        both = sorted(set(made.names) & set(against.names))
        if not both:
            raise UsageError(
                f"'{self.name}' compares each sound with one of the {self.against}, and none has "
                f"one: '{made.names[0]}' is not among them. Name them alike."
            )
        alone = sorted(set(made.names) - set(both))
        notes = []
        if alone:
            shown = f"'{alone[0]}'" + (" and others" if len(alone) > 1 else "")
            notes.append(f"{len(alone)} left out, {shown}: none of the {self.against} is theirs.")
        return made.only(both), against.only(both), notes


def mean(name: str, values: Tensor, generator: torch.Generator) -> Measured:
    """Gives the mean of what was measured for every sound, with its interval.

    Args:
        name: Of the number.
        values: (C,) float64, the sounds sorted by name, as pairs are.
        generator: For the interval.
    """
    interval = intervals.of_mean(values, generator=generator)
    return Measured(name=name, value=float(values.mean()), interval=interval)


def asked(name: str) -> tuple[Metric, str]:
    """Gives what a person means by "fad" or "fad:clap": a metric, and the backbone to hear with.

    Raises:
        UsageError: There is no such metric or backbone.
    """
    metric_name, colon, backbone = name.partition(":")
    metric: Metric = METRICS.load(metric_name)
    return metric, BACKBONES.check(backbone) if colon else metric.backbone

"""The frame of every metric: what it needs, the checks before it runs, and the score it returns."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES, METRICS, intervals
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import SAVE_AGAIN, Statistics
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.types import Note, Score

OfSounds = Literal["reference", "originals", "prompts", "labels", "query images", "set", "nothing"]
"""What sounds are compared with: a set of others; one for each sound, its original, its prompt, its
class label or the image it was made from; the sounds' own set; or nothing, where the backbone rates
each sound."""
OfVectors = Literal["images", "frames", "image labels"]
"""What query vectors of a model are compared with: the true image of each, frames of the training,
or the label of each among all, by their images."""
Against = OfSounds | OfVectors
LONGER = 1.1
"""Ratio of mean lengths above which a note says that they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of a metric; see :class:`~clipsonic_cli.types.Score` for the fields."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    bias: float | None = None
    notes: tuple[str, ...] = ()


Compare = Callable[[Features, Any, torch.Generator], Iterable[Measured]]
"""Any is Features, or also Statistics where the metric takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric; calling it scores a set of sounds."""

    name: str
    """Its key in METRICS."""
    title: str
    better: Literal["lower", "higher"]
    backbone: str
    """The network it is defined with; scores by another are labelled."""
    against: Against
    compare: Compare
    """Computes the numbers; pairs come in the same order."""
    windows: Windows | None = None
    """How each sound is cut before it is embedded."""
    takes_statistics: bool = False
    """Whether saved statistics of a reference are enough."""
    min_rows: int = 1
    """Fewest rows on either side."""

    @property
    def paired(self) -> bool:
        """Whether each sound is compared with its own partner, matched by name."""
        return self.against not in ("reference", "frames")

    @property
    def needs_audio(self) -> bool:
        """Whether it scores audio; else the query vectors of a model."""
        return self.against not in get_args(OfVectors)

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with other audio."""
        return self.against in ("reference", "originals")

    @property
    def needs_prompts(self) -> bool:
        """Whether it compares with texts, whatever the backbone."""
        return self.against in ("prompts", "labels")

    @property
    def needs_images(self) -> bool:
        """Whether it compares sounds with the images they were made from."""
        return self.against == "query images"

    @property
    def needs_classes(self) -> bool:
        """Whether it compares class probabilities in place of embeddings."""
        return self.against in ("originals", "labels", "set")

    @property
    def needs_ratings(self) -> bool:
        """Whether it needs a backbone's ratings in place of embeddings."""
        return self.against == "nothing"

    def __call__(
        self, made: Features, against: Features | Statistics, *, generator: torch.Generator
    ) -> tuple[Score, ...]:
        """Score a set against what :attr:`against` says; the metric's own score comes first.

        The same seed of the generator gives the same scores, whatever the order of the sounds.

        Raises:
            UsageError: Too few sounds, none with a partner, statistics where sounds are needed or
                of vectors of another size, or nothing that can be compared.
            ValueError: The two are from different backbones.
        """
        notes = list(made.notes)
        # Check that the two fit.
        if isinstance(against, Statistics):
            self.check_takes_statistics()
            if against.dim != made.dim:
                raise UsageError(
                    f"The statistics are of vectors of size {against.dim}, those of "
                    f"'{made.backbone}' have size {made.dim}; {SAVE_AGAIN}"
                )
        elif (against.dim, against.backbone) != (made.dim, made.backbone):
            raise ValueError(
                f"need vectors of one backbone, got '{made.backbone}' of size {made.dim} and "
                f"'{against.backbone}' of size {against.dim}"
            )
        elif self.paired:
            made, against, unpaired = self._paired(made, against)
            notes += unpaired
        else:
            ours = {Note(note).brief for note in made.notes}
            for note in map(Note, against.notes):
                brief = note.brief if note.brief in ours else f"of the reference: {note.brief}"
                notes.append(Note(f"Of the reference: {note}", brief, note.rank))
        notes += self._differences(made, against)
        if (fewest := min(made.n, against.n)) < self.min_rows:
            raise UsageError(
                f"'{self.name}' needs {self.min_rows} windows of sound or more on either side, got "
                f"{fewest}; give more or longer sounds."
            )
        # Compare them.
        return tuple(
            Score(
                metric=measured.name,
                value=measured.value,
                better=self.better,
                n=len(made.names),
                rows=made.n,
                against=against.n,
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

    def check_takes_statistics(self) -> None:
        """Check that saved statistics of a reference are enough; UsageError where not."""
        if not self.takes_statistics:
            raise UsageError(
                f"'{self.name}' needs the sounds of the {self.against}, not their statistics; give "
                f"the folder they are in."
            )

    def _differences(self, made: Features, against: Features | Statistics) -> Iterator[str]:
        """Yield differences in sample rate and length, which no metric is meant to measure."""
        rates = (made.sample_rate, against.sample_rate)
        if None not in rates and rates[0] != rates[1]:
            yield f"Sample rates differ: {rates[0]} Hz, and {rates[1]} Hz of the {self.against}."
        ours, theirs = made.seconds, against.seconds
        if ours and theirs and max(ours, theirs) > LONGER * min(ours, theirs):
            yield (
                f"Lengths differ: {ours:.2f} s on average, and {theirs:.2f} s of the "
                f"{self.against}."
            )

    def _paired(self, made: Features, against: Features) -> tuple[Features, Features, list[str]]:
        """Return the sounds that have a partner, sorted by name, their partners, and notes."""
        both = sorted(set(made.names) & set(against.names))
        if not both:
            raise UsageError(
                f"'{self.name}' compares each sound with one of the {self.against}, and none has "
                f"one: '{made.names[0]}' is not among them. Name them alike."
            )
        notes = []
        if alone := sorted(set(made.names) - set(both)):
            shown = f"'{alone[0]}'" + (" and others" if len(alone) > 1 else "")
            notes.append(f"{len(alone)} left out, {shown}: none of the {self.against} is theirs.")
        return made.only(both), against.only(both), notes


def mean(name: str, values: Tensor, generator: torch.Generator) -> Measured:
    """Compute the mean, and its interval, of values (C,) of sounds sorted by name, as pairs are."""
    interval = intervals.of_mean(values, generator=generator)
    return Measured(name=name, value=float(values.mean()), interval=interval)


def parse(name: str) -> tuple[Metric, str]:
    """Return the metric and the name of the backbone that "fad" or "fad:clap" stands for.

    Raises:
        UsageError: There is no such metric or backbone.
    """
    metric_name, colon, backbone = name.partition(":")
    metric: Metric = METRICS.load(metric_name)
    return metric, BACKBONES.check(backbone) if colon else metric.backbone

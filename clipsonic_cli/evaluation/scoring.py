"""Systems and metrics to rows of scores: every set is heard once by every backbone that is needed.

Knows: what each metric compares sounds with. Does not know: where sounds come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.hearing import Hearing, load
from clipsonic_cli.evaluation.results import Row, heading
from clipsonic_cli.evaluation.sounds import System, heard
from clipsonic_cli.metrics.fad import outliers
from clipsonic_cli.metrics.features import Features, Windows, of_prompts
from clipsonic_cli.metrics.frechet import Gaussian, read_statistics, write_statistics
from clipsonic_cli.metrics.tagger import ZeroShotTagger
from clipsonic_cli.types import AudioTextBackbone, Backbone, Report, Score, silent

OUTLIERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What sounds are compared with.

    Args:
        told: What it is, for people.
        sounds: Files by name; none where there are only statistics.
        statistics: A file of them.
    """

    told: str
    sounds: Mapping[str, Path] = field(default_factory=dict)
    statistics: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What came of it.

    Args:
        rows: A row a system, in their order; one may have no scores.
        notes: What could not be scored, and why.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def score(
    systems: Sequence[System],
    hearings: Sequence[Hearing],
    reference: Reference | None,
    *,
    device: torch.device,
    seed: int,
    save_stats: Path | None = None,
    report: Report = silent,
) -> Scored:
    """Scores systems by metrics; one backbone is in memory at a time.

    Args:
        systems: May be none, where only statistics are to be saved.
        hearings: The metrics, but those that hear nothing.
        reference: None where no metric needs one.
        device: Where backbones run.
        seed: Of the intervals.
        save_stats: Where the reference's statistics go, as the first metric that takes any has
            them.
        report: Told of every set as it is heard.

    Raises:
        UsageError: Nothing at all can be scored; says the first reason.
        ClipsonicError: Weights are missing or damaged.
    """
    found: dict[tuple[int, int], tuple[Score, ...]] = {}
    farthest: dict[int, dict[str, float]] = {}
    faults: dict[str, UsageError] = {}
    prompts = [text for system in systems for text in system.prompts.values()]
    for name in dict.fromkeys(hearing.backbone for hearing in hearings):
        ears = _Ears(load(name, device), reference, sorted({*prompts}), report)
        for column, hearing in enumerate(hearings):
            if hearing.backbone != name:
                continue
            if save_stats is not None and hearing.metric.statistics:
                ears.save(save_stats, hearing.metric.windows)
                save_stats = None
            for line, system in enumerate(systems):
                generator = torch.Generator().manual_seed(seed)
                try:
                    made, against = ears.pair(system, hearing)
                    found[line, column] = hearing.metric(made, against, generator=generator)
                except UsageError as error:
                    faults[f"{hearing.metric.name} of {_title(system)} is left out: {error}"] = (
                        error
                    )
                    continue
                if hearing.metric.name == "fad" and line not in farthest:
                    far = outliers(made, against)
                    farthest[line] = dict(islice(far.items(), OUTLIERS))
    if systems and not found:
        raise next(iter(faults.values()))
    rows = [
        Row(
            system=system.name,
            guidance=system.guidance,
            scores=tuple(
                one for column in range(len(hearings)) for one in found.get((line, column), ())
            ),
            outliers=farthest.get(line, {}),
        )
        for line, system in enumerate(systems)
    ]
    return Scored(rows=tuple(rows), notes=tuple(faults))


def _title(system: System) -> str:
    return heading(system.name, system.guidance)


class _Ears:
    """One backbone, and what it has heard.

    Args:
        backbone: Hears, and may read.
        reference: What sounds are compared with.
        classes: What a tagger of them tells apart.
        report: Told of every set.
    """

    def __init__(
        self,
        backbone: Backbone,
        reference: Reference | None,
        classes: Sequence[str],
        report: Report,
    ) -> None:
        self.backbone = backbone
        self.reference = reference
        self.classes = classes
        self.report = report
        self._heard: dict[tuple[int, Windows | None, bool], Features] = {}
        self._read: dict[tuple[tuple[str, str], ...], Features] = {}
        self._tagger: ZeroShotTagger | None = None

    def pair(self, system: System, hearing: Hearing) -> tuple[Features, Features | Gaussian]:
        """Gives what a metric is called with.

        Raises:
            UsageError: Something it needs is not there.
        """
        metric, tagged = hearing.metric, hearing.metric.against in ("labels", "originals")
        against: Features | Gaussian
        if metric.against == "reference":
            against = self._against(metric.name, metric.windows, statistics=metric.statistics)
        elif metric.against == "originals":
            against = self._against(metric.name, metric.windows, tagged=True)
        elif not system.prompts:
            raise UsageError(
                f"Nothing says what the sounds of '{system.name}' were to be; give --prompts, a "
                f"csv of file and prompt."
            )
        elif metric.against == "labels":
            against = self.tagger.labels(system.prompts)
        else:
            key = tuple(system.prompts.items())  # most systems are asked the same
            if key not in self._read:
                reader = cast(AudioTextBackbone, self.backbone)
                self._read[key] = of_prompts(dict(key), reader)
            against = self._read[key]
        return self._hear(system.sounds, metric.windows, tagged=tagged), against

    def save(self, path: Path, windows: Windows | None) -> None:
        """Writes the statistics of the reference.

        Raises:
            UsageError: There are no sounds of it, or too few.
        """
        features = self._against("--save-stats", windows)
        assert isinstance(features, Features)  # as no statistics were asked for
        if len(features.rows) < 2:
            raise UsageError("Statistics need 2 windows of sound or more; give more sounds.")
        write_statistics(path, features.moments().gaussian(), backbone=self.backbone.name)

    @property
    def tagger(self) -> ZeroShotTagger:
        """Tells the prompts of all systems apart."""
        if self._tagger is None:
            self._tagger = ZeroShotTagger(cast(AudioTextBackbone, self.backbone), self.classes)
        return self._tagger

    def _against(
        self, name: str, windows: Windows | None, *, statistics: bool = False, tagged: bool = False
    ) -> Features | Gaussian:
        reference = self.reference
        assert reference is not None  # metrics that need one were not asked for else
        if reference.statistics is None:
            return self._hear(reference.sounds, windows, tagged=tagged)
        if not statistics:
            raise UsageError(
                f"'{name}' needs the sounds of the reference, not their statistics; give "
                f"--reference the folder they are in."
            )
        return read_statistics(reference.statistics, backbone=self.backbone.name)

    def _hear(
        self, sounds: Mapping[str, Path], windows: Windows | None, *, tagged: bool
    ) -> Features:
        key = (id(sounds), windows, tagged)  # the caller keeps them all
        if key not in self._heard:
            ears = self.tagger if tagged else self.backbone
            self._heard[key] = heard(sounds, ears, windows=windows, report=self.report)
        return self._heard[key]

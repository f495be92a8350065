"""Systems and metrics to rows of scores: every set is heard once by every backbone that is needed.

Knows: what each metric compares sounds with. Does not know: where sounds come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import cast

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import System, heard
from clipsonic_cli.evaluation.backbones import MetricRun, load
from clipsonic_cli.evaluation.results import ScoreRow, heading
from clipsonic_cli.metrics.fad import outliers
from clipsonic_cli.metrics.features import Features, of_prompts
from clipsonic_cli.metrics.frechet import Statistics, read_statistics, write_statistics
from clipsonic_cli.metrics.tagger import ZeroShotTagger
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.types import (
    AudioTextBackbone,
    Backbone,
    Report,
    Score,
    TaggingBackbone,
    silent,
)

OUTLIERS = 10
OF_TRUTH = ("reference", "originals")
"""What sounds are compared with that is true."""
TAGGED = ("labels", "originals")
"""And with what by a tagger: of their prompts, or of the network's own classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What sounds are compared with.

    Args:
        told: What it is, for people.
        sounds: Files by name; none where there are only statistics.
        statistics: A file of them.
        clips: Whether they are the clips' own sounds, of which reconstructions are made.
    """

    told: str
    sounds: Mapping[str, Path] = field(default_factory=dict)
    statistics: Path | None = None
    clips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What came of it.

    Args:
        rows: A row a system, in their order; one may have no scores.
        notes: What could not be scored, and why.
        compared: Whether any score is of a comparison with the reference.
        identities: Of the weights of each backbone that heard, by its name.
        left_out: Sounds of the reference that could not be heard, by name, and why.
    """

    rows: tuple[ScoreRow, ...]
    notes: tuple[str, ...]
    compared: bool
    identities: Mapping[str, str]
    left_out: Mapping[str, str]


def score(
    systems: Sequence[System],
    hearings: Sequence[MetricRun],
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
    identities: dict[str, str] = {}
    unheard: dict[int, dict[str, str]] = {}
    of_reference: dict[str, str] = {}
    for name in dict.fromkeys(hearing.backbone for hearing in hearings):
        ears = _FeatureCache(load(name, device), reference, report)
        identities[name] = ears.backbone.identity
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
                    unheard.setdefault(line, {}).update(made.left_out)
                    if isinstance(against, Features):
                        of_reference.update(against.left_out)
                    scores = hearing.metric(made, against, generator=generator)
                    scores = _judged(scores, hearing, system, reference, size=made.dim)
                    found[line, column] = scores
                except UsageError as error:
                    faults[f"{hearing.label} of {_title(system)} is left out: {error}"] = error
                    continue
                if hearing.metric.name == "fad" and line not in farthest:
                    far = outliers(made, against)
                    farthest[line] = dict(islice(far.items(), OUTLIERS))
    if systems and not found:
        raise next(iter(faults.values()))
    rows = [
        ScoreRow(
            system=system.name,
            guidance=system.guidance,
            scores=tuple(
                one for column in range(len(hearings)) for one in found.get((line, column), ())
            ),
            outliers=farthest.get(line, {}),
            left_out=unheard.get(line, {}),
        )
        for line, system in enumerate(systems)
    ]
    compared = any(hearings[column].metric.against in OF_TRUTH for _, column in found)
    return Scored(
        rows=tuple(rows),
        notes=tuple(faults),
        compared=compared,
        identities=identities,
        left_out=of_reference,
    )


def _title(system: System) -> str:
    return heading(system.name, system.guidance)


def _judged(
    scores: tuple[Score, ...],
    hearing: MetricRun,
    system: System,
    reference: Reference | None,
    *,
    size: int,
) -> tuple[Score, ...]:
    """Adds to scores of vectors of a size what only they know who know where sounds are from."""
    metric = hearing.metric
    if metric.against in TAGGED:
        note = f"Over {size} classes, the prompts of these sounds; compare with no others."
        if metric.against == "labels":
            note = f"One of {size} classes: {1 / size:.3g} is chance."
        elif not hearing.reads:
            note = f"Over the {size} classes that '{hearing.backbone}' knows."
        return tuple(replace(score, notes=(*score.notes, note)) for score in scores)
    note = _kinship(system, reference) if metric.against == "reference" else ""
    if not note:
        return scores
    return tuple(replace(score, bias=None, notes=(*score.notes, note)) for score in scores)


def _kinship(system: System, reference: Reference | None) -> str:
    """Says that sounds and reference were not drawn apart, as a bias takes two sets to be."""
    assert reference is not None  # something was compared with it
    if system.of_reference and reference.clips:
        return (
            "Made of the very clips it is compared with: it has no sampling noise of its own, so "
            "that this is lower than other sounds as good as these could reach."
        )
    theirs = {path.resolve() for path in reference.sounds.values()}
    if common := sum(path.resolve() in theirs for path in system.sounds.values()):
        return (
            f"{common} of {len(system.sounds)} files are among those they are compared with: the "
            f"two are not drawn apart, so that this is lower than other sounds as good could reach."
        )
    return ""


def _classes(system: System) -> tuple[str, ...]:
    """Gives what a tagger tells apart: a system's own prompts, whoever else is scored."""
    return tuple(sorted(set(system.prompts.values())))


class _FeatureCache:
    """One backbone, and what it has heard.

    Args:
        backbone: Hears, and may read.
        reference: What sounds are compared with.
        report: Told of every set.
    """

    def __init__(self, backbone: Backbone, reference: Reference | None, report: Report) -> None:
        self.backbone = backbone
        self.reference = reference
        self.report = report
        self._heard: dict[tuple[int, Windows | None, Backbone], Features] = {}
        self._read: dict[tuple[tuple[str, str], ...], Features] = {}
        self._taggers: dict[tuple[str, ...], ZeroShotTagger] = {}

    def pair(self, system: System, hearing: MetricRun) -> tuple[Features, Features | Statistics]:
        """Gives what a metric is called with.

        Raises:
            UsageError: Something it needs is not there.
        """
        metric, ears = hearing.metric, self.backbone
        if hearing.reads and not system.prompts:
            raise UsageError(
                f"Nothing says what the sounds of '{system.name}' were to be; give --prompts, a "
                f"csv of file and prompt."
            )
        if metric.against in TAGGED and hearing.reads:
            ears = self._tagger(_classes(system))
        against: Features | Statistics
        if metric.against in OF_TRUTH:
            against = self._against(metric.name, metric.windows, ears, statistics=metric.statistics)
        elif metric.against == "labels":
            against = self._tagger(_classes(system)).labels(system.prompts)
        else:
            key = tuple(system.prompts.items())  # most systems are asked the same
            if key not in self._read:
                reader = cast(AudioTextBackbone, self.backbone)
                self._read[key] = of_prompts(dict(key), reader)
            against = self._read[key]
        made = self._hear(system.sounds, metric.windows, ears)
        if metric.against in TAGGED and not hearing.reads:
            made, against = self._tagged(made), self._tagged(against)
        return made, against

    def save(self, path: Path, windows: Windows | None) -> None:
        """Writes the statistics of the reference.

        Raises:
            UsageError: There are no sounds of it, or too few.
        """
        features = self._against("--save-stats", windows, self.backbone)
        assert isinstance(features, Features)  # as no statistics were asked for
        if len(features.rows) < 2:
            raise UsageError("Statistics need 2 windows of sound or more; give more sounds.")
        name, identity = self.backbone.name, self.backbone.identity
        write_statistics(path, features.statistics(), backbone=name, identity=identity)

    def _tagger(self, classes: tuple[str, ...]) -> ZeroShotTagger:
        if classes not in self._taggers:
            reader = cast(AudioTextBackbone, self.backbone)
            self._taggers[classes] = ZeroShotTagger(reader, classes)
        return self._taggers[classes]

    def _tagged(self, features: Features | Statistics) -> Features:
        assert isinstance(features, Features)  # no metric of tags takes statistics
        return replace(features, rows=cast(TaggingBackbone, self.backbone).tag(features.rows))

    def _against(
        self, name: str, windows: Windows | None, ears: Backbone, *, statistics: bool = False
    ) -> Features | Statistics:
        reference = self.reference
        assert reference is not None  # metrics that need one were not asked for else
        if reference.statistics is None:
            try:
                return self._hear(reference.sounds, windows, ears)
            except UsageError as error:
                raise UsageError(f"Of the reference: {error}") from None
        if not statistics:
            raise UsageError(
                f"'{name}' needs the sounds of the reference, not their statistics; give "
                f"--reference the folder they are in."
            )
        name, identity = self.backbone.name, self.backbone.identity
        return read_statistics(reference.statistics, backbone=name, identity=identity)

    def _hear(
        self, sounds: Mapping[str, Path], windows: Windows | None, ears: Backbone
    ) -> Features:
        key = (id(sounds), windows, ears)  # the caller keeps them all
        if key not in self._heard:
            self._heard[key] = heard(sounds, ears, windows=windows, report=self.report)
        return self._heard[key]

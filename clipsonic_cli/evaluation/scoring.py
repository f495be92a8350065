"""Systems and metrics to rows of scores; each set of sounds is embedded once by each backbone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import cast

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import embed_files
from clipsonic_cli.evaluation.backbones import MetricRun, load
from clipsonic_cli.evaluation.labels import Verdict, judge
from clipsonic_cli.evaluation.results import ScoreRow, heading
from clipsonic_cli.evaluation.systems import Reference, System
from clipsonic_cli.metrics.fad import outliers
from clipsonic_cli.metrics.features import Features, embed_prompts, from_vectors
from clipsonic_cli.metrics.frechet import Statistics, read_statistics, write_statistics
from clipsonic_cli.metrics.metric import Metric
from clipsonic_cli.metrics.tagger import ZeroShotTagger, tagged
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.text import counted
from clipsonic_cli.types import (
    AudioImageBackbone,
    AudioTextBackbone,
    Backbone,
    Note,
    Report,
    Score,
    TaggingBackbone,
    silent,
)

OUTLIERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The outcome of :func:`score`."""

    rows: tuple[ScoreRow, ...]
    """A row for each system, in their order; one may have no scores."""
    notes: tuple[str, ...]
    """What could not be scored, and why."""
    compared: bool
    """Whether any score is a comparison with the reference."""
    identities: Mapping[str, str]
    """Identity of the weights of each backbone, by its name."""
    left_out: Mapping[str, str]
    """Sounds of the reference that could not be embedded, with the reason."""
    verdicts: Mapping[str, Verdict]
    """Whether a backbone knows the labels, by its name, where sounds were compared with labels."""
    dropped: frozenset[MetricRun]
    """Metrics that were left out, as their network may not know the labels."""


def score(
    systems: Sequence[System],
    runs: Sequence[MetricRun],
    reference: Reference | None,
    *,
    device: torch.device,
    seed: int,
    save_stats: Path | None = None,
    keep_all: bool = True,
    report: Report = silent,
) -> Scored:
    """Score systems by metrics; one backbone is in memory at a time.

    Args:
        systems: May be none, where only statistics are to be saved.
        runs: Metrics that need audio; without any, there are no rows.
        reference: None where no metric needs one.
        device: Where backbones run.
        seed: Seed of the intervals.
        save_stats: Where statistics of the reference go, by the first metric that takes any.
        keep_all: Also keep scores by labels that their network does not know; else only where there
            are no others.
        report: Receives progress on each set.

    Raises:
        UsageError: Nothing at all can be scored; gives the first reason.
        ClipsonicError: Weights are missing or damaged.
    """
    tallies = [_Tally(system=system) for system in systems] if runs else []
    faults: dict[str, UsageError] = {}
    identities: dict[str, str] = {}
    left_out: dict[str, str] = {}
    verdicts: dict[str, Verdict] = {}
    for name in dict.fromkeys(run.backbone for run in runs):
        cache = _FeatureCache(load(name, device), reference, report)
        identities[name] = cache.backbone.identity
        if any(run.backbone == name and run.needs_prompts for run in runs):
            verdict = cache.judge_labels(systems, seed)
            verdicts |= {} if verdict is None else {name: verdict}
        for run in runs:
            if run.backbone != name:
                continue
            # Save statistics.
            if save_stats is not None and run.metric.takes_statistics:
                cache.save_reference(save_stats, run.metric.windows)
                save_stats = None
            # Score each system.
            for tally in tallies:
                try:
                    tally.add(run, cache, seed, verdicts.get(name))
                except UsageError as error:
                    faults[f"{run.label} of {tally.title} is left out: {error}"] = error
        left_out |= cache.reference_left_out
    if tallies and not any(tally.scores for tally in tallies):
        raise next(iter(faults.values()))
    dropped: set[MetricRun] = set()
    notes = [*faults, *_label_notes(tallies, verdicts, None if keep_all else dropped)]
    scored = [run for tally in tallies for run in tally.scores]
    return Scored(
        rows=tuple(tally.row(runs) for tally in tallies),
        notes=tuple(notes),
        compared=any(run.metric.needs_reference for run in scored),
        identities=identities,
        left_out=left_out,
        verdicts=verdicts,
        dropped=frozenset(dropped),
    )


def _label_notes(
    tallies: Sequence["_Tally"], verdicts: Mapping[str, Verdict], dropped: set[MetricRun] | None
) -> Iterator[str]:
    """Yield a note for each network that may not know the labels.

    Its scores move to ``dropped``, unless that is None or there are no others.
    """
    for name, verdict in verdicts.items():
        by_labels = {r for t in tallies for r in t.scores if r.backbone == name and r.needs_prompts}
        if verdict.ranks or not by_labels:
            continue
        shown = ", ".join(dict.fromkeys(run.label for run in by_labels))
        if dropped is None or all(tally.scores.keys() <= by_labels for tally in tallies):
            text = f"{shown}: no system is marked as the best, as {verdict.why}"
            yield Note(text, f"{shown} orders no systems: {verdict.brief}", 1)
            continue
        dropped |= by_labels
        for tally in tallies:
            tally.scores = {run: s for run, s in tally.scores.items() if run not in by_labels}
        text = f"{shown} left out, as {verdict.why}; name it in `metrics` to see it"
        yield Note(text, f"{shown} left out: {verdict.brief}; `metrics` shows it", 1)


@dataclass(slots=True, kw_only=True)
class _Tally:
    """The scores of one system so far."""

    system: System
    scores: dict[MetricRun, tuple[Score, ...]] = field(default_factory=dict)
    outliers: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return heading(self.system.name, self.system.guidance)

    def add(
        self, run: MetricRun, cache: "_FeatureCache", seed: int, verdict: Verdict | None
    ) -> None:
        """Score the system by one more metric; a UsageError says why it cannot be."""
        made, against = cache.pair(self.system, run)
        self.left_out |= made.left_out
        scores = run.metric(made, against, generator=torch.Generator().manual_seed(seed))
        note = _note(run, self.system, cache.reference, classes=made.dim)
        if note and run.metric.needs_reference and not run.metric.needs_classes:
            scores = tuple(replace(score, bias=None) for score in scores)
        if note:
            scores = tuple(replace(score, notes=(*score.notes, note)) for score in scores)
        if run.needs_prompts and verdict is not None and not verdict.ranks:
            scores = tuple(replace(score, ranks=False) for score in scores)
        self.scores[run] = scores
        if run.metric.name == "fad" and not self.outliers:
            self.outliers = dict(islice(outliers(made, against).items(), OUTLIERS))

    def row(self, runs: Sequence[MetricRun]) -> ScoreRow:
        """Return the scores in the order of the metrics."""
        return ScoreRow(
            system=self.system.name,
            model=self.system.model,
            guidance=self.system.guidance,
            scores=tuple(score for run in runs for score in self.scores.get(run, ())),
            outliers=self.outliers,
            left_out=self.left_out,
        )


def _note(run: MetricRun, system: System, reference: Reference | None, *, classes: int) -> str:
    """Format what depends on the source: number of classes, overlap with the reference."""
    metric = run.metric
    if not metric.needs_classes:
        return _overlap_note(system, reference) if reference and metric.needs_reference else ""
    if metric.against == "labels":
        return Note(f"One of {classes} classes: {1 / classes:.3g} is chance.", rank=3)
    if run.own_classes:
        return Note(f"Over the {classes} classes that '{run.backbone}' knows.", rank=3)
    return f"Over {classes} classes, the prompts of these sounds; compare with no others."


def _overlap_note(system: System, reference: Reference) -> str:
    """Format that sounds and reference were not drawn apart, which the bias supposes."""
    if system.of_reference and reference.of_clips:
        return Note(
            "Made from the same clips it is compared with: it has no sampling noise of its own, so "
            "that this is lower than other sounds as good as these could reach.",
            rank=3,
        )
    known = {path.resolve() for path in reference.sounds.values()}
    if common := sum(path.resolve() in known for path in system.sounds.values()):
        return Note(
            f"{common} of {len(system.sounds)} files are among those they are compared with: the "
            "two are not drawn apart, so that this is lower than other sounds as good could reach.",
            f"{counted(common, 'file')} compared with themselves; the value is too low",
            1,
        )
    return ""


class _FeatureCache:
    """Features of one backbone, computed once per set of sounds."""

    def __init__(self, backbone: Backbone, reference: Reference | None, report: Report) -> None:
        self.backbone, self.reference, self._report = backbone, reference, report
        self._systems: dict[tuple[str, float | None, Windows | None], Features] = {}
        self._references: dict[Windows | None, Features] = {}
        self._prompts: dict[tuple[tuple[str, str], ...], Features] = {}
        self._taggers: dict[tuple[str, ...], ZeroShotTagger] = {}

    @property
    def reference_left_out(self) -> dict[str, str]:
        """Sounds of the reference that could not be embedded, with the reason."""
        return {n: why for f in self._references.values() for n, why in f.left_out.items()}

    def pair(self, system: System, run: MetricRun) -> tuple[Features, Features | Statistics]:
        """Return the two sets that a metric compares.

        Raises:
            UsageError: Something it needs is missing.
        """
        metric = run.metric
        if run.needs_prompts and not system.prompts:
            raise UsageError(
                f"Nothing says what the sounds of '{system.name}' were to be; give `prompts`, a "
                "csv of file and prompt."
            )
        made = self._embed(system, metric.windows)
        against: Features | Statistics = made
        if metric.needs_reference:
            against = self._against(metric)
        elif metric.against == "labels":
            against = self._zero_shot(system).labels(system.prompts)
        elif metric.against == "prompts":
            against = self._embed_prompts(system.prompts)
        elif metric.needs_images:
            against = self._embed_images(system)
        if metric.needs_classes:
            own = cast(TaggingBackbone, self.backbone)
            tagger = own if run.own_classes else self._zero_shot(system)
            if metric.against != "labels":
                assert isinstance(against, Features)  # no metric of classes takes statistics
                against = tagged(against, tagger)
            made = tagged(made, tagger)
        return made, against

    def judge_labels(self, systems: Sequence[System], seed: int) -> Verdict | None:
        """Judge whether the backbone knows the prompts of the systems; None if there are none."""
        prompts = {n: text for system in reversed(systems) for n, text in system.prompts.items()}
        truth = None
        if self.reference is not None and self.reference.sounds.keys() & prompts:
            with suppress(UsageError):  # said where the sounds are needed
                truth = self._embed_reference(None)
        for system in systems:
            if truth is None and system.of_reference:
                truth = self._embed(system, None)
        generator = torch.Generator().manual_seed(seed)
        backbone = cast(AudioTextBackbone, self.backbone)
        return judge(backbone, prompts, truth, generator=generator) if prompts else None

    def save_reference(self, path: Path, windows: Windows | None) -> None:
        """Write the statistics of the reference.

        Raises:
            UsageError: It has no sounds, or too few.
        """
        features = self._embed_reference(windows)
        if features.n < 2:
            raise UsageError("Statistics need 2 windows of sound or more; give more sounds.")
        name, identity = self.backbone.name, self.backbone.identity
        write_statistics(path, features.statistics(), backbone=name, identity=identity)

    def _against(self, metric: Metric) -> Features | Statistics:
        assert self.reference is not None  # metrics that need one were dropped
        if self.reference.statistics is None:
            return self._embed_reference(metric.windows)
        metric.check_takes_statistics()
        name, identity = self.backbone.name, self.backbone.identity
        return read_statistics(self.reference.statistics, backbone=name, identity=identity)

    def _embed(self, system: System, windows: Windows | None) -> Features:
        key = (system.name, system.guidance, windows)
        if key not in self._systems:
            self._systems[key] = self._embed_files(system.sounds, windows)
        return self._systems[key]

    def _embed_reference(self, windows: Windows | None) -> Features:
        assert self.reference is not None
        if windows not in self._references:
            try:
                self._references[windows] = self._embed_files(self.reference.sounds, windows)
            except UsageError as error:
                raise UsageError(f"Of the reference: {error}") from None
        return self._references[windows]

    def _embed_files(self, sounds: Mapping[str, Path], windows: Windows | None) -> Features:
        return embed_files(sounds, self.backbone, windows=windows, report=self._report)

    def _embed_prompts(self, prompts: Mapping[str, str]) -> Features:
        key = tuple(prompts.items())  # most systems have the same
        if key not in self._prompts:
            backbone = cast(AudioTextBackbone, self.backbone)
            self._prompts[key] = embed_prompts(dict(prompts), backbone)
        return self._prompts[key]

    def _embed_images(self, system: System) -> Features:
        if not system.images:
            raise UsageError(
                f"Nothing says which images the sounds of '{system.name}' were made from; give "
                "sounds that clipsonic made of images and `pictures`, the images' folder, or "
                "`model` and `data`."
            )
        rows = cast(AudioImageBackbone, self.backbone).embed_images(list(system.images.values()))
        return from_vectors(list(system.images), rows, backbone=self.backbone.name)

    def _zero_shot(self, system: System) -> ZeroShotTagger:
        """Return the tagger whose classes are the prompts of one system alone."""
        classes = tuple(sorted(set(system.prompts.values())))
        if classes not in self._taggers:
            backbone = cast(AudioTextBackbone, self.backbone)
            self._taggers[classes] = ZeroShotTagger(backbone, classes)
        return self._taggers[classes]

"""An evaluation request, and the plan it is resolved to before any weights are loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clipsonic_cli.data.listing import left_out_line
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.audio_files import other_files, sound_files
from clipsonic_cli.evaluation.backbones import MetricRun
from clipsonic_cli.evaluation.sources import Folders, Source
from clipsonic_cli.evaluation.systems import Needs, Reference
from clipsonic_cli.metrics.frechet import read_statistics
from clipsonic_cli.text import counted
from clipsonic_cli.types import Note

STATISTICS = ".npz"
SHIPPED = "the statistics of true sounds that came with the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRequest:
    """What to evaluate, and how."""

    name: str
    out: Path
    """Folder of reports and sounds."""
    metrics: tuple[str, ...]
    """Metrics in the spelling of the command line, such as "fad:clap"."""
    metrics_named: bool = True
    """Whether a person chose them: else those that cannot order systems are left out."""
    source: Source = field(default_factory=Folders)
    listening: bool = False
    """Whether people will rate the sounds, which takes sounds and prompts whatever the metrics."""
    reference: Path | None = None
    """A folder of true sounds, or a file of statistics; None takes the clips' own."""
    save_stats: Path | None = None
    """Where statistics of the reference go."""
    seed: int = 0
    """Seed of the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request that was checked: its metrics, its reference, and what it needs of its source."""

    requested: tuple[MetricRun, ...]
    audio_runs: tuple[MetricRun, ...]
    """Metrics of sounds that have something to compare with."""
    vector_runs: tuple[MetricRun, ...]
    """Metrics of query vectors that have something to compare with."""
    reference: Reference | None
    """None where it comes with the source, or no metric needs one."""
    needs: Needs
    notes: tuple[str, ...]
    """Differences from the request."""
    left_out: Mapping[str, str]
    """Files of the reference's folder that are not sounds, with the reason."""


def resolve(request: EvalRequest) -> Plan:
    """Check a request, and find its metrics and reference.

    Raises:
        UsageError: Something is missing, or cannot be scored.
        MissingWeights: A backbone that was named is not on this machine.
    """
    source = request.source
    requested = backbones.choose(request.metrics)
    shipped = source.statistics if request.reference is None else None
    # Drop metrics with nothing to compare with.
    runs, notes = _comparable(request, requested, shipped=shipped is not None)
    notes += backbones.notes_of(runs)
    audio_runs = [run for run in runs if run.metric.needs_audio]
    vector_runs = [run for run in runs if not run.metric.needs_audio]
    # Find the reference.
    reference, left_out = None, {}
    if request.reference is not None:
        reference = _read_reference(request.reference, audio_runs)
        if request.reference.is_dir() and (left_out := other_files(request.reference)):
            notes.append(f"reference: {left_out_line(left_out)}")
    elif shipped is not None and any(run.metric.takes_statistics for run in audio_runs):
        reference = replace(_read_reference(shipped, audio_runs), description=SHIPPED)
        notes.append(
            Note(
                f"compared with {SHIPPED}: the kinds of sound requested are not those of the true "
                "sounds in the same shares, which alone makes a distance",
                rank=3,
            )
        )
    _check_save_stats(request, audio_runs)
    # Drop metrics of queries where there are none.
    if vector_runs and not source.has_queries:
        missing = "of a model's queries; give `model` and `data`"
        names = ", ".join(run.metric.name for run in vector_runs)
        if not audio_runs:
            raise UsageError(f"Scores {missing}: {names}.")
        notes.append(f"{names} left out: scores {missing}")
        vector_runs = []
    needs = Needs(
        audio=bool(audio_runs) or request.listening,
        prompts=request.listening or any(run.needs_prompts for run in audio_runs),
        images=any(run.metric.needs_images for run in audio_runs),
        vectors=bool(vector_runs),
    )
    return Plan(
        requested=tuple(requested),
        audio_runs=tuple(audio_runs),
        vector_runs=tuple(vector_runs),
        reference=reference,
        needs=needs,
        notes=tuple(notes),
        left_out=left_out,
    )


def _comparable(
    request: EvalRequest, runs: Sequence[MetricRun], *, shipped: bool
) -> tuple[list[MetricRun], list[str]]:
    """Return the metrics that have something to compare with, and a note on the others.

    ``shipped`` is whether statistics by the embedded backbone came with the model.
    """
    known = request.reference is not None or request.source.has_truth

    def is_comparable(run: MetricRun) -> bool:
        by_shipped = shipped and run.metric.takes_statistics and run.backbone == backbones.EMBEDDED
        return known or by_shipped or not run.metric.needs_reference

    comparable = [run for run in runs if is_comparable(run)]
    if len(comparable) == len(runs):
        return comparable, []
    names = ", ".join(run.label for run in runs if not is_comparable(run))
    why = "there are no true sounds to compare with; give `reference`, or a `model` with `data`"
    if not comparable:
        raise UsageError(f"{names} cannot be computed: {why}.")
    return comparable, [f"{names} left out: {why}"]


def _read_reference(path: Path, runs: Sequence[MetricRun]) -> Reference:
    """Find the sounds of a folder, or check a file of statistics against the backbones."""
    if path.suffix.lower() != STATISTICS:
        sounds = sound_files(path)
        return Reference(description=f"{counted(len(sounds), 'sound')} of {path}", sounds=sounds)
    for run in runs:
        if run.metric.takes_statistics:
            read_statistics(path, backbone=run.backbone)
    return Reference(description=f"statistics of {path}", statistics=path)


def _check_save_stats(request: EvalRequest, runs: Sequence[MetricRun]) -> None:
    """Check ``save_stats``: an .npz in an existing folder, true sounds, exactly one backbone."""
    path, reference = request.save_stats, request.reference
    if path is None:
        return
    if path.suffix.lower() != STATISTICS:
        raise UsageError(f"`save_stats` '{path}' must end in {STATISTICS}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}'; create it or give another.")
    has_sounds = request.source.has_truth
    if reference is not None:
        has_sounds = reference.suffix.lower() != STATISTICS
    if not has_sounds:
        raise UsageError(
            "`save_stats` keeps the statistics of the true sounds; give `reference`, or `data`."
        )
    count = len({run.backbone for run in runs if run.metric.takes_statistics})
    if count != 1:
        raise UsageError(
            f"`save_stats` keeps those of one backbone, and the metrics have {count} that take "
            "statistics; give `metrics` fad, or fad with one backbone."
        )

"""An evaluation from wish to results.

Knows: the order of things, so that whatever can be wrong is found before weights are read. Does not
know: how results are shown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from clipsonic_cli import __version__
from clipsonic_cli.atomic import why_unwritable
from clipsonic_cli.data.listing import left_out_line
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.audio_files import other_files, sound_files
from clipsonic_cli.evaluation.results import Results, Sample, ScoreRow, heading
from clipsonic_cli.evaluation.scoring import Reference, score
from clipsonic_cli.evaluation.sources import Folders, Generation, ModelSource, SystemSet, of_folders
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.metrics.frechet import read_statistics
from clipsonic_cli.store import model_folders
from clipsonic_cli.types import Report, silent

STATISTICS = ".npz"
TRUTH = "truth.npz"
"""Statistics of true sounds in a model's folder, as the embedded backbone hears them."""
TRUTH_TOLD = "the statistics of true sounds that came with the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRequest:
    """What is to be evaluated, and how.

    Args:
        name: Of it.
        out: Folder of reports and sounds.
        metrics: As a person names them, such as "fad:clap".
        subject: Folders of sounds, or a model; None where only statistics are to be saved.
        listening: Whether people are to judge the sounds, so that they and their prompts are needed
            whatever the metrics.
        reference: A folder of true sounds, or a file of statistics; None is the clips' own.
        save_stats: Where the reference's statistics go.
        seed: Of the intervals.
    """

    name: str
    out: Path
    metrics: tuple[str, ...]
    subject: Folders | Generation | None
    listening: bool = False
    reference: Path | None = None
    save_stats: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCallbacks:
    """How an evaluation tells where it is.

    Args:
        tell: Is given a line that a person should read.
        report: Is told of progress.
    """

    tell: Callable[[str], None] = field(default=lambda _line: None)
    report: Report = silent


def evaluate(
    request: EvalRequest, *, device: torch.device, callbacks: EvalCallbacks | None = None
) -> Results:
    """Makes the sounds that are not there yet, and scores them.

    Args:
        request: What is wanted.
        device: Where networks run.
        callbacks: Told what is not as was asked, as soon as that is known.

    Raises:
        UsageError: Something asked for is not there, cannot be, or can be scored by nothing.
        MissingWeights: A model or a backbone that was insisted on is not on this machine.
        ClipsonicError: A folder cannot be written, or weights are damaged.
    """
    callbacks = callbacks or EvalCallbacks()
    came_along = _came_along(request)
    asked = backbones.choose(request.metrics)
    hearings, notes = _comparable(request, asked, came_along)
    listening = [one for one in hearings if one.metric.needs_audio]
    notes += backbones.notes_of(hearings)
    reference = None if request.reference is None else _reference(request.reference, listening)
    others: dict[str, str] = {}
    if request.reference is not None and request.reference.is_dir():
        others = other_files(request.reference)
    notes += [f"reference: {left_out_line(others)}"] if others else []
    if came_along is not None and any(one.metric.takes_statistics for one in listening):
        reference = replace(_reference(came_along, listening), description=TRUTH_TOLD)
        notes.append(
            f"compared with {TRUTH_TOLD}: the kinds of sound asked for are not those of the true "
            f"sounds in the same shares, which alone makes a distance"
        )
    _check_stats(request, listening)
    subject, similarity = request.subject, len(listening) < len(hearings)
    if similarity and listening and not isinstance(subject, Generation):
        hearings, similarity = listening, False
        notes.append("similarity left out: it is of a model's queries; give `model` and `data`")
    if isinstance(subject, Generation):
        sounds = bool(listening) or request.listening
        asking = ModelSource(subject, device=device.type, sounds=sounds, vectors=similarity)
    elif similarity:
        raise UsageError("'similarity' is of a model's queries; give `model` and `data`.")
    elif isinstance(subject, Folders):
        worded = any(one.needs_prompts for one in hearings)
        material = of_folders(subject, worded=request.listening or worded)
    else:
        material = SystemSet(systems=())
    _check_writable(request.out)
    request.out.mkdir(parents=True, exist_ok=True)
    for note in notes:
        callbacks.tell(f"note: {note}")
    if isinstance(subject, Generation):
        material = asking.gather(request.out, report=callbacks.report)
        del asking  # its networks make room for those that hear
    for note in material.notes:
        callbacks.tell(f"note: {note}")
    if reference is None and material.truth:
        told = material.settings["truth"]
        reference = Reference(description=told, sounds=material.truth, of_clips=True)
    scored = score(
        material.systems if listening else (),
        listening,
        reference,
        device=device,
        seed=request.seed,
        save_stats=request.save_stats,
        report=callbacks.report,
    )
    for note in scored.notes:
        callbacks.tell(f"note: {note}")
    settings = {
        "clipsonic": __version__,
        "torch": torch.__version__,
        **material.settings,
        "metrics": [f"{one.metric.name}:{one.backbone}" for one in asked],
        "backbones": dict(scored.identities) or None,
        "reference": reference.description if reference is not None and scored.compared else None,
    }
    known = {} if reference is None else reference.sounds
    return Results(
        name=request.name,
        settings=settings,
        rows=(*scored.rows, *_similarities(material, hearings, request.seed)),
        samples=tuple(_samples(material, {**known, **material.truth})),
        notes=(*notes, *material.notes, *scored.notes),
        left_out=scored.left_out,
        files_left_out={**material.left_out, **others},
    )


def _came_along(request: EvalRequest) -> Path | None:
    """Gives the statistics in the folder of a model that is asked for nothing but common sounds."""
    subject = request.subject
    if request.reference is not None or not isinstance(subject, Generation) or subject.data:
        return None
    path = model_folders.find(subject.model).path / TRUTH
    return path if path.is_file() else None


def _comparable(
    request: EvalRequest, hearings: Sequence[backbones.MetricRun], came_along: Path | None
) -> tuple[list[backbones.MetricRun], list[str]]:
    """Gives the metrics for which there is something to compare with, and why there are no more."""
    data = isinstance(request.subject, Generation) and request.subject.data is not None
    truth = request.reference is not None or data

    def is_able(one: backbones.MetricRun) -> bool:
        known = came_along is not None and one.metric.takes_statistics
        known = known and one.backbone == backbones.EMBEDDED
        return truth or known or not one.metric.needs_reference

    able = [one for one in hearings if is_able(one)]
    if len(able) == len(hearings):
        return able, []
    names = ", ".join(one.label for one in hearings if one not in able)
    why = "there are no true sounds to compare with; give `reference`, or a `model` with `data`"
    if not able:
        raise UsageError(f"{names} cannot be computed: {why}.")
    return able, [f"{names} left out: {why}"]


def _reference(path: Path, hearings: Sequence[backbones.MetricRun]) -> Reference:
    """Gives what lies at a path, once that is known to be of use."""
    if path.suffix.lower() != STATISTICS:
        sounds = sound_files(path)
        return Reference(description=f"{len(sounds)} sounds of {path}", sounds=sounds)
    for one in hearings:
        if one.metric.takes_statistics:
            read_statistics(path, backbone=one.backbone)
    return Reference(description=f"statistics of {path}", statistics=path)


def _check_stats(request: EvalRequest, hearings: Sequence[backbones.MetricRun]) -> None:
    """Refuses to save statistics that nobody asked for, of what is none, or nowhere."""
    if request.save_stats is None:
        if request.subject is None:
            raise UsageError("Nothing to evaluate; give folders of sounds or a model.")
        return
    path, data = (
        request.save_stats,
        isinstance(request.subject, Generation) and request.subject.data,
    )
    if path.suffix.lower() != STATISTICS:
        raise UsageError(f"`save_stats` '{path}' must end in {STATISTICS}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}'; create it or give another.")
    if (request.reference is None and not data) or (
        request.reference is not None and request.reference.suffix.lower() == STATISTICS
    ):
        raise UsageError(
            "`save_stats` keeps the statistics of the true sounds; give `reference`, or `data`."
        )
    able = {one.backbone for one in hearings if one.metric.takes_statistics}
    if len(able) != 1:
        raise UsageError(
            f"`save_stats` keeps those of one network, and there are {len(able)} asked for; give "
            f"`metrics` fad, or fad with one backbone."
        )


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the folder of reports and sounds while the block runs.

    Raises:
        UsageError: Another evaluation holds it.
        ClipsonicError: It cannot be written.
    """
    _check_writable(out)
    with owned(out, "clipsonic eval"):
        yield


def _check_writable(folder: Path) -> None:
    """Check that a folder, which need not be there, takes files."""
    if (reason := why_unwritable(folder)) is not None:
        raise ClipsonicError(f"Cannot write in '{folder}': {reason}; give another `out`.")


def _similarities(
    material: SystemSet, hearings: Sequence[backbones.MetricRun], seed: int
) -> list[ScoreRow]:
    """Gives a row a mode, of no guidance, as that plays no part in a query's vector."""
    rows = []
    for one in hearings:
        if not one.metric.needs_audio:
            for vectors in material.vectors:
                generator = torch.Generator().manual_seed(seed)
                scores = one.metric(vectors.made, vectors.images, generator=generator)
                rows.append(ScoreRow(system=vectors.system, scores=scores))
    return rows


def _samples(material: SystemSet, truth: Mapping[str, Path]) -> list[Sample]:
    """Gives every query with the sounds made of it, and the true one of its name."""
    names = dict.fromkeys(name for system in material.systems for name in system.sounds)
    samples = []
    for name in names:
        having = [system for system in material.systems if name in system.sounds]
        paths = {heading(system.name, system.guidance): system.sounds[name] for system in having}
        if name in truth:
            paths["truth"] = truth[name]
        prompts = [s.prompts[name] for s in having if name in s.prompts]
        pictures = [s.pictures[name] for s in having if name in s.pictures]
        samples.append(
            Sample(
                name=name,
                prompt=prompts[0] if prompts else None,
                picture=pictures[0] if pictures else None,
                paths=paths,
            )
        )
    return samples

"""An evaluation from request to results: resolve, collect, score, report."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from clipsonic_cli import __version__
from clipsonic_cli.atomic import check_writable
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.plan import EvalRequest, resolve
from clipsonic_cli.evaluation.results import Results, Sample, heading
from clipsonic_cli.evaluation.scoring import score
from clipsonic_cli.evaluation.sources import Work
from clipsonic_cli.evaluation.systems import System
from clipsonic_cli.evaluation.vectors import score_vectors
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.types import Note, Report, silent

OTHER = "another `output`"
"""What to give instead of a folder that cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCallbacks:
    """What an evaluation calls as it goes on."""

    on_message: Callable[[Note], None] = field(default=lambda _note: None)
    on_progress: Report = silent


def evaluate(
    request: EvalRequest, *, device: torch.device, callbacks: EvalCallbacks | None = None
) -> Results:
    """Make the sounds that are not there yet, and score them.

    ``callbacks`` receive notes as soon as they are known, and progress.

    Raises:
        UsageError: Something is missing, out of range, or cannot be scored or written.
        MissingWeights: A model, or a backbone that was named, is not on this machine.
        ClipsonicError: Weights are damaged.
    """
    callbacks = callbacks or EvalCallbacks()

    def tell(notes: Iterable[str]) -> None:
        for note in notes:
            callbacks.on_message(Note(note))

    # Resolve metrics and reference; check the source.
    plan = resolve(request)
    prepared = request.source.prepare(plan.needs, device)
    check_writable(request.out, OTHER)
    request.out.mkdir(parents=True, exist_ok=True)
    known = tuple(prepared.notes)
    tell((*plan.notes, *known))
    # Collect sounds.
    collected = prepared.collect(request.out, callbacks.on_progress, lambda line: tell([line]))
    del prepared  # frees a model's networks before backbones are loaded
    tell(note for note in collected.notes if note not in known)
    if not (collected.systems or collected.vectors or request.save_stats):
        raise UsageError("Nothing to evaluate; give folders of sounds or a model.")
    # Score.
    reference = plan.reference or collected.truth
    scored = score(
        collected.systems,
        plan.audio_runs,
        reference,
        device=device,
        seed=request.seed,
        save_stats=request.save_stats,
        keep_all=request.metrics_named,
        report=callbacks.on_progress,
    )
    vector_rows, left_out = score_vectors(plan.vector_runs, collected.vectors, request.seed)
    notes = (*scored.notes, *left_out)
    tell(notes)
    # Report.
    truth = {
        **(plan.reference.sounds if plan.reference else {}),
        **(collected.truth.sounds if collected.truth else {}),
    }
    return Results(
        name=request.name,
        settings={
            "clipsonic": __version__,
            "torch": torch.__version__,
            "seed": request.seed,
            **collected.settings,
            "metrics": [
                f"{run.metric.name}:{run.backbone}"
                for run in plan.requested
                if run not in scored.dropped
            ],
            "backbones": dict(scored.identities) or None,
            "reference": reference.description if reference and scored.compared else None,
        },
        rows=(*scored.rows, *vector_rows),
        samples=tuple(_samples(collected.systems, truth)),
        notes=(*plan.notes, *collected.notes, *notes),
        left_out=scored.left_out,
        label_checks={name: verdict.details() for name, verdict in scored.verdicts.items()},
        files_left_out={**collected.left_out, **plan.left_out},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an evaluation would do."""

    work: Work
    metrics: tuple[str, ...]
    missing: tuple[str, ...]
    """Backbones of the paper that are not on this machine."""
    notes: tuple[str, ...]


def preview(request: EvalRequest, *, device: torch.device) -> Preview:
    """Check a request as :func:`evaluate` does, and count its sounds; writes nothing."""
    plan = resolve(request)
    prepared = request.source.prepare(plan.needs, device)
    check_writable(request.out, OTHER)
    runs = (*plan.audio_runs, *plan.vector_runs)
    return Preview(
        work=prepared.preview(request.out),
        metrics=tuple(run.label for run in runs),
        missing=tuple(dict.fromkeys(run.instead_of for run in runs if run.instead_of)),
        notes=(*plan.notes, *prepared.notes),
    )


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the folder of reports and sounds while the block runs.

    Raises:
        UsageError: Another evaluation holds it, or it cannot be written.
    """
    check_writable(out, OTHER)
    with owned(out, "clipsonic eval"):
        yield


def _samples(systems: Iterable[System], truth: Mapping[str, Path]) -> Iterator[Sample]:
    """Yield each query with the sounds made from it, and the true sound of the same name."""
    names = dict.fromkeys(name for system in systems for name in system.sounds)
    for name in names:
        having = [system for system in systems if name in system.sounds]
        paths = {heading(system.name, system.guidance): system.sounds[name] for system in having}
        if name in truth:
            paths["truth"] = truth[name]
        prompts = (s.prompts[name] for s in having if name in s.prompts)
        images = (s.images[name] for s in having if name in s.images)
        yield Sample(name=name, prompt=next(prompts, None), image=next(images, None), paths=paths)

"""Query vectors of models, and their scores: Table 2."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.evaluation.backbones import MetricRun
from clipsonic_cli.evaluation.generation import AT_ONCE, recipe_for
from clipsonic_cli.evaluation.results import ScoreRow
from clipsonic_cli.evaluation.systems import QueryVectors
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.metrics.features import Features, from_vectors
from clipsonic_cli.metrics.label_rank import label_cosines
from clipsonic_cli.metrics.nearest_frame import nearest
from clipsonic_cli.models.clip import PAPER
from clipsonic_cli.modes import MODES, Mode
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.types import Note, Report, Score, silent


def query_vectors(
    sonic: ClipSonic,
    items: Sequence[TestItem],
    modes: Sequence[Mode],
    *,
    candidates: int = 2,
    report: Report = silent,
) -> Iterator[QueryVectors]:
    """Yield, for each mode, the vectors that condition its U-Net and what they compare with.

    Items without a label or an image are left out, and so are modes that do not lead to a CLIP
    vector. The prior draws with the seeds of the items, as it does for the sounds.

    Raises:
        UsageError: No item has both a label and an image.

    Source: CLIPSonic section 4.1 and Table 2.
    """
    both = [item for item in items if item.label is not None and item.image is not None]
    if not both:
        raise UsageError(
            "Query vectors are those of texts, and compare with images; no clip has both: give "
            "`data` with labels and images."
        )
    names = [item.name for item in both]
    images, clip = _encode(sonic, both, MODES["iq"], candidates, report)
    frames = _frames(sonic, clip)
    for mode in modes:
        if mode.query == "text" and "clip" in mode.weights:
            rows, encoder = _encode(sonic, both, mode, candidates, report)
            yield QueryVectors(
                system=mode.name,
                made=from_vectors(names, rows, backbone=encoder),
                images=from_vectors(names, images, backbone=clip),
                labels=tuple(str(item.label) for item in both),
                frames=frames,
            )


def score_vectors(
    runs: Iterable[MetricRun], vectors: Iterable[QueryVectors], seed: int
) -> tuple[list[ScoreRow], list[str]]:
    """Score query vectors: a row a mode, without w, as guidance does not change a query.

    Returns:
        The rows, and a note for each score that is left out.

    Raises:
        UsageError: There are vectors, and no score of any; gives the first reason.
    """
    rows, faults = [], {}
    for of_mode in vectors:
        scores: list[Score] = []
        for run in runs:
            try:
                scores += _scores(run, of_mode, torch.Generator().manual_seed(seed))
            except UsageError as error:
                name = "" if of_mode.model is None else f" of {of_mode.model}"
                faults[f"{run.label}{name} is left out: {error}"] = error
        rows.append(ScoreRow(system=of_mode.system, model=of_mode.model, scores=tuple(scores)))
    if rows and not any(row.scores for row in rows):
        raise next(iter(faults.values()))
    return rows, list(faults)


def _scores(run: MetricRun, vectors: QueryVectors, generator: torch.Generator) -> Iterable[Score]:
    """Score the vectors of a mode by one metric; a UsageError says why it cannot be."""
    metric, made, images = run.metric, vectors.made, vectors.images
    match metric.against:
        case "frames":
            if isinstance(vectors.frames, str):
                raise UsageError(vectors.frames)
            true = nearest(images.rows, vectors.frames.rows).mean()
            note = Note(f"The true images have {true:.3f}.", f"the true images have {true:.3f}")
            scores = metric(made, vectors.frames, generator=generator)
            return [replace(score, notes=(*score.notes, note)) for score in scores]
        case "image labels":
            labels = sorted(set(vectors.labels))
            if len(labels) < 2:
                raise UsageError(f"it needs two labels or more, and all clips have '{labels[0]}'.")
            own = torch.tensor([labels.index(label) for label in vectors.labels])
            cosines, true = label_cosines(made.rows, images.rows, own), torch.eye(len(labels))[own]
            by_label, of_label = (
                from_vectors(made.names, rows, backbone=made.backbone) for rows in (cosines, true)
            )
            return metric(by_label, of_label, generator=generator)
        case _:
            return metric(made, images, generator=generator)


def _encode(
    sonic: ClipSonic, items: Sequence[TestItem], mode: Mode, candidates: int, report: Report
) -> tuple[torch.Tensor, str]:
    """Compute the vectors (B, D) of a mode; return them with the name of their CLIP."""
    encode = sonic.parts.encoder(mode, candidates=candidates)
    rows, clip = [], ""
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        recipes = [recipe_for(item, Recipe(mode=mode.name)) for item in batch]
        queries = [recipe.query for recipe in recipes if recipe is not None]
        with torch.no_grad():
            condition = encode(queries, noise=SeededNoise([item.seed for item in batch]))
        rows.append(condition.embed.float().cpu())
        clip = condition.encoder
        report(f"{mode.name} vectors", start + len(queries), len(items))
    return torch.cat(rows), "clip" if clip.startswith(PAPER) else clip


def _frames(sonic: ClipSonic, clip: str) -> Features | str:
    """Return the training frames that a model's statistics keep, or why there are none."""
    mode = MODES["ms"]
    try:
        sonic.parts.check(mode.weights, mode)
    except (MissingWeights, BadBundle) as error:
        return str(error)
    encoder = sonic.parts.encoder(mode, candidates=1)
    rows = encoder.statistics.frames  # type: ignore[attr-defined]
    return from_vectors([f"{place}" for place in range(len(rows))], rows, backbone=clip)

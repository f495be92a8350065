"""The model card: what was trained, on what data, how, and for how long."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.data.report import Survey
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.preparation.catalogue import Catalogue
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder
from clipsonic_cli.text import counted
from clipsonic_cli.training.departures import DEPARTURES, OPEN, Departure, of_part
from clipsonic_cli.training.publish import CARD

LABELS = 40
"""Labels that are listed."""
SUMMARY = "data.json"
"""The summary of a run's data, in the run's folder."""
MAX_SUMMARY = 64 << 20
"""Bytes of it at most; it has some numbers, and a line for each label."""


def data_summary(
    name: str, catalogue: Catalogue, survey: Survey | None, splits: SplitDraw | None = None
) -> dict[str, Any]:
    """Summarize a data set for a card and a file's meta; ``splits`` is how they were drawn."""
    labels = Counter(label for label in catalogue.labels if label is not None)
    return {
        "name": name,
        "found": len(catalogue) if survey is None else survey.found,
        "kept": len(catalogue),
        "hours": round(catalogue.hours, 3),
        "splits": dict(Counter(catalogue.splits)),
        "drawn": splits and dataclasses.asdict(splits),
        "labels": len(labels),
        "flaws": {} if survey is None else {k: n for k, n in survey.flaws.items() if n},
        "most_labels": dict(labels.most_common(LABELS)),
    }


def write_summary(run_dir: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary of a run's data."""
    (run_dir / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Read the summary of a run's data."""
    path = run_dir / SUMMARY
    try:
        summary = bounded.read_json(path, MAX_SUMMARY)
        if not isinstance(summary, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipsonicError(
            f"{path}, which says what the run is trained on, cannot be used ({reason}). Put a copy "
            "back, or begin another run on the same data: what was prepared is used again."
        ) from None
    return summary


def write_card(model: ModelFolder, name: str, command: str | None) -> None:
    """Write ``MODEL_CARD.md`` into a model's folder: a chapter for each part that was trained."""
    paths = sorted(model.path.glob(f"*{SUFFIX}"))
    headers = {path.stem: bundle.read_header(path) for path in paths}
    trained = {part: header for part, header in headers.items() if "settings" in header.meta}
    rows = []
    for part, header in headers.items():
        origin = "trained, see below" if part in trained else "taken over"
        if header.kind == "statistics":
            origin = f"the frames of '{header.meta.get('data', 'not stated')}'"
        rows.append((part, header.kind, header.meta.get("licence", "not stated"), origin))
    text = f"""# {name}

Text or an image into sound: a model of clipsonic (CLIPSonic, Dong et al. 2023). By
`clipsonic train` were trained: {", ".join(f"`{part}`" for part in trained)}.

    {command or "clipsonic train --help"}

Each part has its own licence; whether videos may be used so is for whoever trained on them to know.

{_table(("part", "kind", "licence", "from"), rows)}
{"".join(_chapter(part, header) for part, header in trained.items())}"""
    with written(model.path / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _chapter(part: str, header: Header) -> str:
    """Format how a part was trained."""
    meta, data = header.meta, header.meta["data"]

    # Data.
    labels = ", ".join(f"{label} ({count:,})" for label, count in data["most_labels"].items())
    more = f" and {data['labels'] - LABELS} more" if data["labels"] > LABELS else ""
    flaws = ", ".join(f"{kind} {count:,}" for kind, count in data["flaws"].items())
    splits = ", ".join(f"{split} {count:,}" for split, count in data["splits"].items())

    # Result.
    kept, best = "the last step", meta.get("best")
    if best:
        lowest = f"the lowest validation loss ({best['held_out_loss']:g})"
        kept = f"step {best['step']:,}, which has {lowest}"
    averaged = meta["settings"].get("ema_decay") != 0
    weights = "weights are averages up to" if averaged else "weights are"
    vocoder = ""
    if header.kind == "vocoder":
        default = meta.get("default_vocoder", "griffin-lim: this one was not compared with it")
        on = f", by {meta['scored_on']}" if "scored_on" in meta else ""
        vocoder = f"The default vocoder is {default}{on}."
    values = meta["losses"] | {
        f"{name}: {score}": value
        for name, scores in meta.get("scores", {}).items()
        for score, value in scores.items()
    }

    # Settings.
    settings = {
        "conditioned on": header.space if header.kind != "vocoder" else "mel",
        "encoder": header.encoder or "-",
        "initial weights": meta["warm_start"] or "random",
        **{f"network: {name}": value for name, value in _fields(header.config).items()},
        **{f"diffusion: {name}": value for name, value in _fields(header.diffusion).items()},
        **meta["settings"],
    }
    return f"""
## {part}

Licence: {meta["licence"]}.

Data: "{data["name"]}", {data["found"]:,} clips found, {data["kept"]:,} kept
({data["hours"]:.2f} hours; {splits}). Flaws seen: {flaws or "none"}.
Labels ({data["labels"]:,}): {labels or "none, and none are needed"}{more}.

After {counted(meta["steps"], "step")} ({counted(meta["minutes"], "minute")}); the {weights} {kept}.
{vocoder}
{_compared(part, header)}
{meta.get("no_fad", "")}

{_table(("value at the end", "mean"), [(_words(n), f"{v:.4f}") for n, v in values.items()])}

{_table(("setting", "value"), [(_words(name), value) for name, value in settings.items()])}
"""


def _compared(part: str, header: Header) -> str:
    """Format how the training compares with the paper's."""
    if header.meta["settings"].get("preset") != "paper":
        return (
            "The settings below were chosen for the data and the machine; they are not the paper's."
        )
    changed = header.meta.get("changed", [])
    own = _table(("setting", "the paper's", "this training's"), changed)
    paragraphs = [
        "Trained with the preset 'paper': section 3 and appendix A of the paper (Dong et al. "
        "2023) and the code it names, but for what follows.",
        *(["Changed by whoever trained it:", own] if changed else []),
        "What the paper or the code it names does otherwise:",
        _departures(of_part(DEPARTURES, part)),
        "Where the paper is silent:",
        _departures(of_part(OPEN, part)),
    ]
    return "\n\n".join(paragraphs)


def _departures(rows: Sequence[Departure]) -> str:
    values = [(row.name, row.theirs, row.ours, row.why) for row in rows]
    return _table(("what", "the paper, or its code", "here", "why"), values)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _fields(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, or none."""
    return {} if config is None else dataclasses.asdict(config)

"""The model card: what was trained on what, how, and how far; written from what is known."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import written
from clipsonic_cli.data.report import Survey
from clipsonic_cli.preparation.catalogue import Catalogue
from clipsonic_cli.store import bundle
from clipsonic_cli.store.models import SUFFIX
from clipsonic_cli.training.settings import Settings

LABELS = 40
"""Labels that are listed."""


def data_summary(catalogue: Catalogue, survey: Survey | None) -> dict[str, Any]:
    """Gives what a card and a file's meta say of a data set.

    Args:
        catalogue: Its clips.
        survey: What was found; None for clips that were prepared before.
    """
    labels = Counter(label for label in catalogue.labels if label is not None)
    places = map(catalogue.place, range(len(catalogue)))
    frames = sum(place.mel_frames for place in places)
    return {
        "found": len(catalogue) if survey is None else survey.found,
        "kept": len(catalogue),
        "hours": round(catalogue.config.mel.seconds(frames) / 3600, 3),
        "splits": dict(Counter(catalogue.splits)),
        "labels": len(labels),
        "flaws": {} if survey is None else {k: n for k, n in survey.flaws.items() if n},
        "most_labels": dict(labels.most_common(LABELS)),
    }


def write_card(folder: Path, settings: Settings, meta: Mapping[str, Any], command: str) -> None:
    """Writes ``MODEL_CARD.md`` into a model's folder.

    Args:
        folder: Holds the parts.
        settings: Of the training.
        meta: Of the trained part's file.
        command: The line that makes a sound.
    """
    headers = {path.stem: bundle.read_header(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}
    parts = "\n".join(
        f"| {name} | {header.kind} | {header.meta.get('licence', 'not stated')} | "
        f"{'this training' if name == settings.part else 'taken over'} |"
        for name, header in headers.items()
    )
    data = meta["data"]
    labels = ", ".join(f"{label} ({count})" for label, count in data["most_labels"].items())
    rows = {
        "stage": settings.stage,
        "conditioned on": settings.space if settings.stage != "vocoder" else "mel",
        "encoder": headers[settings.part].encoder or "-",
        "begun with": settings.warm_start or "random weights",
        "dropped conditions": settings.cond_drop,
        **_fields(settings.network, "network"),
        **(_fields(settings.diffusion, "diffusion") if settings.diffusion else {}),
        **_fields(settings.beyond, "beyond the paper"),
        **_fields(settings.train, "training"),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in meta["losses"].items())
    text = f"""# {settings.name}

Text or a picture into sound: a model of clipsonic (CLIPSonic, Dong et al. 2023), its
`{settings.part}` trained on {data["kept"]:,} clips ({data["hours"]:.2f} hours) of
"{settings.data}".

    {command}

## Licence

Of `{settings.part}`: {settings.licence}. Other parts have their own, as below. Whether the videos
may be used so is for whoever trained it to know.

| part | kind | licence | from |
|---|---|---|---|
{parts}

## Data

{data["found"]:,} clips were found, {data["kept"]:,} kept, by split:
{", ".join(f"{split} {count:,}" for split, count in data["splits"].items())}. Flaws seen:
{", ".join(f"{kind} {count:,}" for kind, count in data["flaws"].items()) or "none"}.
Labels ({data["labels"]}): {labels or "none, and none are needed"}.

## Scores

After {meta["steps"]:,} steps ({meta["minutes"]} minutes); the weights are the average of
{"the step with the least loss on held-out clips" if meta["best"] else "the last step"}.

| value | mean |
|---|---|
{scores}

## Settings

| setting | value |
|---|---|
{table}
"""
    with written(folder / "MODEL_CARD.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _fields(value: Any, title: str) -> dict[str, Any]:
    """Gives the fields of a dataclass as rows."""
    names = [field.name for field in dataclasses.fields(value)]
    return {f"{title}: {name}": getattr(value, name) for name in names}

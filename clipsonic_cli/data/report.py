"""Report on a data set: how many clips are kept, and why the others are dropped."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from clipsonic_cli.atomic import written
from clipsonic_cli.data.check import Finding, Kind
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.types import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Counts of a data set's clips; hours, labels and splits are those of the clips kept."""

    found: int
    """Clips listed by the reader."""
    kept: int
    """Clips that are fit for training."""
    flaws: Mapping[Kind, int]
    """Clips with each flaw, dropped or not; a clip may have several."""
    hours: float
    labels: Mapping[str, int]
    """In order of the labels; clips without one are not counted."""
    splits: Mapping[str, int]
    flawed: tuple[Finding, ...]
    """In the order of the clips."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Files that belong to no clip, with the reason."""


def summarize(looked_at: Iterable[Finding]) -> Survey:
    """Count the findings."""
    found, kept, seconds = 0, 0, 0.0
    flaws: Counter[Kind] = Counter(dict.fromkeys(get_args(Kind), 0))
    labels, splits, flawed = Counter[str](), Counter[str](), []
    for finding in looked_at:
        found += 1
        flaws.update({flaw.kind for flaw in finding.flaws})
        if finding.flaws:
            flawed.append(finding)
        if finding.dropped:
            continue
        kept += 1
        seconds += finding.seconds
        labels.update([finding.clip.label] if finding.clip.label else [])
        splits.update([finding.clip.split] if finding.clip.split else [])
    return Survey(
        found=found,
        kept=kept,
        flaws=dict(flaws),
        hours=seconds / 3600,
        labels=dict(sorted(labels.items())),
        splits=dict(splits),
        flawed=tuple(flawed),
    )


def write_csv(survey: Survey, path: Path) -> None:
    """Write every flaw of every clip, and every file left out, as a row, whole or not at all."""
    try:
        with (
            written(path) as temporary,
            temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            rows = csv.writer(file)
            rows.writerow(["clip", "flaw", "reason", "dropped", "label", "split", "file"])
            for finding in survey.flawed:
                clip, dropped = finding.clip, "yes" if finding.dropped else "no"
                media = clip.media
                file_name = f"{media.shard}:{media.name}" if isinstance(media, Member) else media
                for flaw in finding.flaws:
                    row = [clip.id, flaw.kind, flaw.reason, dropped, clip.label, clip.split]
                    rows.writerow([*row, file_name])
            for name, reason in survey.left_out.items():
                rows.writerow([name, "left out", reason, "yes", None, None, name])
    except OSError as error:
        why = f"{error.strerror}; nothing was left behind"
        raise ClipsonicError(f"Cannot write '{path}': {why}.") from error

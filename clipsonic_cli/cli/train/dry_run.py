"""What ``clipsonic train --dry-run`` prints."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from clipsonic_cli.cli.console import Console, name_options
from clipsonic_cli.text import counted, duration, megabytes

if TYPE_CHECKING:
    from clipsonic_cli.data.report import Survey
    from clipsonic_cli.training.dry_run import DryRun

LABELS = 8
"""Labels that are shown."""


def show(console: Console, result: "DryRun", minutes: float | None) -> None:
    """Print what a training would do."""
    from clipsonic_cli.data.listing import left_out_line
    from clipsonic_cli.training.request import length

    data = result.data
    facts = {
        "clips": f"{data.clips:,} listed{_sampled(data.sample)}",
        "hours": f"about {duration(3600 * data.hours)} of videos that can be used",
        "splits": tally(data.splits) or "no clip can be used",
        "labels": tally(data.labels) or "none; none are needed",
        "left out": left_out_line(data.left_out) if data.left_out else "nothing",
        "settings": "; ".join(result.reasons),
        "length": length(result.config.train.steps, minutes),
        "texts": _texts(result),
        "time": "; ".join(_time(result, minutes)),
        "disk": _disk(result),
        "run": str(result.run_dir),
        "missing": name_options(result.missing or "nothing", console.options),
    }
    console.facts(facts, result.to_dict())


def tally(counts: Mapping[str, int]) -> str:
    """Format names with their counts, the first of them where they are many."""
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:LABELS])
    more = len(counts) - LABELS
    return f"{shown} and {more:,} more" if more > 0 else shown


def _sampled(sample: "Survey | None") -> str:
    """Format what a sample of the clips is like."""
    if sample is None:
        return ", all prepared"
    flaws = tally({kind: count for kind, count in sample.flaws.items() if count})
    return f"; {sample.kept} of {sample.found} looked at can be used ({flaws or 'no flaws'})"


def _time(result: "DryRun", minutes: float | None) -> Iterator[str]:
    """Yield how long preparation and training will take."""
    data, seconds, pace = result.data, result.train_seconds, result.pace
    if data.unprepared:
        yield f"preparing {counted(data.unprepared, 'clip')} about {duration(data.prepare_seconds)}"
    else:
        yield "the clips are already prepared"
    if seconds is None or pace is None:
        yield "training is not timed"
    elif minutes is not None and seconds == 60 * minutes:
        rest = 1 - result.text_share * len(result.text_parts)
        some = counted(round(rest * seconds / pace), "step")
        yield f"training {counted(minutes, 'minute')}, about {some}"
    else:
        yield f"training about {duration(seconds)}, with validation and samples more"
    if pace is not None:
        yield f"a step {duration(pace)}"


def _texts(result: "DryRun") -> str:
    """Format what is trained for texts at the end."""
    if not result.text_parts:
        return "nothing is trained for them at the end"
    names = " and ".join(result.text_parts)
    return f"at the end {names}, {result.text_share:.0%} of the time each, kept where they help"


def _disk(result: "DryRun") -> str:
    """Format how much space is needed, and is free."""
    parts = []
    if result.data.unprepared:
        parts.append(f"prepared clips about {megabytes(result.data.prepare_bytes)}")
    if result.train_bytes is not None:
        parts.append(f"run and model about {megabytes(result.train_bytes)}")
    return "; ".join([*parts, f"{megabytes(result.free_bytes)} are free"])

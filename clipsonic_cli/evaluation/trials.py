"""What an evaluation made, as the trials of a listening test."""

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.listening import Trial
from clipsonic_cli.evaluation.results import Results, Sample
from clipsonic_cli.modes import MODES
from clipsonic_cli.types import Query


def trials_of(results: Results, count: int) -> dict[str, list[Trial]]:
    """Gives trials of every system, by the name of system and guidance.

    Systems are asked the same queries, spread over all that every one of them has a sound for, and
    shown as they were asked: words, or the picture where a mode starts from pictures. The clip's
    own sound, where there is one, is a system as well, as in Table 3.

    Args:
        results: Of an evaluation.
        count: Queries at most.

    Raises:
        UsageError: No query has a sound of every system and something to be rated against.
    """
    systems = list(dict.fromkeys(name for sample in results.samples for name in sample.paths))
    fit = [
        sample
        for sample in results.samples
        if all(name in sample.paths and _query(sample, name) for name in systems)
    ]
    if not fit:
        raise UsageError(
            "A listening test needs queries that every system was asked, in words or pictures; "
            "give --prompts, or folders whose files are named alike."
        )
    count = min(count, len(fit))
    picked = [fit[number * len(fit) // count] for number in range(count)]
    return {
        name: [
            Trial(prompt=query, sound=sample.paths[name])
            for sample in picked
            if (query := _query(sample, name)) is not None
        ]
        for name in systems
    }


def _query(sample: Sample, system: str) -> Query | None:
    """Gives what a rater compares a system's sound with."""
    mode = MODES.get(system.partition(" w=")[0])
    seen = mode is not None and mode.query == "image"
    if sample.picture is not None and (seen or sample.prompt is None):
        return Query(image=sample.picture)
    return None if sample.prompt is None else Query(text=sample.prompt)

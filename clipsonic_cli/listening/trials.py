"""What an evaluation made, as the trials of a listening test."""

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.results import Results, Sample
from clipsonic_cli.listening.page import Trial
from clipsonic_cli.modes import MODES
from clipsonic_cli.types import Query


def trials_of(results: Results, count: int) -> dict[str, list[Trial]]:
    """Gives trials of every system, by the name of system and guidance.

    Systems are rated on the same queries, spread over all that every one of them has a sound for.
    A query is shown the same way for all, or its kind would tell whose a sound is: in words, or as
    its picture where only modes that start from pictures are there, or where it has no words. The
    clip's own sound, where there is one, is a system as well, as in Table 3.

    Args:
        results: Of an evaluation.
        count: Queries at most.

    Raises:
        UsageError: No query has a sound of every system and something to be rated against.
    """
    systems = list(dict.fromkeys(name for sample in results.samples for name in sample.paths))
    modes = [mode for name in systems if (mode := MODES.get(name.partition(" w=")[0])) is not None]
    seen = bool(modes) and all(mode.query == "image" for mode in modes)
    fit = [
        (query, sample)
        for sample in results.samples
        if sample.paths.keys() >= {*systems} and (query := _query(sample, seen=seen)) is not None
    ]
    if not fit:
        raise UsageError(
            "A listening test needs queries that every system was asked, in words or pictures; "
            "give `prompts`, or folders whose files are named alike."
        )
    count = min(count, len(fit))
    picked = [fit[number * len(fit) // count] for number in range(count)]
    return {
        name: [Trial(prompt=query, sound=sample.paths[name]) for query, sample in picked]
        for name in systems
    }


def _query(sample: Sample, *, seen: bool) -> Query | None:
    """Gives what a rater compares sounds with."""
    if sample.image is not None and (seen or sample.prompt is None):
        return Query(image=sample.image)
    return None if sample.prompt is None else Query(text=sample.prompt)

"""The sounds of an evaluation as trials of a listening test."""

from collections import Counter
from collections.abc import Sequence

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.results import Results, Sample
from clipsonic_cli.listening.page import Trial
from clipsonic_cli.modes import MODES
from clipsonic_cli.types import Query

_Fit = tuple[Query, Sample]  # a query that every system has a sound for


def trials_of(results: Results, count: int) -> dict[str, list[Trial]]:
    """Return the trials of every system, by system and guidance, on ``count`` queries at most.

    All systems are rated on the same queries, those that every system has a sound for, spread over
    their labels. A query is shown alike for all, or it would reveal the system: as text, or as its
    image where all modes start from images or there is no text. The clip's own sound is a system
    too, as in Table 3.
    """
    systems = list(dict.fromkeys(name for sample in results.samples for name in sample.paths))
    roles = [name.partition(" w=")[0].rpartition(" ")[2] for name in systems]
    modes = [MODES[role] for role in roles if role in MODES]
    by_image = bool(modes) and all(mode.query == "image" for mode in modes)
    fit: list[_Fit] = []
    for sample in results.samples:
        if sample.image is not None and (by_image or sample.prompt is None):
            query = Query(image=sample.image)
        elif sample.prompt is not None:
            query = Query(text=sample.prompt)
        else:
            continue
        if sample.paths.keys() >= {*systems}:
            fit.append((query, sample))
    if not fit:
        raise UsageError(
            "A listening test needs queries that every system has, as texts or images; "
            "give `prompts`, or folders whose files are named alike."
        )
    picked = _spread(fit, count)
    return {
        name: [Trial(prompt=query, sound=sample.paths[name]) for query, sample in picked]
        for name in systems
    }


def _spread(fit: Sequence[_Fit], count: int) -> list[_Fit]:
    """Return ``count`` queries or all: one of each label, then a second of each, and so on."""
    rounds: list[list[_Fit]] = []
    taken: Counter[str | None] = Counter()
    for query, sample in fit:
        if taken[sample.prompt] == len(rounds):
            rounds.append([])
        rounds[taken[sample.prompt]].append((query, sample))
        taken[sample.prompt] += 1
    picked: list[_Fit] = []
    for some in rounds:
        number = min(count - len(picked), len(some))
        picked += [some[place * len(some) // number] for place in range(number)]
    return picked

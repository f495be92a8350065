"""The sounds of an evaluation as trials of a listening test."""

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.results import Results
from clipsonic_cli.listening.page import Trial
from clipsonic_cli.modes import MODES
from clipsonic_cli.types import Query


def trials_of(results: Results, count: int) -> dict[str, list[Trial]]:
    """Return the trials of every system, by system and guidance, on ``count`` queries at most.

    All systems are rated on the same queries, spread over those that every system has a sound for.
    A query is shown alike for all, or it would reveal the system: as text, or as its image where
    all modes start from images or there is no text. The clip's own sound is a system too, as in
    Table 3.
    """
    systems = list(dict.fromkeys(name for sample in results.samples for name in sample.paths))
    modes = [mode for name in systems if (mode := MODES.get(name.partition(" w=")[0])) is not None]
    by_image = bool(modes) and all(mode.query == "image" for mode in modes)
    fit = []
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
    count = min(count, len(fit))
    picked = [fit[number * len(fit) // count] for number in range(count)]
    return {
        name: [Trial(prompt=query, sound=sample.paths[name]) for query, sample in picked]
        for name in systems
    }

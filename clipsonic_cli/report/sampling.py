"""How the sounds of an evaluation were made, and how that differs from the paper."""

from collections.abc import Mapping
from typing import Any

from clipsonic_cli.config import PAPER_CLIP_SECONDS, PAPER_COUNT, PAPER_SAMPLING, PAPER_VOCODER
from clipsonic_cli.evaluation.results import SAMPLING, Results
from clipsonic_cli.report.paper import RECONSTRUCTION, of_model
from clipsonic_cli.text import counted

TOLERANCE = 0.1  # seconds: a clip of "10 s" has 9.99


def sampling_note(results: Results) -> str | None:
    """Format how a model's sounds were made: sampler, steps, precision, length, vocoder.

    None for folders, whose sounds may each have been made differently, or where no sounds are.
    """
    settings, parts = results.settings, []
    made = _mean_seconds(results, guided=True)
    if made is not None and all(name in settings for name in SAMPLING):
        parts.append(
            f"sounds made by {_by(settings)} in {counted(settings['steps'], 'step')}, "
            f"{settings['dtype']}, {settings['seconds']:g} s each{_rule(settings)}"
        )
    if (seconds := _mean_seconds(results, guided=False)) is not None:
        parts.append(f"reconstructions of {seconds:.3g} s")
    if not parts or not of_model(results):
        return None
    if vocoder := settings.get("vocoder"):
        parts.append(f"vocoder {vocoder}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def differences(results: Results) -> list[str]:
    """Return how a model's scores differ from the paper's, besides model and data.

    Each phrase is as "25 steps of dpmpp instead of 1000 of ddpm"; folders have none.
    """
    if not of_model(results):
        return []
    settings, odd = results.settings, []
    made, rebuilt = _mean_seconds(results, guided=True), _mean_seconds(results, guided=False)
    if made is not None:
        theirs: dict[str, Any] = PAPER_SAMPLING
        ours = theirs | dict(settings)
        if (ours["sampler"], ours["steps"]) != (theirs["sampler"], theirs["steps"]):
            paper = f"{theirs['steps']} of {theirs['sampler']}"
            odd.append(f"{counted(ours['steps'], 'step')} of {_by(ours)} instead of {paper}")
        if rule := _rule(settings).removeprefix(", "):
            odd.append(rule)
        if ours["dtype"] != theirs["dtype"]:
            odd.append(f"{ours['dtype']} instead of {theirs['dtype']}")
        if abs(made - theirs["seconds"]) > TOLERANCE:
            odd.append(f"sounds of {made:.3g} s instead of {theirs['seconds']:g}")
    if rebuilt is not None and abs(rebuilt - PAPER_CLIP_SECONDS) > TOLERANCE:
        odd.append(f"reconstructions of {rebuilt:.3g} s instead of {PAPER_CLIP_SECONDS:g}")
    if (made, rebuilt) != (None, None):
        if (vocoder := settings.get("vocoder", PAPER_VOCODER)) != PAPER_VOCODER:
            odd.append(f"{vocoder} instead of BigVGAN")
        counts = {score.n for row in results.rows for score in row.scores if score.seconds}
        if others := sorted(counts - {PAPER_COUNT}):
            odd.append(f"{', '.join(map(str, others))} sounds instead of {PAPER_COUNT}")
    return odd


def _by(settings: Mapping[str, Any]) -> str:
    """Format what took the steps: a sampler, with the student where it was called."""
    return f"{'the student by ' if settings.get('student') else ''}{settings['sampler']}"


def _rule(settings: Mapping[str, Any]) -> str:
    """Format the guidance rule, unless it is the paper's."""
    rule = settings.get("guidance_rule", "constant")
    return "" if rule == "constant" else f", guidance by the rule '{rule}'"


def _mean_seconds(results: Results, *, guided: bool) -> float | None:
    """Return the mean length in seconds of the sounds that were sampled, or reconstructed."""
    for row in results.rows:
        if row.guidance is not None if guided else row.role == RECONSTRUCTION:
            for score in row.scores:
                if score.seconds is not None:
                    return score.seconds
    return None

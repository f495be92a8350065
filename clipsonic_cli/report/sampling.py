"""How the sounds of an evaluation were made, and in what that differs from the paper's.

Knows: results and the paper's sampling. Does not know: tables, pages and figures that say it.
"""

from typing import Any

from clipsonic_cli.config import PAPER_CLIP_SECONDS, PAPER_COUNT, PAPER_SAMPLING, PAPER_VOCODER
from clipsonic_cli.evaluation.results import SAMPLING, Results
from clipsonic_cli.report.paper import RECONSTRUCTION, of_model

TOLERANCE = 0.1
"""Seconds by which a mean length may differ from the paper's: a clip of "10 s" has 9.99."""


def sampling_told(results: Results) -> str | None:
    """Format how a model's sounds were made: sampler, steps, precision, length, vocoder.

    Returns:
        None for results of folders, whose sounds may each have been made differently, and where
        nothing was heard.
    """
    settings, parts = results.settings, []
    if _heard(results, guided=True) is not None and all(name in settings for name in SAMPLING):
        parts.append(
            f"sounds made by {settings['sampler']} in {settings['steps']} steps, "
            f"{settings['dtype']}, {settings['seconds']:g} s each"
        )
    if (seconds := _heard(results, guided=False)) is not None:
        parts.append(f"reconstructions of {seconds:.3g} s")
    if not parts or not of_model(results):
        return None
    vocoder = settings.get("vocoder")
    parts += [f"vocoder {vocoder}"] if vocoder else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def differences(results: Results) -> list[str]:
    """Return in what a model's scores differ from the paper's, besides model and data.

    Returns:
        A phrase for each, such as "25 steps of dpmpp instead of 1000 of ddpm"; none for folders.
    """
    if not of_model(results):
        return []
    settings, told = results.settings, []
    made, rebuilt = _heard(results, guided=True), _heard(results, guided=False)
    if made is not None:
        theirs: dict[str, Any] = PAPER_SAMPLING
        ours = {name: settings.get(name, value) for name, value in theirs.items()}
        if (ours["sampler"], ours["steps"]) != (theirs["sampler"], theirs["steps"]):
            told.append(
                f"{ours['steps']} steps of {ours['sampler']} instead of {theirs['steps']} of "
                f"{theirs['sampler']}"
            )
        if ours["dtype"] != theirs["dtype"]:
            told.append(f"{ours['dtype']} instead of {theirs['dtype']}")
        if abs(made - theirs["seconds"]) > TOLERANCE:
            told.append(f"sounds of {made:.3g} s instead of {theirs['seconds']:g}")
    if rebuilt is not None and abs(rebuilt - PAPER_CLIP_SECONDS) > TOLERANCE:
        told.append(f"reconstructions of {rebuilt:.3g} s instead of {PAPER_CLIP_SECONDS:g}")
    if (made, rebuilt) != (None, None):
        vocoder = settings.get("vocoder", PAPER_VOCODER)
        told += [f"{vocoder} instead of BigVGAN"] if vocoder != PAPER_VOCODER else []
        counts = {score.n for row in results.rows for score in row.scores if score.seconds}
        if odd := sorted(counts - {PAPER_COUNT}):
            told.append(f"{', '.join(map(str, odd))} sounds instead of {PAPER_COUNT}")
    return told


def _heard(results: Results, *, guided: bool) -> float | None:
    """Return the mean length in seconds of the sounds that were sampled, or reconstructed."""
    rows = [
        row
        for row in results.rows
        if (row.guidance is not None if guided else row.system == RECONSTRUCTION)
    ]
    lengths = [score.seconds for row in rows for score in row.scores if score.seconds is not None]
    return lengths[0] if lengths else None

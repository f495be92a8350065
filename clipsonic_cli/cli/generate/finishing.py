"""Options that finish a sound for its file, and what is said of it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clipsonic_cli.cli.generate.like import Original
from clipsonic_cli.cli.options import not_none, output, whole
from clipsonic_cli.config import Finish
from clipsonic_cli.text import decibels

if TYPE_CHECKING:
    from clipsonic_cli.sound import Sound


def level(text: str | float) -> float | str:
    """Parse a loudness in LUFS, or a word for another level."""
    try:
        return text if text in ("peak", "none") else float(text)
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is neither 'peak' nor 'none' nor a loudness in LUFS, such as -23."
        ) from None


TRIM = output("--trim/--no-trim", "Remove silence at both ends: what is over 50 dB below the peak.")
NORMALIZE = output(
    "--normalize LEVEL",
    "'peak' for a peak of -1 dBFS, or a loudness in LUFS such as -23 (BS.1770-4), as far as that "
    "peak allows. Default: 'none', as the model made it.",
    level,
    names=("peak", "none"),
)
RATE = output(
    "--rate HZ",
    "Sample rate of the file, such as 44100 or 48000; adds nothing above the model's 8 kHz. "
    "Default: the model's, 16000.",
    whole,
)
SPECTROGRAM = output("--spectrogram", "Draw each sound into a PNG of the same name.")


def plan(
    original: Original | None, trim: bool | None, normalize: float | str | None, rate: int | None
) -> Finish:
    """Return how sounds are finished: as options say, else as ``--like`` does, else not at all."""
    chosen: dict[str, Any] = not_none(trim=trim, normalize=normalize, rate=rate)
    if normalize == "none":
        chosen["normalize"] = None
    return replace(Finish() if original is None else original.finish, **chosen)


def describe(sound: "Sound", path: Path) -> dict[str, Any]:
    """Return what ``--json`` says of a finished sound and of its file."""
    from clipsonic_cli.audio.level import read_gain
    from clipsonic_cli.audio.loudness import loudness

    details = {
        "path": str(path),
        "seconds": sound.seconds,
        "sample_rate": sound.sample_rate,
        "gain": read_gain(path),
        "finish": asdict(sound.finishing),
    }
    if sound.finishing.normalize is not None:
        lufs = loudness(sound.samples, sound.sample_rate)
        details["lufs"] = None if lufs == -math.inf else round(lufs, 2)
    return details


def what_was_done(details: Mapping[str, Any], seconds: float) -> Iterator[str]:
    """Yield, for people, what was done to a sound that had so many seconds."""
    finish, gain = Finish(**details["finish"]), details["gain"]
    if finish.trim:
        cut = details["seconds"] < seconds
        yield f"{details['seconds']:.2f} of {seconds:.2f} s" if cut else "no silence to trim"
    if finish.rate is not None:
        yield f"{finish.rate} Hz"
    if finish.normalize is not None and details["lufs"] is None:
        yield "too soft to be normalized"
    elif finish.normalize == "peak":
        yield "peak at -1 dBFS"
    elif finish.normalize is not None:
        limit = f" instead of {finish.normalize:g}, as the peak is at -1 dBFS"
        limited = details["lufs"] < finish.normalize - 0.05
        yield f"{details['lufs']:.1f} LUFS{limit if limited else ''}"
    if gain != 1:
        why = ", so that no player clips it" if finish.normalize is None else ""
        yield f"{decibels(gain)} than the model made it{why} (eval undoes it)"

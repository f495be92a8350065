"""The level of sounds in files: the one guard against clipping, and how it is undone.

A model's sound has the level its mel says, which may exceed full scale. A file holds it scaled
where a player would clip it, and says by how much, so that metrics hear what the model made.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from clipsonic_cli.audio import files
from clipsonic_cli.audio.tags import read_texts
from clipsonic_cli.errors import UsageError

CEILING = 0.98
"""Largest peak of what is read back from a file; a resampler or a codec may overshoot what it is
given, so it lies below 1."""
LOSSY = frozenset((".ogg",))
"""Formats whose peak is known only once they are encoded."""
SLACK = 0.999
"""A codec is not linear: what is encoded again is made quieter by this much more."""
GAIN = "clipsonic_gain"
"""Where a file's comment, a JSON object, says what its sound was multiplied by."""
LEAST_GAIN = 1e-3
"""Of a guard: no mel is louder than 60 dB above full scale."""


def peak_guard(samples: torch.Tensor, ceiling: float = CEILING) -> tuple[torch.Tensor, float]:
    """Scale a sound whose peak exceeds the ceiling, and leave every other sound bit for bit.

    Levels belong to what the model learned, so nothing is made louder.

    Args:
        samples: Any shape.
        ceiling: Largest peak, in (0, 1].

    Returns:
        The samples within the ceiling, and the gain that was applied (1.0 for none).

    Raises:
        ValueError: The samples are not finite.
    """
    peak = float(samples.abs().max()) if samples.numel() else 0.0
    if not np.isfinite(peak):
        raise ValueError("the samples are not finite")
    gain = ceiling / peak if peak > ceiling else 1.0
    return (samples * gain if gain != 1 else samples), gain


def guarded(
    samples: torch.Tensor, sample_rate: int, suffix: str, subtype: str
) -> tuple[torch.Tensor, float]:
    """Scale a sound so that what is read back from its file does not exceed the ceiling.

    Args:
        samples: (N,) float, mono, finite.
        sample_rate: In Hz.
        suffix: The format; the peak of :data:`LOSSY` ones is measured after encoding, again until
            it fits.
        subtype: libsndfile's name.

    Returns:
        What to write, and its gain (1.0 for none).
    """
    scaled, gain = peak_guard(samples)
    if suffix.lower() not in LOSSY or not samples.numel():
        return scaled, gain
    while True:
        encoded = files.encode(scaled, sample_rate, suffix.lower(), subtype, None)
        decoded, _ = soundfile.read(io.BytesIO(encoded), dtype="float32")
        peak = float(np.abs(decoded).max(initial=0.0))
        if peak <= CEILING:
            return scaled, gain
        gain *= SLACK * CEILING / peak
        scaled = samples * gain


def write(
    path: Path,
    samples: torch.Tensor,
    sample_rate: int,
    description: Mapping[str, Any],
    *,
    subtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> float:
    """Write a sound that no player clips, with a description that holds its gain.

    Args:
        path: Destination; ".wav", ".flac" or ".ogg".
        samples: (N,) float, mono, finite, of any level.
        sample_rate: In Hz.
        description: JSON values; becomes the file's comment, with :data:`GAIN` added.
        subtype: See :func:`files.write`.
        metadata: Other fields of :func:`files.write`.
        overwrite: Whether the file may exist already.

    Returns:
        The gain, in (0, 1].

    Raises:
        UsageError: The destination is refused.
        ClipsonicError: The disk is full or the file cannot be written; nothing is left behind.
    """
    coding = files.libsndfile_subtype(path, subtype)
    scaled, gain = guarded(samples, sample_rate, path.suffix, coding)
    comment = json.dumps({**description, GAIN: gain}, allow_nan=False)
    files.write(
        path,
        scaled,
        sample_rate,
        subtype=subtype,
        metadata={**(metadata or {}), "comment": comment},
        overwrite=overwrite,
    )
    return gain


def read_description(path: Path) -> dict[str, Any]:
    """Return what :func:`write` was given, without the gain; empty for any other file, or none."""
    told = _comment(path)
    return {} if told.pop(GAIN, None) is None else told


def read_gain(path: Path) -> float:
    """Return what a file's sound was multiplied by so that it fits; 1.0 for any file not ours.

    Raises:
        NotSound: The file says what no guard did.
    """
    gain = _comment(path).get(GAIN, 1.0)
    if isinstance(gain, bool) or not isinstance(gain, int | float) or not LEAST_GAIN <= gain <= 1:
        reason = f"its gain is {gain!r:.40}, not a number from {LEAST_GAIN:g} to 1"
        raise files.NotSound(f"'{path}' cannot be used: {reason}; give another file.", reason)
    return float(gain)


def _comment(path: Path) -> dict[str, Any]:
    """Return the description inside a file, also one that was converted since; empty for none."""
    try:
        texts = read_texts(path)
    except UsageError:
        return {}
    for text in texts:
        try:
            told = json.loads(text) if text.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and GAIN in told:
            return told
    return {}

"""Scale sounds so that files do not clip, and undo it on reading.

A generated sound may exceed full scale. Its file is scaled where a player would clip it, or to the
requested level, and records the gain, so that metrics use the level the model generated.
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

CEILING = 10 ** (-1 / 20)
"""Largest peak of samples read back from a file, -1 dBFS: players, resamplers and codecs overshoot,
and EBU R 128 allows no more."""
LOSSY = frozenset((".ogg",))
"""Formats whose peak is known only after encoding."""
SLACK = 0.999
"""Additional gain when a sound is encoded again, as codecs are not linear."""
GAIN = "clipsonic_gain"
"""Key of the gain in a file's comment, a JSON object."""
LEAST_GAIN, MOST_GAIN = 1e-4, 1e4
"""80 dB: no mel is as loud, and none is normalized by more."""


def peak_guard(samples: torch.Tensor, ceiling: float = CEILING) -> tuple[torch.Tensor, float]:
    """Scale samples whose peak exceeds the ceiling, in (0, 1]; return them and the gain.

    All others stay bit for bit, with a gain of 1.0: the model learns levels, so nothing is made
    louder. NaN and infinity are a ValueError.
    """
    peak = float(samples.abs().max()) if samples.numel() else 0.0
    if not np.isfinite(peak):
        raise ValueError("the samples are not finite")
    gain = ceiling / peak if peak > ceiling else 1.0
    return (samples * gain if gain != 1 else samples), gain


def guarded(
    samples: torch.Tensor, sample_rate: int, suffix: str, subtype: str
) -> tuple[torch.Tensor, float]:
    """Scale samples (N,) so that a file of them does not exceed the ceiling when read back.

    The peak of :data:`LOSSY` formats is measured after encoding, until it fits. ``subtype`` is
    libsndfile's name.

    Returns:
        The samples to write, and their gain (1.0 for none).
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
    scale: float = 1.0,
    subtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> float:
    """Write samples of any level by :func:`files.write` without clipping.

    The file's comment is ``description``, of JSON values, with :data:`GAIN` added.

    Returns:
        The gain: ``scale``, by which the samples were multiplied before, and what it takes now.
    """
    coding = files.libsndfile_subtype(path, subtype)
    scaled, gain = guarded(samples, sample_rate, path.suffix, coding)
    gain *= scale
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
    """Read the description given to :func:`write`; empty for any other file."""
    comment = _comment(path)
    return {} if comment.pop(GAIN, None) is None else comment


def read_gain(path: Path) -> float:
    """Read a file's gain; 1.0 for any file not ours. Raise NotSound for an impossible one."""
    gain = _comment(path).get(GAIN, 1.0)
    number = isinstance(gain, int | float) and not isinstance(gain, bool)
    if not number or not LEAST_GAIN <= gain <= MOST_GAIN:
        reason = f"its gain is {gain!r:.40}, not a number from {LEAST_GAIN:g} to {MOST_GAIN:g}"
        raise files.NotSound(f"'{path}' cannot be used: {reason}; give another file.", reason)
    return float(gain)


def _comment(path: Path) -> dict[str, Any]:
    """Read the JSON object with a gain in a file, also in one converted since; else empty."""
    try:
        texts = read_texts(path)
    except UsageError:
        return {}
    for text in texts:
        try:
            comment = json.loads(text) if text.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(comment, dict) and GAIN in comment:
            return comment
    return {}

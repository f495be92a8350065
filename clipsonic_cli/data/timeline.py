"""Join pieces of audio by their timestamps, and resample them."""

from fractions import Fraction

import numpy as np
import soxr
from numpy.typing import NDArray

from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.types import Clip

MAX_SECONDS = 3600.0
"""Longest clip; longer videos are cut by a manifest's ``start`` and ``seconds``."""
JITTER = 0.05
"""Seconds by which a piece may be off its timestamp and still follows without a gap."""


class Timeline:
    """Places pieces of audio at ``rate`` Hz by their timestamps, and resamples them.

    No more than ``seconds`` are kept, if that is not None. The clip is named in messages.
    """

    def __init__(self, clip: Clip, rate: int, sample_rate: int, seconds: float | None) -> None:
        self._clip, self._rate, self._wanted_rate = clip, rate, sample_rate
        self._wanted = None if seconds is None else round(seconds * rate)
        self._resample = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._expected: int | None = None
        self._filled = 0
        self._done: list[NDArray[np.float32]] = []

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self._filled / self._rate

    def put(self, piece: NDArray[np.float32], at: Fraction | None) -> bool:
        """Add (N,) samples that begin ``at`` seconds; return whether more are wanted."""
        start = self._expected
        if at is not None:
            start = round(at * self._rate)
            if self._expected is not None and abs(start - self._expected) <= JITTER * self._rate:
                start = self._expected
        start = start or 0
        self._expected = start + len(piece)
        if self._wanted is not None:
            start, piece = min(start, self._wanted), piece[: max(0, self._wanted - start)]
        if start + len(piece) > MAX_SECONDS * self._rate:
            raise Unreadable(self._clip.id, too_long())
        for gap in range(self._filled, start, self._rate):  # zeros, a second at a time
            self._add(np.zeros(min(self._rate, start - gap), np.float32))
        self._add(piece[max(0, self._filled - start) :])
        return self._wanted is None or self._filled < self._wanted

    def samples(self) -> NDArray[np.float32]:
        """Return all samples (N,) at the wanted rate; at least one, and all of them finite."""
        if not self._filled:
            what = "ends before the clip begins" if self._clip.start else "cannot be decoded"
            raise Unreadable(self._clip.id, f"the audio {what}")
        self._done.append(self._resample.resample_chunk(np.zeros(0, np.float32), last=True))
        samples = np.concatenate(self._done)
        length = round(self._filled * self._wanted_rate / self._rate)
        samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
        if not length or not np.isfinite(samples).all():
            what = "numbers that are not finite" if length else "no samples"
            raise Unreadable(self._clip.id, f"the audio holds {what}")
        return samples

    def _add(self, piece: NDArray[np.float32]) -> None:
        self._done.append(self._resample.resample_chunk(piece))
        self._filled += len(piece)


def too_long() -> str:
    """Return the reason of a clip that is longer than :data:`MAX_SECONDS`."""
    return f"longer than {MAX_SECONDS / 60:.0f} minutes; cut it by a manifest's start and seconds"

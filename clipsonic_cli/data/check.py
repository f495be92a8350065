"""Check clips for flaws: silent, short or clipped audio, and video that never changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsonic_cli.audio.downmix import SILENCE_DB, decibels
from clipsonic_cli.data.audio import Audio
from clipsonic_cli.data.media import Frame, every
from clipsonic_cli.types import Clip

Kind = Literal["unreadable", "silent", "short", "duplicate", "clipped", "still", "damaged", "note"]
DROP: frozenset[Kind] = frozenset({"silent", "short", "duplicate"})
"""Flaws that drop a clip by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a clip has a flaw, and which flaws drop it."""

    sample_rate: int = 16_000
    """Hz."""
    window_seconds: float = 64 * 512 / 16_000
    """Least seconds of audio; the default is 64 frames of mel with a hop of 512 samples."""
    silence_db: float = SILENCE_DB
    """Root mean square in dB of full scale under which audio is silent."""
    clipped_share: float = 0.005
    """Share of samples at full scale over which audio is clipped."""
    frame_rate: float = 2.0
    """Frames a second compared with the first."""
    still_level: int = 3
    """Grey level, 0 to 255, by which no pixel of a still video's thumbnails changes by more; codecs
    flicker a little."""
    drop: frozenset[Kind] = DROP
    """Flaws that drop a clip, in addition to "unreadable"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something about a clip that its owner may want to know."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of checking a clip."""

    clip: Clip
    seconds: float = 0.0
    """Length of its audio; 0 if there is none."""
    flaws: tuple[Flaw, ...] = ()
    dropped: bool = False
    """Whether it is left out of training."""


def audio_flaws(samples: NDArray[np.float32], rules: Rules) -> Iterator[Flaw]:
    """Yield the flaws of (N,) samples, N > 0, other than their length (:func:`short`)."""
    level = decibels(samples)
    if level < rules.silence_db:
        reason = f"{level:.0f} dB of full scale" if samples.any() else "all samples are 0"
        yield Flaw(kind="silent", reason=reason)
    share = float((np.abs(samples) >= 0.999).mean())
    if share > rules.clipped_share:
        yield Flaw(kind="clipped", reason=f"{share:.1%} of the samples at full scale")


def audio_notes(audio: Audio) -> Iterator[Flaw]:
    """Yield what could not be decoded, and the choices made in reading the audio."""
    if audio.damage:
        yield Flaw(kind="damaged", reason=audio.damage)
    for note in audio.notes:
        yield Flaw(kind="note", reason=note)


def short(seconds: float, rules: Rules) -> Iterator[Flaw]:
    """Yield a flaw if the audio does not fill a window."""
    if seconds < (least := rules.window_seconds):
        yield Flaw(kind="short", reason=f"{seconds:.2f} s, a window needs {least:g}")


class StillCheck:
    """Compares the frames of a video with the first, as they are decoded, until one differs."""

    def __init__(self, rules: Rules) -> None:
        self.changed = False
        """Whether a frame differed; then no more need be decoded."""
        self._rules = rules
        self._times = chain([0.0], every(rules.frame_rate))
        self._time = next(self._times)
        self._looks = 0
        self._first: NDArray[np.int16] | None = None

    def look(self, frame: Frame) -> None:
        """Compare the next frame, if it is seen at one of the times."""
        if self.changed or self._time >= frame.until:
            return
        small = frame.image.convert("L").resize((16, 16), Image.Resampling.BOX)
        grey = np.asarray(small, dtype=np.int16)
        self._first = grey if self._first is None else self._first
        self.changed = bool(np.abs(grey - self._first).max() > self._rules.still_level)
        while self._time < frame.until:
            self._looks += 1
            self._time = next(self._times)

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw if no frame differed."""
        if not self.changed:
            yield Flaw(kind="still", reason=f"no change in {max(1, self._looks)} looks")

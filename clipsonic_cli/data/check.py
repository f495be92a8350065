"""What is wrong with a clip, if anything.

Knows: thresholds, and what a finding is. Does not know: other clips, nor who decodes this one.
"""

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

Kind = Literal["unreadable", "silent", "short", "clipped", "still", "duplicate", "damaged", "note"]
DROP: frozenset[Kind] = frozenset({"silent", "short", "duplicate"})
"""Flaws that drop a clip unless something else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a clip has a flaw, and which flaws drop it.

    Args:
        sample_rate: Hz at which the sound is judged.
        window_seconds: Sound shorter than this is short; the default is 64 frames of 512 samples.
        silence_db: Root mean square in dB of full scale under which sound is silent.
        clipped_share: Of samples at full scale, over which sound is clipped.
        frame_rate: Frames a second looked at for changes, besides the first.
        still_level: Difference of grey, 0 to 255, that no pixel of a thumbnail of a still video
            exceeds; codecs flicker a little.
        drop: Flaws that drop a clip, besides "unreadable".
    """

    sample_rate: int = 16_000
    window_seconds: float = 64 * 512 / 16_000
    silence_db: float = SILENCE_DB
    clipped_share: float = 0.005
    frame_rate: float = 2.0
    still_level: int = 3
    drop: frozenset[Kind] = DROP


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something about a clip that a person may want to know."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known of a clip that was looked at.

    Args:
        clip: The clip.
        seconds: Length of its sound; 0 if there is none.
        flaws: What is wrong with it.
        dropped: Whether it is unfit for training.
    """

    clip: Clip
    seconds: float = 0.0
    flaws: tuple[Flaw, ...] = ()
    dropped: bool = False


def unreadable(clip: Clip, reason: str) -> Finding:
    """Gives the finding for a clip that cannot be used at all."""
    return Finding(clip=clip, flaws=(Flaw(kind="unreadable", reason=reason),), dropped=True)


def sound_flaws(samples: NDArray[np.float32], rules: Rules) -> Iterator[Flaw]:
    """Gives what is wrong with a sound, its length aside (:func:`short`).

    Args:
        samples: (N,), full scale is 1, N > 0, at the rules' sample rate.
        rules: The thresholds.
    """
    level = decibels(samples)
    if level < rules.silence_db:
        yield Flaw(kind="silent", reason=f"{level:.0f} dB of full scale")
    share = float((np.abs(samples) >= 0.999).mean())
    if share > rules.clipped_share:
        yield Flaw(kind="clipped", reason=f"{share:.1%} of the samples at full scale")


def audio_notes(audio: Audio) -> Iterator[Flaw]:
    """Yield what is worth knowing of how audio was read: what is damaged, and choices made."""
    if audio.damage:
        yield Flaw(kind="damaged", reason=audio.damage)
    for note in audio.notes:
        yield Flaw(kind="note", reason=note)


def short(seconds: float, rules: Rules) -> Iterator[Flaw]:
    """Gives a flaw for a sound that does not fill a window."""
    if seconds < rules.window_seconds:
        reason = f"{seconds:.2f} s, a window needs {rules.window_seconds:g}"
        yield Flaw(kind="short", reason=reason)


class StillCheck:
    """Looks at the frames of a video, as they are decoded, until one differs from the first.

    Args:
        rules: How often, and what is no difference.
    """

    def __init__(self, rules: Rules) -> None:
        self.changed = False
        """Whether a frame differed; no more need be looked at."""
        self._rules = rules
        self._times = chain([0.0], every(rules.frame_rate))
        self._time = next(self._times)
        self._looks = 0
        self._first: NDArray[np.int16] | None = None

    def look(self, frame: Frame) -> None:
        """Look at the next frame, if it is seen at a time of a look."""
        if self.changed or self._time >= frame.until:
            return
        grey = thumbnail(frame.image)
        self._first = grey if self._first is None else self._first
        self.changed = bool(np.abs(grey - self._first).max() > self._rules.still_level)
        while self._time < frame.until:
            self._looks += 1
            self._time = next(self._times)

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw if none of the frames differed."""
        if not self.changed:
            reason = f"no change in {max(1, self._looks)} looks"
            yield Flaw(kind="still", reason=reason)


def thumbnail(image: Image.Image) -> NDArray[np.int16]:
    """Gives a picture as (16, 16) grey values."""
    return np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), dtype=np.int16)

"""Decode a clip for training, in worker processes that need no torch."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsonic_cli.data.check import Flaw, Rules, StillCheck, audio_flaws, audio_notes
from clipsonic_cli.data.container import Damage
from clipsonic_cli.data.media import ClipReader, every, is_image
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.images import random_square, square
from clipsonic_cli.types import Clip

MAX_VIEWS = 600
"""Most frames of a clip, or frames and crops; those of longer clips are further apart, but evenly
spaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The audio and frames of a clip."""

    digest: bytes
    """Equal for clips of equal content."""
    samples: NDArray[np.float32]
    """(N,) in [-1, 1], mono."""
    views: NDArray[np.uint8]
    """(n, V, S, S, 3): frames cut for CLIP, from the middle of each 1 / ``frame_rate`` seconds, and
    random crops of each after it; n is 0 if frames are not wanted."""
    frame_rate: float
    """Frames a second; 0 for a still image, whose one frame is for all times."""
    flaws: tuple[Flaw, ...]
    """All but those of its length."""


def decode(
    clip: Clip, *, rules: Rules, frame_rate: float, size: int | None, crops: int = 0
) -> Decoded | Flaw:
    """Decode the audio and frames of a clip; return the flaw if it cannot be read.

    Args:
        clip: The clip, whose files are opened once.
        rules: What counts as a flaw, and the sample rate.
        frame_rate: Frames a second wanted.
        size: S, the encoder's image size in pixels; None if frames are not wanted.
        crops: V - 1, random crops of each frame; those of clips of equal content are the same.
    """
    try:
        with ClipReader(clip) as reader:
            digest = reader.digest()
            audio = reader.audio(rules.sample_rate)
            seconds = len(audio.samples) / rules.sample_rate
            rate = min(frame_rate, MAX_VIEWS / (1 + crops) / seconds)
            views: NDArray[np.uint8] = np.zeros((0, 1, 1, 1, 3), np.uint8)
            seen: tuple[Flaw, ...] = ()
            if size is not None:
                cut = partial(_cut, size=size, crops=crops, chance=random.Random(digest))
                views, seen = _decode_frames(reader, rules, _times(rate, seconds), cut)
    except Unreadable as error:
        return Flaw(kind="unreadable", reason=error.reason)
    return Decoded(
        digest=digest,
        samples=audio.samples.clip(-1, 1),
        views=views,
        frame_rate=0.0 if is_image(clip.media) else rate,
        flaws=(*audio_flaws(audio.samples, rules), *audio_notes(audio), *seen),
    )


def _times(rate: float, seconds: float) -> Iterator[float]:
    """Yield the times of the frames kept, at least one, as far as there is audio."""
    yield min(0.5 / rate, seconds / 2)
    yield from takewhile(lambda time: time < seconds, islice(every(rate), 1, None))


def _cut(image: Image.Image, *, size: int, crops: int, chance: random.Random) -> NDArray[np.uint8]:
    """Cut an image to the views that CLIP embeds, (1 + crops, S, S, 3)."""
    parts = [random_square(image, size, chance) for _ in range(crops)]
    return np.stack([np.asarray(part) for part in (square(image, size), *parts)])


def _decode_frames(
    reader: ClipReader,
    rules: Rules,
    times: Iterator[float],
    cut: Callable[[Image.Image], NDArray[np.uint8]],
) -> tuple[NDArray[np.uint8], tuple[Flaw, ...]]:
    """Decode a clip's video once: views of the frames kept, (n, V, S, S, 3), n > 0, and flaws."""
    damage, still, kept = Damage(), StillCheck(rules), []
    frames = reader.frames(damage)
    time = next(times, None)
    for frame in frames:
        still.look(frame)
        while time is not None and time < frame.until:
            kept.append(cut(frame.image))
            time = next(times, None)
        if time is None:
            break
    kept = kept or [cut(frame.image)]  # of a video that ends before the first time
    damaged = damage.describe("video")

    # A still video is looked at to its end.
    while not still.changed and (following := next(frames, None)) is not None:
        still.look(following)
    flaws = [Flaw(kind="note", reason=reader.video_note)] if reader.video_note else []
    if not is_image(reader.clip.media):
        flaws += still.flaws()
    if damaged:
        flaws.append(Flaw(kind="damaged", reason=damaged))
    return np.stack(kept), tuple(flaws)

"""What of a clip the networks will see, decoded: run in processes of its own, which need no torch.

Knows: one clip. Does not know: networks, shards.
"""

from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from clipsonic_cli.data.check import Flaw, Rules, audio_notes, picture_flaws, sound_flaws
from clipsonic_cli.data.container import Damage
from clipsonic_cli.data.media import every, is_picture, read_audio, read_frames
from clipsonic_cli.data.source import Unreadable, digest
from clipsonic_cli.images import square
from clipsonic_cli.types import Clip

MAX_FRAMES = 600
"""Frames of a clip at most; of longer ones they are taken evenly, but less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A clip's sound and frames.

    Args:
        digest: Equal for clips of equal content.
        samples: (N,) float32 in [-1, 1], mono.
        frames: (n, S, S, 3) uint8, as CLIP is shown them, one from the middle of each
            1 / ``frame_rate`` seconds; none where no picture is wanted.
        frame_rate: Frames a second; 0 for a still picture, whose one frame is for every moment.
        flaws: What is wrong with the clip, its length aside.
    """

    digest: bytes
    samples: NDArray[np.float32]
    frames: NDArray[np.uint8]
    frame_rate: float
    flaws: tuple[Flaw, ...]


def decode(clip: Clip, *, rules: Rules, frame_rate: float, size: int | None) -> Decoded | Flaw:
    """Gives what training needs of a clip, or why there is nothing.

    Args:
        clip: Any.
        rules: What counts as a flaw, and the sample rate.
        frame_rate: Frames a second wanted.
        size: S, what the image encoder is shown; None if frames are not needed.
    """
    try:
        content = digest(clip)
        audio = read_audio(clip, rules.sample_rate)
        seen = () if size is None else picture_flaws(clip, rules)
        seconds = len(audio.samples) / rules.sample_rate
        rate = min(frame_rate, MAX_FRAMES / seconds)
        damage = Damage()
        frames = _frames(clip, rate, seconds, size, damage)
    except Unreadable as error:
        return Flaw(kind="unreadable", reason=error.reason)
    what = damage.describe("picture")
    passed_over = [Flaw(kind="damaged", reason=what)] if what else []
    return Decoded(
        digest=content,
        samples=audio.samples.clip(-1, 1),
        frames=frames,
        frame_rate=0.0 if is_picture(clip.media) else rate,
        flaws=(*sound_flaws(audio.samples, rules), *audio_notes(audio), *seen, *passed_over),
    )


def _frames(
    clip: Clip, rate: float, seconds: float, size: int | None, damage: Damage
) -> NDArray[np.uint8]:
    """Return the frames while there is sound, (n, S, S, 3), at least one."""
    if size is None:
        return np.zeros((0, 1, 1, 3), np.uint8)
    first = min(0.5 / rate, seconds / 2)
    times = (first if k == 0 else time for k, time in enumerate(every(rate)))
    shown = read_frames(clip, takewhile(lambda time: time < seconds, times), damage)
    return np.stack([np.asarray(square(image, size)) for image in shown])

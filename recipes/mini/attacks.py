"""How sharp the attacks of a sound are: the time that its envelope takes to rise."""

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 1000
"""Values of an envelope in a second."""
WINDOW_MS = 4
"""Length of the windows whose energy is an envelope, in ms: rises are no shorter."""
RISE_DB = 12.0
"""Least rise in level that is an attack, within :data:`AHEAD_MS`."""
AHEAD_MS = 40
QUIETEST = 0.1
"""Least level of what an attack leads to, as a share of the sound's highest."""
APART_MS = 150
"""Least time between attacks."""
BEFORE_MS, AFTER_MS = 60, 100
"""Where the foot and the top of an attack are looked for, around its middle."""


def envelope(wave: Tensor, sample_rate: int) -> Tensor:
    """Compute the root mean square (M,) of a waveform (N,), once a ms, in windows of 4 ms."""
    hop, window = sample_rate // RATE, WINDOW_MS * sample_rate // RATE
    padded = F.pad(wave.square(), (window // 2, window - window // 2))[None, None]
    return F.avg_pool1d(padded, window, hop)[0, 0].sqrt()


def attacks(levels: Tensor) -> list[int]:
    """Find where an envelope (M,) rises by 12 dB within 40 ms: the middles of these, in ms."""
    top = F.max_pool1d(levels[None, None], AHEAD_MS, 1)[0, 0]  # of the next 40 ms
    base = levels[: len(top)].clamp(min=1e-5)
    rise = torch.where(top >= QUIETEST * levels.max(), 20 * (top / base).log10(), 0.0)
    found: list[int] = []
    for place in rise.argsort(descending=True).tolist():
        if rise[place] < RISE_DB:
            break
        middle = place + int(levels[place : place + AHEAD_MS].diff().argmax()) + 1
        if all(abs(middle - other) >= APART_MS for other in found):
            found.append(middle)
    return sorted(found)


def rise_ms(levels: Tensor, middle: int) -> float:
    """Measure the time from 10 % to 90 % of the rise around a place, in ms."""
    near = levels[max(0, middle - BEFORE_MS) : middle + AFTER_MS]
    top = int(near.argmax())
    foot = int(near[: top + 1].argmin())
    scaled = (near[foot : top + 1] - near[foot]) / (near[top] - near[foot]).clamp(min=1e-9)
    high = int((scaled >= 0.9).nonzero()[0]) if top > foot else 0
    low = (scaled[: high + 1] <= 0.1).nonzero()
    return float(high - int(low[-1])) if len(low) else float(high)

"""Mix any channel layout to mono, with FFmpeg's channel names, and measure levels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SILENCE_DB = -60.0
"""Root mean square in dB of full scale below which audio counts as silent."""

SIDE = 0.5**0.5
WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR", "WL", "WR"), 1.0),
    **dict.fromkeys(("BL", "BR", "SL", "SR", "BC"), SIDE),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
    "FC": 2 * SIDE,
}
"""Weight of a channel in the mono mix, before division by the sum of weights.

Source: ITU-R BS.775, table 2 (centre and surround at -3 dB in left and right, no LFE), the sum of
left and right; FFmpeg's mix to mono has the same proportions.
"""

LAYOUTS = {
    1: ("FC",),
    2: ("FL", "FR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""Channel names by count, for files that state none; other counts are averaged."""

CANCELLED = 0.1
"""Level of the mix relative to the loudest channel below which the channels cancel. The mix of
independent channels is above it in every layout."""


def mono_weights(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the weights (C,) of a mono mix, which sum to 1, so that no mix exceeds its channels.

    Layouts with other names than those of :data:`WEIGHTS` are averaged; of ambisonics only the
    omnidirectional first channel is used.
    """
    if names and all(name.startswith("AMBI") for name in names):
        return np.array([1.0] + [0.0] * (len(names) - 1))
    known = [WEIGHTS.get(name) for name in names]
    weights = [weight for weight in known if weight is not None]
    if len(weights) < len(names) or not sum(weights):
        weights = [1.0] * len(names)
    shares: NDArray[np.float64] = np.array(weights) / sum(weights)
    return shares


class Downmix:
    """Mix pieces of audio to mono, and detect channels that cancel each other.

    ``channel`` selects one channel instead of the mix.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self._energy: NDArray[np.float64] = np.zeros(0)
        self._mixed = 0.0

    def __call__(
        self, values: NDArray[np.floating], names: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """Return the mono mix (N,) of channels (C, N); by default named as in :data:`LAYOUTS`."""
        count = len(values)
        names = names or LAYOUTS.get(count, ("?",) * count)
        mixed: NDArray[np.float64]
        if self.channel is not None:
            mixed = values[min(self.channel, count - 1)].astype(np.float64)
        else:
            mixed = mono_weights(names) @ values.astype(np.float64)
        with np.errstate(all="ignore"):  # of NaN and infinity, which callers report
            energy = np.square(values, dtype=np.float64).sum(axis=1)
            self._mixed += float(np.square(mixed).sum())
            result = mixed.astype(np.float32)
        size = max(count, len(self._energy))
        self._energy = np.pad(self._energy, (0, size - len(self._energy)))
        self._energy[:count] += energy
        return result

    @property
    def cancelled_by(self) -> int | None:
        """The loudest channel if the mix is nearly silent relative to it, else None."""
        if self.channel is not None or len(self._energy) < 2:
            return None
        loudest = int(self._energy.argmax())
        cancels = self._mixed < CANCELLED**2 * self._energy[loudest]
        return loudest if cancels else None


def decibels(samples: NDArray[np.floating]) -> float:
    """Return the root mean square of samples in dB of full scale, -200 at least."""
    power = float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0
    return float(10 * np.log10(max(power, 1e-20)))

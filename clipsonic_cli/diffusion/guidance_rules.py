"""How strong guidance is at each noise level, and what of it is applied."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from clipsonic_cli.diffusion.process import Process

INTERVAL = (0.28, 2.9)
"""Noise levels sigma / alpha that :class:`Interval` guides at, above the first, up to the second:
those of EDM2-S, whose data are scaled to half the spread of noise, as the mel nearly is."""
LARGEST_CHANGE = 15 / 256
"""Root mean square to which :class:`Projected` limits the change of x0: a norm of 15 for the 65,536
numbers of an SDXL latent."""


class Constant:
    """The same w at every level: classifier-free guidance.

    The base of all rules. A w of 0 or 1 costs one call of the network, any other a doubled one.

    Args:
        w: The paper's w. Rules change only what is above 1: up to there all are this one.
        process: The process of the network, all of its levels.

    Source:
        CLIPSonic section 2, footnote 2; Ho & Salimans 2022, whose w is smaller by one.
    """

    is_scale: ClassVar[bool] = True
    """Whether all that a rule decides is w, which a student can read."""

    def __init__(self, w: float, process: Process) -> None:
        self.w, self.process = w, process

    def scale(self, t: Tensor) -> float:
        """Return w at the training steps t (B,), which are all the same."""
        del t
        return self.w

    def combine(self, x_t: Tensor, t: Tensor, w: float, with_: Tensor, without: Tensor) -> Tensor:
        """Return the guided prediction at x_t (B, C, ...).

        ``with_`` and ``without`` are the network's outputs (B, C or 2C, ...) for the condition and
        what to steer away from, in the dtype of x_t.
        """
        del t
        channels = x_t.shape[1]
        base = without[:, :channels]
        return base + w * (with_[:, :channels] - base)


class Varying(Constant, ABC):
    """A w that depends on the level."""

    def __init__(self, w: float, process: Process) -> None:
        super().__init__(w, process)
        least = min(w, 1.0)
        self._scales: list[float] = (least + (w - least) * self.shares()).tolist()

    @abstractmethod
    def shares(self) -> Tensor:
        """Return the share of what w has above 1, at each level (n,) float64."""

    def scale(self, t: Tensor) -> float:
        """Return w at the training steps t (B,), which are all the same."""
        return self._scales[int(t[0])]


class Interval(Varying):
    """w between two noise levels, and 1 above and below, where guidance harms or does nothing.

    Source:
        Kynkäänniemi et al. 2024 (arXiv 2404.07724).
    """

    def shares(self) -> Tensor:
        """Return 1 inside the interval, 0 outside."""
        low, high = INTERVAL
        noise = (-self.process.log_snr).exp()
        return ((noise > low) & (noise <= high)).double()


class Rising(Varying):
    """From 1 at pure noise along a cosine to 2 w - 1 at the end, which is w in the mean.

    Source:
        Wang et al. 2024 (arXiv 2404.13040), their cosine.
    """

    def shares(self) -> Tensor:
        """Return 0 at the noisiest level to 2 at the least noise."""
        return 1 + torch.cos(torch.linspace(0, math.pi, len(self.process), dtype=torch.float64))


class Projected(Constant):
    """Adaptive projected guidance, which changes x0 less, and only across its own direction.

    Its momentum is left out, as a prediction would depend on the steps before.

    Source:
        Sadat et al. 2024 (arXiv 2410.02416), with eta = 0.
    """

    is_scale = False

    def combine(self, x_t: Tensor, t: Tensor, w: float, with_: Tensor, without: Tensor) -> Tensor:
        """Return the guided prediction; see :meth:`Constant.combine`."""
        if w < 1:
            return super().combine(x_t, t, w, with_, without)
        x_0 = self.process.predict_x0(x_t, t, with_)
        change = x_0 - self.process.predict_x0(x_t, t, without)
        dims = tuple(range(1, x_t.ndim))
        size = change.square().mean(dims, keepdim=True).sqrt()
        change = change * (LARGEST_CHANGE / size.clamp(min=LARGEST_CHANGE))
        along = (change * x_0).sum(dims, keepdim=True) / x_0.square().sum(dims, keepdim=True)
        guided = x_0 + (w - 1) * (change - along * x_0)
        return self.process.target(guided, t, self.process.eps_from_x0(x_t, t, guided))

"""What a training reports of itself: when it is saved, and after each step."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of a training when it is saved."""

    step: int
    """Steps done."""
    steps: int
    """Steps there will be, as in :attr:`StepStatus.steps`."""
    seconds: float
    """Wall-clock time of the loop, over all resumptions: steps, validations and samples."""
    warmup: int
    """Steps of warm-up, as fitted to the time (:attr:`TrainConfig.warmup`)."""
    last: bool
    """Whether the training ends here: all steps are done, or the time is up."""
    losses: dict[str, float]
    """Means in the last line of metrics.jsonl; before the first, so far."""
    weights: dict[str, Tensor]
    """Averaged weights of the main network."""
    best: float = math.inf
    """Lowest validation loss of such weights, which are in best.pt; infinite before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """The state of a training after a step, for a display."""

    step: int
    """Steps done."""
    steps: int
    """Steps there will be: all, or as many as the time is estimated to be enough for."""
    seconds_left: float
    minutes_left: float | None
    """Those of ``minutes`` that are left."""
    pace: float
    """Seconds a step, with all that is done between steps."""
    clips_per_second: float
    loss: float | None
    """Mean loss of the main network, as in :attr:`Progress.losses`."""

"""The clock of a training: wall time, pace, and how much is left."""

import math
import time

MEASURED = 8
"""Steps from which the pace is known."""


class Clock:
    """Wall-clock time of a training: steps, validations, checkpoints and samples alike.

    Args:
        step: Steps done before this call.
        earlier: Seconds of the calls before.
        minutes: Time after which this call ends; None sets no end.
    """

    def __init__(self, *, step: int, earlier: float, minutes: float | None) -> None:
        self.first, self.earlier = step, earlier
        self.began = self._warm = time.monotonic()
        self.deadline = math.inf if minutes is None else self.began + 60 * minutes

    @property
    def seconds(self) -> float:
        """Seconds over all calls."""
        return self.earlier + time.monotonic() - self.began

    @property
    def minutes_left(self) -> float | None:
        """Minutes until the end; None without one."""
        left = max(0.0, self.deadline - time.monotonic()) / 60
        return left if math.isfinite(left) else None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.deadline

    def tick(self, step: int) -> None:
        """Begin to measure the pace after the first step, which loads and compiles."""
        if step == self.first + 1:
            self._warm = time.monotonic()

    def pace(self, step: int) -> float:
        """Return the mean seconds of a step in this call, with all that is done between steps."""
        done = step - self.first
        since = self._warm if done > 1 else self.began
        return (time.monotonic() - since) / max(1, done - 1)

    def end(self, step: int, steps: int) -> tuple[int, float]:
        """Return how many steps there will be in all, and the seconds left: the nearer end's."""
        pace, until = self.pace(step), max(0.0, self.deadline - time.monotonic())
        left = pace * (steps - step)
        return (steps, left) if left <= until else (step + math.ceil(until / pace), until)

"""Numbers from users, each with its range; whoever reads one checks it here.

Numbers of NumPy and the like become Python's own, so that they can be written as JSON.
"""

import math
import numbers
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clipsonic_cli.errors import UsageError

MAX_DIGITS = 40
"""Characters of a value that a message shows."""


def round_up(value: int, multiple: int) -> int:
    """Return the least multiple of a number that is not below a value."""
    return math.ceil(value / multiple) * multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a number may be."""

    low: float
    high: float
    whole: bool = False
    """It must be a whole number."""
    above: bool = False
    """It must be above ``low``, rather than at least that."""
    optional: bool = False
    """It may be None."""
    note: str = ""
    """What a message adds, a sentence."""

    @property
    def allowed(self) -> str:
        """The range for a message."""
        ends = (self.low, self.high)
        low, high = (f"{end:,}" if end == int(end) >= 10_000 else f"{end:g}" for end in ends)
        if self.above:
            return f"above {low} and at most {high}"
        return f"{'a whole number ' if self.whole else ''}from {low} to {high}"

    def check(self, name: str, value: object) -> Any:
        """Check a number.

        Args:
            name: What the message calls it, such as "`lr`".
            value: An int or a float, or a number of NumPy's.

        Returns:
            The number as Python's own int or float; or None.

        Raises:
            UsageError: It is not a number, or out of the range; NaN and bool are out of any.
        """
        if value is None and self.optional:
            return None
        number: int | float | None = None
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            number = int(value)
        elif isinstance(value, numbers.Real) and not (self.whole or isinstance(value, bool)):
            number = float(value)
        if number is not None:
            if not self.whole and abs(number) < 1e300:  # no float holds any whole number
                number = float(number) + 0.0  # so that -0.0 is 0.0
            if self.low <= number <= self.high and not (self.above and number == self.low):
                return number
        note = f" {self.note}" if self.note else ""
        raise UsageError(f"{name} is {shown(value)}; it must be {self.allowed}.{note}")


def check_all(
    ranges: Mapping[str, Range], values: Mapping[str, object], name: str = "{}"
) -> dict[str, Any]:
    """Check each number that has a range, both by name; return those as Python's own.

    A UsageError calls the first that is out of its range ``name``: "`{}`" is that of a setting (see
    ``errors``).
    """
    checked = {}
    for key in [key for key in values if key in ranges]:
        checked[key] = ranges[key].check(name.format(key), values[key])
    return checked


def check_fields(value: object, ranges: Mapping[str, Range], name: str = "{}") -> None:
    """Check numbers of a frozen dataclass, and make them Python's own; see :func:`check_all`."""
    fields = {field: getattr(value, field) for field in ranges}
    for field, number in check_all(ranges, fields, name).items():
        object.__setattr__(value, field, number)


def shown(value: object) -> str:
    """Format a value for a message, which may be a number of any length or no number at all."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        if value.bit_length() > 128:  # Python does not write out thousands of digits
            digits = int(value.bit_length() * math.log10(2)) + 1
            return f"a number of some {digits:,} digits"
        return str(value)
    if isinstance(value, numbers.Real):
        text = f"{float(value):g}"
        return f"{text}.0" if text.removeprefix("-").isdecimal() else text
    text = " ".join(reprlib.repr(value).split())
    return text if len(text) <= MAX_DIGITS else f"{text[:MAX_DIGITS]}..."


MAX_STEPS = 4000
"""Most steps a sampler can take: the paper's training schedule (CLIPSonic section 3)."""

MAX_SECONDS = 600.0
"""Longest sound made in one piece; a guard against typing errors, not a limit of the method."""

MAX_SEED = 2**63 - 1
"""Largest seed a generator takes."""

MAX_CANDIDATES = 100
"""Most embeddings that the prior draws for a text; all of them are in memory at once."""

COUNT = Range(low=1, high=10**9, whole=True)
"""Steps, and steps between two events."""

TRAIN = {
    "steps": COUNT,
    "batch_size": Range(low=1, high=65_536, whole=True),
    "micro_batch": Range(low=1, high=65_536, whole=True, optional=True),
    "lr": Range(low=0, high=1, above=True),
    "eps": Range(low=0, high=1, above=True),
    "weight_decay": Range(low=0, high=10),
    "warmup": Range(low=0, high=10**9, whole=True),
    "lr_decay": Range(low=0, high=1, above=True),
    "ema_decay": Range(low=0, high=1),
    "clip_norm": Range(low=0, high=1e9, above=True, optional=True),
    "seed": Range(low=0, high=MAX_SEED, whole=True),
    "save_every": COUNT,
    "keep": COUNT,
    "prior_dropout": Range(low=0, high=0.99),
    "log_every": COUNT,
    "validate_every": COUNT,
    "validate_batches": COUNT,
    "max_loss": Range(low=0, high=1e30, above=True),
}
"""Numbers of a ``trainer.config.TrainConfig``."""

RECIPE = {
    "guidance": Range(
        low=0, high=100, note="0 ignores the query, 1 only follows it; the paper's w is 1.5."
    ),
    "steps": Range(low=1, high=MAX_STEPS, whole=True),
    "seconds": Range(low=0.001, high=MAX_SECONDS),
    "seed": TRAIN["seed"],
    "candidates": Range(low=1, high=MAX_CANDIDATES, whole=True),
}
"""Numbers of a ``config.Recipe``."""

FINISH = {
    "rate": Range(low=8000, high=192_000, whole=True, optional=True),
    "normalize": Range(
        low=-60, high=0, optional=True, note="That is LUFS; 'peak' is a peak of -1 dBFS."
    ),
}
"""Numbers of an ``audio.finish.Finish``."""

FRAME_RATE = Range(low=0, high=1000, above=True)
"""Frames a second that CLIP embeds."""

BETA = Range(low=0, high=0.999999)
"""Each of AdamW's two averages."""

EXTENSIONS = {
    "window": Range(low=8, high=8192, whole=True),
    "mean_of": Range(low=1, high=1000, whole=True),
    "crops": Range(low=0, high=15, whole=True),
    "cond_cosine": Range(low=0.01, high=1, note="1 adds no noise."),
    "min_snr": Range(low=0, high=1e6, above=True, optional=True),
    "critics_from": Range(low=0, high=10**9, whole=True, optional=True),
}
"""Numbers of ``training.run_config.Extensions``."""

BATCH = Range(low=1, high=1024, whole=True)
"""Sounds that are computed together."""

GENERATE = {"count": Range(low=1, high=10_000, whole=True), "batch_size": BATCH}
"""Numbers of ``clipsonic generate`` besides those of a recipe."""

SHARE = Range(low=0, high=0.9)
SPLITS = {"seed": TRAIN["seed"], "test_share": SHARE, "valid_share": SHARE}
"""Numbers of a ``data.splits.SplitDraw``."""

PREPARATION = {"frame_rate": FRAME_RATE, "crops": EXTENSIONS["crops"]}
"""Fields of ``preparation.config.PreparationConfig``."""

RUN = {
    "minutes": Range(low=0, high=5_256_000, above=True, optional=True, note="That is ten years."),
    "frame_rate": FRAME_RATE,
    "workers": Range(low=0, high=1024, whole=True, optional=True),
    "sample_every": Range(low=0, high=10**9, whole=True, optional=True),
    "text_share": Range(low=0, high=0.4, optional=True),
}
"""Numbers of ``clipsonic train`` besides those of the loop."""

EVAL = {
    "count": Range(low=1, high=100_000, whole=True, optional=True),
    "trials": Range(low=1, high=10_000, whole=True),
    "workers": RUN["workers"],
    "clip_seconds": Range(low=0.1, high=MAX_SECONDS, optional=True),
    "seed": RECIPE["seed"],
    "split_seed": replace(RECIPE["seed"], optional=True),
    "guidance": RECIPE["guidance"],
    "steps": Range(low=1, high=MAX_STEPS, whole=True, optional=True),
    "seconds": RECIPE["seconds"],
}
"""Numbers of ``clipsonic eval``; ``guidance`` is each of several."""

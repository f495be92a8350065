"""Ratings of a listening test, and their mean opinion scores."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, get_args

from clipsonic_cli import bounded
from clipsonic_cli.errors import UsageError

Question = Literal["fidelity", "relevance"]

FORMAT = "clipsonic-ratings/1"
KEY_FORMAT = "clipsonic-listening-key/1"
MAX_BYTES = 64 << 20  # of a file of ratings, or of a key
QUESTIONS: tuple[Question, ...] = get_args(Question)
SCALE = range(1, 6)
LEAST_RATERS = 3
"""Fewest raters whose means have an interval: Student's t of two is 12.7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One rater's answers on one sound, 1 to 5."""

    rater: str
    system: str
    sample: str  # code of the sound on the page
    fidelity: int
    relevance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """The ratings of all raters, each sound once per rater."""

    ratings: tuple[Rating, ...]
    answered: Mapping[str, int]  # number of sounds rated, by rater; may be 0
    systems: tuple[str, ...]  # all systems of the test, rated or not
    samples: int  # number of sounds of the test
    test: str = ""  # its id

    @property
    def partial(self) -> tuple[str, ...]:
        """The raters who did not rate every sound."""
        return tuple(rater for rater, n in self.answered.items() if n < self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean of n numbers and its 95 % interval, ``value`` +- ``half_width``."""

    n: int
    value: float
    half_width: float | None  # None for too few numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionScore:
    """The mean opinion score of one system on one question; the means are None without ratings."""

    system: str
    question: Question
    ratings: Mean | None  # each rating is one number
    raters: Mean | None
    """Each rater's mean is one number: the safer interval where some raters are stricter than
    others, as the ratings of one rater are then not independent."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval over raters, within the scale; None for too few."""
        if self.raters is None or self.raters.half_width is None:
            return None
        value, half = self.raters.value, self.raters.half_width
        return max(value - half, float(SCALE[0])), min(value + half, float(SCALE[-1]))


def read_ratings(paths: Sequence[Path], key: Path) -> Ratings:
    """Read the files of raters, complete or not, and find the systems they rated by the key.

    Several files of one rater count once. Raters are identified by name, whatever its case and
    spaces.

    Raises:
        UsageError: There are no files, or one is damaged, of another test, or contradicts another
            of the same rater.
    """
    if not paths:
        raise UsageError("There are no ratings; give the files that raters saved.")
    test, systems, made_by = _read_key(key)
    # Collect the answers of each person.
    names: dict[str, str] = {}
    answered: dict[str, dict[str, tuple[Path, dict[Question, int]]]] = {}
    for path in paths:
        rater, answers = _read_answers(path, test, made_by)
        folded = " ".join(unicodedata.normalize("NFC", rater).casefold().split())
        earlier = answered.setdefault(names.setdefault(folded, rater), {})
        for sample, answer in answers.items():
            before, known = earlier.setdefault(sample, (path, answer))
            if known != answer:
                raise UsageError(
                    f"Rater '{rater}' answers differently on sound '{sample}' in '{before}' and "
                    f"'{path}'; leave one file out, or rename one of two raters in it."
                )
    return Ratings(
        ratings=tuple(
            Rating(rater=rater, system=made_by[sample], sample=sample, **answer)
            for rater, answers_of_rater in answered.items()
            for sample, (_, answer) in answers_of_rater.items()
        ),
        answered={rater: len(answers) for rater, answers in answered.items()},
        systems=tuple(systems),
        samples=len(made_by),
        test=test,
    )


def mean_opinion_scores(ratings: Ratings) -> list[OpinionScore]:
    """Compute the mean opinion score of every system on every question, in their order.

    Source:
        CLIPSonic tables 3 and 4. The paper gives means and half-widths over 21 raters, and states
        neither the number of ratings nor the formula; here it is Student's t.
    """
    scores = []
    for system in ratings.systems:
        for question in QUESTIONS:
            by_rater: dict[str, list[int]] = {}
            for rating in ratings.ratings:
                if rating.system == system:
                    by_rater.setdefault(rating.rater, []).append(getattr(rating, question))
            scores.append(
                OpinionScore(
                    system=system,
                    question=question,
                    ratings=mean([*chain(*by_rater.values())]) if by_rater else None,
                    raters=_over_raters(by_rater) if by_rater else None,
                )
            )
    return scores


def _over_raters(by_rater: Mapping[str, Sequence[int]]) -> Mean:
    over = mean([*map(fmean, by_rater.values())])
    return over if over.n >= LEAST_RATERS else replace(over, half_width=None)


def mean(numbers: Sequence[float]) -> Mean:
    r"""Compute the mean of independent numbers, with the 95 % interval by the unbiased variance.

    .. math:: m \pm t_{0.975, n - 1} s / \sqrt{n}
    """
    n = len(numbers)
    if not n:
        raise ValueError("need one number or more, got none")
    half_width = student_t(n - 1) * stdev(numbers) / math.sqrt(n) if n > 1 else None
    return Mean(n=n, value=fmean(numbers), half_width=half_width)


def student_t(freedom: int, level: float = 0.95) -> float:
    """Compute the t for which [-t, t] holds the share ``level`` of Student's distribution.

    Source:
        Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: the share as a finite sum of powers of
        cos(theta), t = sqrt(freedom) tan(theta).
    """
    if freedom < 1 or not 0 < level < 1:
        raise ValueError(f"need freedom >= 1 and 0 < level < 1, got {freedom} and {level}")
    low, high = 0.0, math.pi / 2
    while low < (theta := (low + high) / 2) < high:  # until no float lies between
        low, high = (theta, high) if _share(freedom, theta) < level else (low, theta)
    return math.sqrt(freedom) * math.tan(theta)


def _share(freedom: int, theta: float) -> float:
    """Compute the probability of abs(T) <= sqrt(freedom) tan(theta)."""
    odd = freedom % 2
    term = math.sin(theta) * (math.cos(theta) if odd else 1.0)
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= math.cos(theta) ** 2 * (power - 1) / power
        total += term
    return 2 / math.pi * (theta + total) if odd else total


def _read_key(path: Path) -> tuple[str, list[str], dict[str, str]]:
    """Return the test's id, its systems in order, and the system of every sound."""
    fields = _read_json(path, KEY_FORMAT, "the key written with the test")
    try:
        test, systems = fields["test"], list(fields["systems"])
        made_by = {sample: entry["system"] for sample, entry in fields["samples"].items()}
        fits = isinstance(test, str) and bool(made_by) and set(made_by.values()) == set(systems)
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise UsageError(f"'{path}' is a damaged key; give it as it was written.")
    return test, systems, made_by


def _read_answers(
    path: Path, test: str, made_by: Mapping[str, str]
) -> tuple[str, dict[str, dict[Question, int]]]:
    """Return the rater's name, and the answers by sound and question."""
    fields = _read_json(path, FORMAT, "a file that a rater saved")
    rater, answers = fields.get("rater"), fields.get("answers")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(answers, dict):
        raise UsageError(f"'{path}' lacks a rater or answers; ask for the file again.")
    if fields.get("test") != test:
        raise UsageError(
            f"'{path}' answers the test {fields.get('test')!r}, but the key is of {test!r}; give "
            "the key written with that page."
        )
    ratings: dict[str, dict[Question, int]] = {sample: {} for sample in answers}
    for sample, answer in answers.items():
        if sample not in made_by:
            raise UsageError(f"'{path}' rates a sound '{sample}' that the test does not have.")
        for question in QUESTIONS:
            number = answer.get(question) if isinstance(answer, dict) else None
            if type(number) is not int or number not in SCALE:  # True is an int to isinstance
                raise UsageError(
                    f"'{path}' has {number!r} for the {question} of sound '{sample}'; allowed are "
                    f"whole numbers from {SCALE[0]} to {SCALE[-1]}."
                )
            ratings[sample][question] = number
    return rater, ratings


def _read_json(path: Path, format_: str, wanted: str) -> dict[str, Any]:
    try:
        fields = bounded.read_json(path, MAX_BYTES, encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}; give {wanted}.") from error
    except ValueError as error:  # also for bytes that are not UTF-8
        raise UsageError(f"'{path}' is damaged, or no JSON; give {wanted}.") from error
    if not isinstance(fields, dict) or fields.get("format") != format_:
        raise UsageError(f"'{path}' is not of the format '{format_}'; give {wanted}.")
    return fields

"""What raters of a listening test sent back, and the mean opinion scores of it.

Knows: the files a page saves, the key that opens them, and intervals. Does not know: how the page
looks (``listening/page.py``), nor how scores are shown.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from clipsonic_cli import bounded
from clipsonic_cli.errors import UsageError

Question = Literal["fidelity", "relevance"]

FORMAT = "clipsonic-ratings/1"
MAX_BYTES = 64 << 20
"""Bytes of a file of ratings, or of a key, at most."""
KEY_FORMAT = "clipsonic-listening-key/1"
QUESTIONS: tuple[Question, ...] = ("fidelity", "relevance")
SCALE = range(1, 6)
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One rater's word on one sound.

    Args:
        rater: The name the rater gave.
        system: Who made the sound.
        sample: The name the sound went by.
        fidelity: How good it sounds, 1 to 5.
        relevance: How well it fits its prompt, 1 to 5.
    """

    rater: str
    system: str
    sample: str
    fidelity: int
    relevance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """All that came back.

    Args:
        ratings: Of all raters, each sound once per rater.
        answered: By rater, how many sounds were rated; may be 0.
        systems: All systems of the test, rated or not, in the order they were given in.
        samples: How many sounds the test has.
    """

    ratings: tuple[Rating, ...]
    answered: Mapping[str, int]
    systems: tuple[str, ...]
    samples: int

    @property
    def partial(self) -> tuple[str, ...]:
        """The raters who did not rate every sound."""
        return tuple(rater for rater, n in self.answered.items() if n < self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean and its 95 % interval, ``value`` +- ``half_width``.

    Args:
        n: How many numbers it is of.
        value: The mean.
        half_width: None for one number, which says nothing on how far others would lie.
    """

    n: int
    value: float
    half_width: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionScore:
    """The mean opinion score of one system on one question, counted in two ways.

    Args:
        system: Its name.
        question: What was asked.
        ratings: Every rating is one number. None without ratings.
        raters: Every rater's mean is one number: the wider and safer interval where raters differ
            in how strict they are, as then the ratings of one rater are not independent.
    """

    system: str
    question: Question
    ratings: Mean | None
    raters: Mean | None


def read_ratings(paths: Sequence[Path], key: Path) -> Ratings:
    """Reads the files raters sent back, and tells by the key which system they rated.

    Several files of one rater, as saved on the way and at the end, count once. Raters are told
    apart by the name they gave, whatever its capitals and blanks.

    Args:
        paths: The files, complete or not.
        key: The ``key.json`` written with the page.

    Raises:
        UsageError: There are no files, or one is missing, damaged, of another test, names a sound
            the test has not, has an answer that is no whole number from 1 to 5, or contradicts
            another file of the same rater.
    """
    if not paths:
        raise UsageError("There are no ratings; give the files that raters saved.")
    test, systems, made_by = _read_key(key)
    names: dict[str, str] = {}
    seen: dict[str, dict[str, tuple[Path, tuple[int, int]]]] = {}
    for path in paths:
        rater, answers = _read_answers(path, test, made_by)
        same = _folded(rater)
        names.setdefault(same, rater)
        earlier = seen.setdefault(same, {})
        for sample, answer in answers.items():
            before, known = earlier.setdefault(sample, (path, answer))
            if known != answer:
                raise UsageError(
                    f"Rater '{rater}' answers differently on sound '{sample}' in '{before}' and "
                    f"'{path}'; leave one file out, or rename one of two raters in it."
                )
    ratings = tuple(
        Rating(
            rater=names[same],
            system=made_by[sample],
            sample=sample,
            fidelity=fidelity,
            relevance=relevance,
        )
        for same, answers in seen.items()
        for sample, (_, (fidelity, relevance)) in answers.items()
    )
    return Ratings(
        ratings=ratings,
        answered={names[same]: len(answers) for same, answers in seen.items()},
        systems=tuple(systems),
        samples=len(made_by),
    )


def mean_opinion_scores(ratings: Ratings) -> list[OpinionScore]:
    """Gives the mean opinion score of every system on every question.

    Returns:
        In the order of the systems, then of :data:`QUESTIONS`.

    Source:
        CLIPSonic tables 3 and 4. The paper gives means and half-widths over 21 raters, and states
        neither the number of ratings nor the formula; here it is Student's t.
    """
    scores = []
    for system in ratings.systems:
        own = sorted((one for one in ratings.ratings if one.system == system), key=_rater)
        for question in QUESTIONS:
            by_rater = [
                [getattr(one, question) for one in theirs] for _, theirs in groupby(own, key=_rater)
            ]
            every = [number for numbers in by_rater for number in numbers]
            scores.append(
                OpinionScore(
                    system=system,
                    question=question,
                    ratings=mean(every) if every else None,
                    raters=mean([fmean(numbers) for numbers in by_rater]) if every else None,
                )
            )
    return scores


def mean(numbers: Sequence[float]) -> Mean:
    r"""Gives the mean of numbers, with the 95 % interval by Student's t.

    .. math:: m \pm t_{0.975, n - 1} s / \sqrt{n}

    with s^2 the unbiased variance. It supposes the numbers independent.

    Args:
        numbers: One or more.

    Raises:
        ValueError: There are none.
    """
    n = len(numbers)
    if not n:
        raise ValueError("need one number or more, got none")
    half_width = student_t(n - 1) * stdev(numbers) / math.sqrt(n) if n > 1 else None
    return Mean(n=n, value=fmean(numbers), half_width=half_width)


def student_t(freedom: int, level: float = LEVEL) -> float:
    """Gives the t that holds the middle share ``level`` of Student's distribution in [-t, t].

    Args:
        freedom: Degrees of freedom, 1 or more.
        level: In (0, 1).

    Source:
        Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: the share as a finite sum of powers of
        cos(theta), t = sqrt(freedom) tan(theta).
    """
    if freedom < 1 or not 0 < level < 1:
        raise ValueError(f"need freedom >= 1 and 0 < level < 1, got {freedom} and {level}")
    low, high = 0.0, math.pi / 2
    while low < (theta := (low + high) / 2) < high:  # until no number lies between
        if _share(freedom, theta) < level:
            low = theta
        else:
            high = theta
    return math.sqrt(freedom) * math.tan(theta)


def _share(freedom: int, theta: float) -> float:
    """Gives the probability of abs(T) <= sqrt(freedom) tan(theta)."""
    odd = freedom % 2
    term = math.sin(theta) * (math.cos(theta) if odd else 1.0)
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= math.cos(theta) ** 2 * (power - 1) / power
        total += term
    return 2 / math.pi * (theta + total) if odd else total


def _rater(rating: Rating) -> str:
    return rating.rater


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _read_key(path: Path) -> tuple[str, list[str], dict[str, str]]:
    """Gives the test's id, its systems in order, and the system of every sound."""
    fields = _read_json(path, KEY_FORMAT, "the key.json written with the test")
    try:
        test, systems = fields["test"], list(fields["systems"])
        made_by = {sample: entry["system"] for sample, entry in fields["samples"].items()}
        fits = isinstance(test, str) and bool(made_by) and set(made_by.values()) == set(systems)
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise UsageError(f"'{path}' is a damaged key; give the key.json as it was written.")
    return test, systems, made_by


def _read_answers(
    path: Path, test: str, made_by: Mapping[str, str]
) -> tuple[str, dict[str, tuple[int, int]]]:
    """Gives the rater's name, and the answers to :data:`QUESTIONS` by sound."""
    fields = _read_json(path, FORMAT, "a file that a rater saved")
    rater, answers = fields.get("rater"), fields.get("answers")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(answers, dict):
        raise UsageError(f"'{path}' lacks a rater or answers; ask for the file again.")
    if fields.get("test") != test:
        raise UsageError(
            f"'{path}' answers the test {fields.get('test')!r}, but the key is of {test!r}; give "
            f"the key.json written with that page."
        )
    read = {}
    for sample, answer in answers.items():
        if sample not in made_by:
            raise UsageError(f"'{path}' rates a sound '{sample}' that the test does not have.")
        fidelity, relevance = (_number(path, sample, answer, question) for question in QUESTIONS)
        read[sample] = (fidelity, relevance)
    return rater, read


def _number(path: Path, sample: str, answer: object, question: Question) -> int:
    number = answer.get(question) if isinstance(answer, dict) else None
    if type(number) is int and number in SCALE:  # True is an int to isinstance
        return number
    raise UsageError(
        f"'{path}' has {number!r} for the {question} of sound '{sample}'; allowed are whole "
        f"numbers from {SCALE[0]} to {SCALE[-1]}."
    )


def _read_json(path: Path, format_: str, wanted: str) -> dict[str, Any]:
    try:
        fields = bounded.read_json(path, MAX_BYTES, encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}; give {wanted}.") from error
    except ValueError as error:  # also what is not UTF-8
        raise UsageError(f"'{path}' is damaged, or no JSON; give {wanted}.") from error
    if not isinstance(fields, dict) or fields.get("format") != format_:
        raise UsageError(f"'{path}' is not of the format '{format_}'; give {wanted}.")
    return fields

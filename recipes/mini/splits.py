"""Which package's recordings of a label are trained on, and which are held out.

Sounds are held out by whole packages, never by slices of one recording: files of one package are
often pieces of one take, or were recorded by the same microphone.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import render
import soxr
from numpy.typing import NDArray

RATE, SECONDS = 8000, 3
"""Takes are compared by their first seconds at this rate."""
COPY = 0.85
"""Correlation from which two takes are copies of one recording."""
Take = tuple[dict[str, str], render.Samples]
"""A row of ``sounds.csv`` and its samples."""
Spectrum = NDArray[np.complexfloating[Any, Any]]


def split_takes(takes: Sequence[Take], *, rendered: bool = False) -> dict[str, list[Take]]:
    """Split a label's takes by package: train | valid | test.

    A package that 0.1.0 trained on stays in train, so that a training may begin with its weights,
    and packages that share a recording stay together. Of the others the test takes the largest that
    leaves half of all takes to train, or else the smallest; valid takes the smallest of the rest,
    if there is one to spare. A lone package is trained on, unless there are renders for that.

    Args:
        takes: All takes of the label.
        rendered: Whether the label has sounds to train on besides its takes.
    """
    groups = package_groups(takes)
    group_of = {package: number for number, group in enumerate(groups) for package in group}
    size = Counter(group_of[row["package"]] for row, _ in takes)
    kept = {group_of[row["package"]] for row, _ in takes if row["split_0_1"] == "train"}
    free = sorted((size[number], number) for number in size if number not in kept)
    split = dict.fromkeys(size, "train")
    if free and (len(size) > 1 or rendered):
        fitting = [pair for pair in free if 2 * pair[0] <= len(takes)]
        test = fitting[-1] if fitting else free[0]
        split[test[1]] = "test"
        rest = [pair for pair in free if pair != test]
        spare = len(rest) + len(kept) > 1 or (rest and rendered)
        if spare and rest and 2 * (test[0] + rest[0][0]) <= len(takes):
            split[rest[0][1]] = "valid"
    out: dict[str, list[Take]] = {"train": [], "valid": [], "test": []}
    for row, samples in takes:
        out[split[group_of[row["package"]]]].append((row, samples))
    return out


def package_groups(takes: Sequence[Take]) -> list[list[str]]:
    """Return the packages, sorted; those that share a recording, or its author, in one group."""
    packages = sorted({row["package"] for row, _ in takes})
    group = {package: package for package in packages}
    prints = [(row["package"], row["author"], spectrum(samples)) for row, samples in takes]
    for (one, author, a), (other, its_author, b) in combinations(prints, 2):
        same = author == its_author != ""
        if group[one] != group[other] and (same or correlation(a, b) > COPY):
            joined, kept = group[other], group[one]
            group = {name: kept if of == joined else of for name, of in group.items()}
    return [[p for p in packages if group[p] == name] for name in sorted(set(group.values()))]


def spectrum(samples: render.Samples) -> Spectrum:
    """Return the spectrum of the first seconds, of unit energy, padded to twice its length."""
    short = soxr.resample(samples, render.RATE, RATE)[: RATE * SECONDS]
    energy = float(np.sqrt(np.square(short).sum())) or 1.0
    return np.fft.rfft(short / energy, 2 * RATE * SECONDS)


def correlation(a: Spectrum, b: Spectrum) -> float:
    """Return the highest correlation of two sounds over all shifts, of their spectra."""
    return float(np.abs(np.fft.irfft(a * b.conj())).max())

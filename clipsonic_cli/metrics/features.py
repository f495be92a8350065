"""Features: the vectors that a backbone gives for a set of sounds, and the sound of each."""

import errno
import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np
import torch
from torch import Tensor

from clipsonic_cli.audio.downmix import SILENCE_DB, decibels
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.metrics.frechet import Moments, Statistics
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.text import listed
from clipsonic_cli.types import AudioTextBackbone, Backbone, Report, Waveform, silent

BLOCK = 8192
"""Rows read at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The vectors of a set of sounds, or of its prompts, images or labels.

    Raises:
        ValueError: The fields do not fit each other, or are not finite; says why.
    """

    backbone: str
    """Name of the network that gave them."""
    names: tuple[str, ...]
    """Names of the sounds, each once."""
    counts: tuple[int, ...]
    """Rows of each sound, 1 or more."""
    rows: Tensor
    """(R, D) float32, those of the first sound first. May be on disk."""
    sample_rate: int | None = None
    """In Hz; None where the sounds differ or there are none."""
    seconds: float | None = None
    """Mean length of the sounds; None where there are none."""
    windows: tuple[tuple[int, ...], ...] | None = None
    """Rows of each window of each sound; None where sounds were not cut."""
    notes: tuple[str, ...] = ()
    """Oddities of the sounds, one line each."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sounds that could not be embedded, with the reason."""

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.dtype != torch.float32 or not self.names:
            raise ValueError(
                f"need float32 rows (R, D) of one sound or more, got {self.rows.dtype} "
                f"{tuple(self.rows.shape)} of {len(self.names)}"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError("a name is given twice")
        if (
            len(self.counts) != len(self.names)
            or min(self.counts) < 1
            or sum(self.counts) != len(self.rows)
        ):
            raise ValueError(
                f"need one row or more a sound, got {len(self.rows)} rows, {len(self.names)} names "
                f"and {len(self.counts)} counts that make {sum(self.counts)}"
            )
        if self.windows is not None and tuple(map(sum, self.windows)) != self.counts:
            raise ValueError("the windows of the sounds do not make up their rows")
        if not all(rows.isfinite().all() for rows in torch.split(self.rows, BLOCK)):
            raise ValueError("the rows are not finite")

    @property
    def n(self) -> int:
        """Number R of rows."""
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Size D of a row."""
        return self.rows.shape[1]

    def sounds(self) -> Iterator[Tensor]:
        """Yield the rows (W, D) of each sound."""
        yield from torch.split(self.rows, list(self.counts))

    def means(self) -> Tensor:
        """Compute the mean of each sound's rows: (C, D) float64."""
        return torch.stack([rows.double().mean(0) for rows in self.sounds()])

    def moments(self) -> Moments:
        """Compute mean and covariance of all rows, pooled."""
        moments = Moments(self.dim)
        for rows in torch.split(self.rows, BLOCK):
            moments.add(rows)
        return moments

    def statistics(self) -> Statistics:
        """Compute mean and covariance of all rows, and the correlation within sounds.

        Method-of-moments estimate of the intraclass correlation: how much the variance of per-sound
        means exceeds that of independent rows.

        Raises:
            ValueError: There is a single row.

        Source:
            Kish 1965 (clusters of unequal size).
        """
        gaussian, sounds = self.moments().gaussian(), len(self.counts)
        squares = torch.tensor(self.counts, dtype=torch.float64).square()
        cluster_size = float(squares.sum()) / gaussian.n
        icc = 0.0 if cluster_size == 1 else 1.0
        if cluster_size > 1 and sounds > 1 and (trace := float(gaussian.cov.trace())) > 0:
            between = squares @ (self.means() - gaussian.mean).square().sum(1)
            design_effect = float(between) * sounds / (sounds - 1) / (gaussian.n * trace)
            icc = min(max((design_effect - 1) / (cluster_size - 1), 0.0), 1.0)
        return Statistics(
            gaussian=gaussian,
            sounds=sounds,
            cluster_size=cluster_size,
            icc=icc,
            sample_rate=self.sample_rate,
            seconds=self.seconds,
        )

    def only(self, names: Sequence[str]) -> "Features":
        """Return some of the sounds, in the order given.

        Raises:
            KeyError: One is not among them.
        """
        if tuple(names) == self.names:
            return self
        place = {name: index for index, name in enumerate(self.names)}
        rows = torch.split(self.rows, list(self.counts))
        picked = [place[name] for name in names]
        return replace(
            self,
            names=tuple(names),
            counts=tuple(self.counts[index] for index in picked),
            rows=torch.cat([rows[index] for index in picked]),
            windows=self.windows and tuple(self.windows[index] for index in picked),
        )


def per_sound_mean(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Compute the mean (C, ...) of values (R, ...) over each sound's rows, or each window's."""
    mean: Tensor = torch.segment_reduce(values, "mean", lengths=torch.tensor(counts), axis=0)
    return mean


def from_vectors(names: Sequence[str], rows: Tensor, *, backbone: str) -> Features:
    """Build a set with one vector (C, D) each, such as those of prompts, images or labels."""
    return Features(
        backbone=backbone,
        names=tuple(names),
        counts=(1,) * len(names),
        rows=rows.detach().float().cpu(),
    )


def embed_prompts(prompts: Mapping[str, str], backbone: AudioTextBackbone) -> Features:
    """Embed prompts by the name of their sound; each different text once.

    Raises:
        UsageError: There are none, or one has no words.
    """
    if not prompts:
        raise UsageError("There are no prompts; give a text for each sound.")
    texts = list(dict.fromkeys(prompts.values()))
    place = {text: index for index, text in enumerate(texts)}
    rows = backbone.embed_text(texts)[[place[text] for text in prompts.values()]]
    return from_vectors(list(prompts), rows, backbone=backbone.name)


def embed_sounds(
    sounds: Iterable[tuple[str, Waveform]],
    backbone: Backbone,
    *,
    windows: Windows | None = None,
    report: Report = silent,
    total: int = 0,
) -> Features:
    """Embed sounds one by one; the rows go to a temporary file, so that memory does not grow.

    Sounds that cannot be embedded are left out; silent ones and those beyond full scale are kept.
    All are noted.

    Args:
        sounds: Names and waveforms.
        backbone: Embeds them.
        windows: How each is cut before; None is not at all.
        report: Receives (backbone's name, done, total).
        total: Number of sounds, for the report.

    Returns:
        The rows of one sound or more.

    Raises:
        UsageError: None of the sounds can be embedded; says why.
    """
    survey = _Survey()
    windows_of: list[tuple[int, ...]] = []
    left_out: dict[str, list[str]] = {}
    with _scratch() as file:
        # Embed each sound.
        for done, (name, sound) in enumerate(sounds, 1):
            fault, parts = _embed(sound, backbone, windows)
            if fault is None:
                file.write(torch.cat(parts).numpy().astype(np.float32, copy=False).tobytes())
                windows_of.append(tuple(len(part) for part in parts if len(part)))
                survey.add(name, sound)
            else:
                left_out.setdefault(fault, []).append(name)
            report(backbone.name, done, total)
        notes = [f"{listed(each, 'sound')} left out: {why}." for why, each in left_out.items()]
        if not windows_of:
            why = " ".join(notes) or "There are none."
            raise UsageError(f"No sound can be scored. {why} Give one sound or more.")
        # Map the rows.
        counts = tuple(map(sum, windows_of))
        shape = (sum(counts), backbone.dim)
        if isinstance(file, io.BytesIO):
            rows = torch.from_numpy(np.frombuffer(file.getbuffer(), np.float32).reshape(shape))
        else:
            file.flush()
            # Copy on write: torch warns of arrays it may not write to, and nothing writes here.
            rows = torch.from_numpy(np.memmap(file, np.float32, "c", shape=shape))
    return Features(
        backbone=backbone.name,
        names=tuple(survey.seconds),
        counts=counts,
        rows=rows,
        sample_rate=next(iter(survey.rates)) if len(survey.rates) == 1 else None,
        seconds=sum(survey.seconds.values()) / len(survey.seconds),
        windows=tuple(windows_of) if windows else None,
        notes=(*notes, *survey.notes()),
        left_out={name: why for why, names in left_out.items() for name in names},
    )


def _embed(
    sound: Waveform, backbone: Backbone, windows: Windows | None
) -> tuple[str | None, list[Tensor]]:
    """Return why a sound cannot be embedded, or None and the rows of each of its windows."""
    if not sound.samples.numel():
        return "no samples", []
    if not sound.samples.isfinite().all():
        return "samples that are not finite", []
    cut = windows.cut(sound) if windows else [sound]
    parts = [backbone.embed(part.samples, part.sample_rate) for part in cut]
    if not any(len(part) for part in parts):
        return f"too short for '{backbone.name}'", []
    if not all(part.isfinite().all() for part in parts):
        return f"too large for the precision of '{backbone.name}'", []
    return None, parts


@dataclass(slots=True)
class _Survey:
    """Lengths, sample rates and levels of the sounds of a set."""

    seconds: dict[str, float] = field(default_factory=dict)
    """By name, in order."""
    rates: Counter[int] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    """Sounds beyond full scale."""
    peak: float = 0.0

    def add(self, name: str, sound: Waveform) -> None:
        self.seconds[name] = sound.seconds
        self.rates[sound.sample_rate] += 1
        peak = float(sound.samples.abs().max())
        self.peak = max(self.peak, peak)
        if decibels(sound.samples.numpy()) < SILENCE_DB:
            self.silent.append(name)
        if peak > 1:
            self.beyond.append(name)

    def notes(self) -> Iterator[str]:
        """Yield what is odd about the sounds."""
        if self.silent:
            verb = "are" if len(self.silent) > 1 else "is"
            yield f"{listed(self.silent, 'sound')} {verb} silent, and scored all the same."
        if self.beyond:
            yield (
                f"{listed(self.beyond, 'sound')} beyond full scale, with peaks of up to "
                f"{self.peak:.4g}."
            )
        if len(self.rates) > 1:
            rates = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(self.rates.items()))
            yield f"The sounds have different sample rates: {rates}."
        shortest, longest = min(self.seconds.values()), max(self.seconds.values())
        if longest > 1.5 * shortest:
            yield f"The sounds last from {shortest:.2f} to {longest:.2f} s."


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    """Open a temporary file for vectors, which may take gigabytes; memory where no folder has one.

    Raises:
        ClipsonicError: The disk of temporary files is full.
    """
    try:
        file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    except OSError as error:  # TMPDIR, /tmp, the current folder: none takes files
        warnings.warn(
            f"There is no folder for temporary files ({error.strerror or error}), so that vectors "
            "are kept in memory. Set TMPDIR to a folder that can be written.",
            stacklevel=3,
        )
        yield io.BytesIO()
        return
    try:
        with file:
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        raise ClipsonicError(
            f"The folder of temporary files, {tempfile.gettempdir()}, is full "
            f"({error.strerror}). Set TMPDIR to a folder on a larger disk."
        ) from None

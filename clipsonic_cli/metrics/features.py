"""Sounds as a backbone hears them: all the vectors of a set, and whose each is.

Knows: sounds, windows, backbones. Does not know: files, and what the vectors are compared for.
"""

import errno
import io
import tempfile
import warnings
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
"""Rows that are looked at at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The vectors of a set of sounds, or of what they are compared with: prompts, pictures, labels.

    Args:
        backbone: Name of the network that gave them.
        names: Of the sounds, each once: by these they find their prompts.
        counts: Rows of each sound, 1 or more; any metric pools or averages them as it is defined.
        rows: (R, D) float32, those of the first sound first. May lie on the disk.
        sample_rate: Of the sounds, in Hz; None where they differ or there are none.
        seconds: Mean length of the sounds; None where there are none.
        windows: Rows of each of the windows that each sound was cut into; None where they were
            heard whole.
        notes: What is odd about the sounds, one line each.
        left_out: Sounds that could not be heard, by name, and why.

    Raises:
        ValueError: These do not belong together, or are not finite; says why.
    """

    backbone: str
    names: tuple[str, ...]
    counts: tuple[int, ...]
    rows: Tensor
    sample_rate: int | None = None
    seconds: float | None = None
    windows: tuple[tuple[int, ...], ...] | None = None
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

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
        """Gives the rows (W, D) of one sound after the other."""
        yield from torch.split(self.rows, list(self.counts))

    def means(self) -> Tensor:
        """Gives the mean of each sound's rows: (C, D) float64."""
        return torch.stack([rows.double().mean(0) for rows in self.sounds()])

    def moments(self) -> Moments:
        """Gives mean and covariance of all rows, pooled."""
        moments = Moments(self.dim)
        for rows in torch.split(self.rows, BLOCK):
            moments.add(rows)
        return moments

    def statistics(self) -> Statistics:
        """Gives mean and covariance of all rows, and how alike the rows of a sound are.

        Of the scatter of the sounds' means about the whole's, weighted as these make up that, comes
        the variance of the whole's mean; what it exceeds that of as many independent rows by is the
        sounds' doing.

        Raises:
            ValueError: There is a single row.

        Source:
            Kish 1965 (clusters of unequal size).
        """
        gaussian, sounds = self.moments().gaussian(), len(self.counts)
        squares = torch.tensor(self.counts, dtype=torch.float64).square()
        windows = float(squares.sum()) / gaussian.n
        alike = 0.0 if windows == 1 else 1.0
        if windows > 1 and sounds > 1 and (trace := float(gaussian.cov.trace())) > 0:
            apart = squares @ (self.means() - gaussian.mean).square().sum(1)
            effect = float(apart) * sounds / (sounds - 1) / (gaussian.n * trace)
            alike = min(max((effect - 1) / (windows - 1), 0.0), 1.0)
        return Statistics(
            n=gaussian.n,
            mean=gaussian.mean,
            cov=gaussian.cov,
            sounds=sounds,
            windows=windows,
            alike=alike,
            sample_rate=self.sample_rate,
            seconds=self.seconds,
        )

    def only(self, names: Sequence[str]) -> "Features":
        """Gives some of the sounds, in the order asked for.

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
    """Gives the mean (C, ...) over each sound's rows of values (R, ...); or over each window's."""
    sums = torch.segment_reduce(values, "mean", lengths=torch.tensor(counts), axis=0)
    mean: Tensor = sums
    return mean


def of_vectors(names: Sequence[str], rows: Tensor, *, backbone: str) -> Features:
    """Gives a set of which every member has one vector: prompts, pictures, labels.

    Args:
        names: Of the sounds they belong to.
        rows: (C, D).
        backbone: Name of the network that gave them.
    """
    return Features(
        backbone=backbone,
        names=tuple(names),
        counts=(1,) * len(names),
        rows=rows.detach().float().cpu(),
    )


def of_prompts(prompts: dict[str, str], backbone: AudioTextBackbone) -> Features:
    """Gives the vectors of prompts; each different text is read once.

    Args:
        prompts: Name of a sound to its text.
        backbone: The one that heard the sounds.

    Raises:
        UsageError: There are none, or one has no words.
    """
    if not prompts:
        raise UsageError("There are no prompts; give a text for each sound.")
    texts = list(dict.fromkeys(prompts.values()))
    place = {text: index for index, text in enumerate(texts)}
    rows = backbone.embed_text(texts)[[place[text] for text in prompts.values()]]
    return of_vectors(list(prompts), rows, backbone=backbone.name)


def of_sounds(
    sounds: Iterable[tuple[str, Waveform]],
    backbone: Backbone,
    *,
    windows: Windows | None = None,
    report: Report = silent,
    total: int = 0,
) -> Features:
    """Hears sounds one after the other; memory does not grow with them.

    The rows go to a temporary file without a name. Sounds that cannot be heard are left out, and
    silent ones and those beyond full scale are kept; all are noted.

    Args:
        sounds: Names and sounds.
        backbone: Hears them.
        windows: How each is cut before; None is not at all.
        report: Told (backbone's name, done, total).
        total: How many sounds there are, for the report.

    Returns:
        At least one sound's rows.

    Raises:
        UsageError: None of the sounds can be heard; says why.
    """
    names: list[str] = []
    counts: list[int] = []
    cuts: list[tuple[int, ...]] = []
    rates: dict[int, int] = {}
    seconds: list[float] = []
    left_out: dict[str, list[str]] = {}
    mute: list[str] = []
    beyond: list[str] = []
    loudest = 0.0
    done = 0
    with _scratch() as file:
        for done, (name, sound) in enumerate(sounds, 1):
            if (fault := _fault(sound)) is None:
                heard = windows.cut(sound) if windows else [sound]
                each = [backbone.embed(s.samples, s.sample_rate) for s in heard]
                rows = torch.cat(each)
                if not len(rows):
                    fault = f"too short for '{backbone.name}'"
                elif not rows.isfinite().all():
                    fault = f"beyond the numbers '{backbone.name}' reckons with"
            if fault is not None:
                left_out.setdefault(fault, []).append(name)
            else:
                file.write(rows.numpy().astype(np.float32, copy=False).tobytes())
                names.append(name)
                counts.append(len(rows))
                cuts.append(tuple(len(some) for some in each if len(some)))
                seconds.append(sound.seconds)
                rates[sound.sample_rate] = rates.get(sound.sample_rate, 0) + 1
                peak = float(sound.samples.abs().max())
                mute += [name] if decibels(sound.samples.numpy()) < SILENCE_DB else []
                beyond += [name] if peak > 1 else []
                loudest = max(loudest, peak)
            report(backbone.name, done, total)
        notes = [
            f"{listed(those, 'sound')} left out: {fault}." for fault, those in left_out.items()
        ]
        if not names:
            why = " ".join(notes) or "There are none."
            raise UsageError(f"No sound can be scored. {why} Give one sound or more.")
        shape = (sum(counts), backbone.dim)
        if isinstance(file, io.BytesIO):
            rows = torch.from_numpy(np.frombuffer(file.getbuffer(), np.float32).reshape(shape))
        else:
            file.flush()
            # Copy on write: torch warns of arrays it may not write to, and nothing writes here.
            rows = torch.from_numpy(np.memmap(file, np.float32, "c", shape=shape))
    if mute:
        verb = "are" if len(mute) > 1 else "is"
        notes.append(f"{listed(mute, 'sound')} {verb} silent, and scored all the same.")
    if beyond:
        notes.append(
            f"{listed(beyond, 'sound')} beyond full scale, with peaks of up to {loudest:.4g}."
        )
    if len(rates) > 1:
        told = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        notes.append(f"The sounds have different sample rates: {told}.")
    if max(seconds) > 1.5 * min(seconds):
        notes.append(f"The sounds last from {min(seconds):.2f} to {max(seconds):.2f} s.")
    return Features(
        backbone=backbone.name,
        names=tuple(names),
        counts=tuple(counts),
        rows=rows,
        sample_rate=next(iter(rates)) if len(rates) == 1 else None,
        seconds=sum(seconds) / len(seconds),
        windows=tuple(cuts) if windows else None,
        notes=tuple(notes),
        left_out={name: fault for fault, those in left_out.items() for name in those},
    )


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


def _fault(sound: Waveform) -> str | None:
    """Says why a sound cannot be heard at all."""
    if not sound.samples.numel():
        return "no samples"
    return None if sound.samples.isfinite().all() else "samples that are not finite"

"""Features of a set of sounds: all vectors that a backbone embeds them as."""

import errno
import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipsonic_cli.audio.downmix import SILENCE_DB, decibels
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.metrics.frechet import Gaussian, Moments, Statistics
from clipsonic_cli.metrics.windows import Windows
from clipsonic_cli.text import listed
from clipsonic_cli.types import AudioTextBackbone, Backbone, Note, Report, Waveform, silent

BLOCK = 8192
"""Rows that are processed at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Vectors of a set of sounds, or of what they are compared with: prompts, images, labels."""

    backbone: str
    names: tuple[str, ...]
    """Names of the sounds, each once; partners are matched by name."""
    counts: tuple[int, ...]
    """Rows of each sound, 1 or more; metrics pool or average them as each is defined."""
    rows: Tensor
    """(R, D) float32, in the order of the sounds; may be memory-mapped."""
    sample_rate: int | None = None
    """In Hz; None where the sounds differ or there are none."""
    seconds: float | None = None
    """Mean length of the sounds; None where there are none."""
    windows: tuple[tuple[int, ...], ...] | None = None
    """Rows of each window of each sound; None where the sounds were embedded whole."""
    notes: tuple[str, ...] = ()
    """What is unusual about the sounds, one line each."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Reason for each sound that could not be embedded, by name."""

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.dtype != torch.float32 or not self.names:
            raise ValueError(
                f"need float32 rows (R, D) of one sound or more, got {self.rows.dtype} "
                f"{tuple(self.rows.shape)} of {len(self.names)}"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError("a name is given twice")
        counts = self.counts
        if len(counts) != len(self.names) or min(counts) < 1 or sum(counts) != len(self.rows):
            raise ValueError(
                f"need one row or more a sound, got {len(self.rows)} rows, {len(self.names)} names "
                f"and {len(counts)} counts that make {sum(counts)}"
            )
        if self.windows is not None and tuple(map(sum, self.windows)) != counts:
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

    def gaussian(self) -> Gaussian:
        """Compute mean and covariance of all rows, pooled; ValueError for a single row."""
        moments = Moments(self.dim)
        for rows in torch.split(self.rows, BLOCK):
            moments.add(rows)
        return moments.gaussian()

    def statistics(self) -> Statistics:
        """Compute mean and covariance of all rows, and the intraclass correlation.

        Method-of-moments estimate of the intraclass correlation: how much the variance of per-sound
        means exceeds that of independent rows.

        Source:
            Kish 1965 (clusters of unequal size).
        """
        gaussian, sounds = self.gaussian(), len(self.counts)
        squares = torch.tensor(self.counts, dtype=torch.float64).square()
        cluster_size = float(squares.sum()) / gaussian.n
        icc = 0.0 if cluster_size == 1 else 1.0
        if cluster_size > 1 and sounds > 1 and (trace := float(gaussian.cov.trace())) > 0:
            between = float(squares @ (self.means() - gaussian.mean).square().sum(1))
            design_effect = between * sounds / (sounds - 1) / (gaussian.n * trace)
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
        """Return some of the sounds, in the order of ``names``; KeyError for an unknown one."""
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
    """Compute the mean (C, ...) over each sound's (or each window's) rows of values (R, ...)."""
    mean: Tensor = torch.segment_reduce(values, "mean", lengths=torch.tensor(counts), axis=0)
    return mean


def from_vectors(names: Sequence[str], rows: Tensor, *, backbone: str) -> Features:
    """Build a set with one vector per sound, rows (C, D): prompts, images, labels."""
    rows = rows.detach().float().cpu()
    return Features(backbone=backbone, names=tuple(names), counts=(1,) * len(names), rows=rows)


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


class _Embedded(NamedTuple):
    """A sound that was embedded: the number of rows of each window, and what notes depend on."""

    name: str
    windows: tuple[int, ...]
    seconds: float
    sample_rate: int
    peak: float
    silent: bool


def embed_sounds(
    sounds: Iterable[tuple[str, Waveform]],
    backbone: Backbone,
    *,
    windows: Windows | None = None,
    report: Report = silent,
    total: int = 0,
) -> Features:
    """Embed sounds one by one, in constant memory.

    Sounds that cannot be embedded are left out; silent ones and those beyond full scale are kept.
    All are noted. Windows of None embed each sound whole.

    Raises:
        UsageError: None of the sounds can be embedded; says why.
    """
    embedded: list[_Embedded] = []
    left_out: dict[str, str] = {}
    with _scratch() as file:
        # Embed.
        for done, (name, sound) in enumerate(sounds, 1):
            rows = _embed(sound, backbone, windows)
            if isinstance(rows, str):
                left_out[name] = rows
            else:
                file.write(torch.cat(rows).numpy().astype(np.float32, copy=False).tobytes())
                embedded.append(
                    _Embedded(
                        name=name,
                        windows=tuple(len(some) for some in rows if len(some)),
                        seconds=sound.seconds,
                        sample_rate=sound.sample_rate,
                        peak=float(sound.samples.abs().max()),
                        silent=decibels(sound.samples.numpy()) < SILENCE_DB,
                    )
                )
            report(backbone.name, done, total)
        notes = [
            f"{listed([n for n in left_out if left_out[n] == fault], 'sound')} left out: {fault}."
            for fault in dict.fromkeys(left_out.values())
        ]
        if not embedded:
            why = " ".join(notes) or "There are none."
            raise UsageError(f"No sound can be scored. {why} Give one sound or more.")
        # Map the file.
        counts = tuple(sum(sound.windows) for sound in embedded)
        shape = (sum(counts), backbone.dim)
        if isinstance(file, io.BytesIO):
            array = np.frombuffer(file.getbuffer(), np.float32).reshape(shape)
        else:
            file.flush()
            # Copy on write: torch warns of arrays it may not write to, and nothing writes here.
            array = np.memmap(file, np.float32, "c", shape=shape)
    rates = {sound.sample_rate for sound in embedded}
    return Features(
        backbone=backbone.name,
        names=tuple(sound.name for sound in embedded),
        counts=counts,
        rows=torch.from_numpy(array),
        sample_rate=rates.pop() if len(rates) == 1 else None,
        seconds=sum(sound.seconds for sound in embedded) / len(embedded),
        windows=tuple(sound.windows for sound in embedded) if windows else None,
        notes=(*notes, *_notes(embedded)),
        left_out=left_out,
    )


def _embed(sound: Waveform, backbone: Backbone, windows: Windows | None) -> list[Tensor] | str:
    """Return the rows of each window of a sound, or why it cannot be embedded."""
    if not sound.samples.numel():
        return "no samples"
    if not sound.samples.isfinite().all():
        return "samples that are not finite"
    cut = windows.cut(sound) if windows else [sound]
    rows = [backbone.embed(window.samples, window.sample_rate) for window in cut]
    if not any(len(some) for some in rows):
        return f"too short for '{backbone.name}'"
    if not all(some.isfinite().all() for some in rows):
        return f"too large for the precision of '{backbone.name}'"
    return rows


def _notes(sounds: Sequence[_Embedded]) -> Iterator[str]:
    """Yield what is unusual about sounds that were embedded."""
    if mute := [sound.name for sound in sounds if sound.silent]:
        verb = "are" if len(mute) > 1 else "is"
        yield Note(
            f"{listed(mute, 'sound')} {verb} silent, and scored all the same.",
            f"silent sounds ({len(mute)}) are scored all the same",
        )
    if loud := [sound.name for sound in sounds if sound.peak > 1]:
        peak = max(sound.peak for sound in sounds)
        yield Note(
            f"{listed(loud, 'sound')} beyond full scale, with peaks of up to {peak:.4g}.", rank=3
        )
    rates = Counter(sound.sample_rate for sound in sounds)
    if len(rates) > 1:
        counted = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        yield Note(
            f"The sounds have different sample rates: {counted}.",
            "the sounds have different sample rates",
        )
    seconds = [sound.seconds for sound in sounds]
    if max(seconds) > 1.5 * min(seconds):
        yield Note(f"The sounds last from {min(seconds):.2f} to {max(seconds):.2f} s.", rank=3)


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    """Open a temporary file for gigabytes of vectors; memory where no folder takes one."""
    try:
        file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    except OSError as error:  # in TMPDIR, /tmp and the current folder
        warnings.warn(
            f"There is no folder for temporary files ({error.strerror or error}): vectors are kept "
            "in memory. Set TMPDIR to a folder that can be written.",
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

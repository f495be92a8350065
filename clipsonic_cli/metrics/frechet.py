"""The Frechet distance of two sets of vectors, each modelled as a Gaussian, and their files."""

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.errors import UsageError

ROUNDING = 1e-6
"""Allowed asymmetry and negative eigenvalue of a covariance, relative to its largest entry."""
MAX_DIM = 4096
"""Most dimensions of features; PANNs has 2048."""
MAX_BYTES = 256 << 20
"""Most bytes of a file of statistics."""
MAX_VECTORS = 10**9
FIELDS = {
    "n": ("i", 0),
    "mean": ("f", 1),
    "cov": ("f", 2),
    "sounds": ("i", 0),
    "windows": ("f", 0),
    "alike": ("f", 0),
    "sample_rate": ("i", 0),
    "seconds": ("f", 0),
    "backbone": ("U", 0),
    "identity": ("U", 0),
}
"""NumPy kind and number of axes of each array in a file; its "windows" and "alike" are
:attr:`Statistics.cluster_size` and :attr:`Statistics.icc`."""
SAVE_AGAIN = "save them again with `save_stats`, or give the sounds themselves."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussian:
    """Mean and covariance of 2 vectors or more."""

    n: int
    """Number of vectors: the fewer, the larger a distance comes out."""
    mean: Tensor
    """(D,) float64."""
    cov: Tensor
    """(D, D) float64, divided by n - 1; of any rank."""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"need 2 vectors or more for a covariance, got {self.n}")
        mean, cov = self.mean, self.cov
        if mean.ndim != 1 or not len(mean) or cov.shape != (len(mean), len(mean)):
            raise ValueError(
                f"need a mean (D,) and a covariance (D, D), got {tuple(mean.shape)} and "
                f"{tuple(cov.shape)}"
            )
        if mean.dtype != torch.float64 or cov.dtype != torch.float64:
            raise ValueError(f"need float64, got {mean.dtype} and {cov.dtype}")
        if not mean.isfinite().all() or not cov.isfinite().all():
            raise ValueError("the mean or the covariance is not finite")
        allowed = ROUNDING * cov.abs().max()
        if (cov - cov.T).abs().max() > allowed:
            raise ValueError("the covariance is not symmetric")
        if (least := torch.linalg.eigvalsh(cov)[0]) < -allowed:
            raise ValueError(f"the covariance has a negative eigenvalue, {float(least):.3g}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """Gaussian of the vectors of a set of sounds, and how strongly those of one sound correlate."""

    gaussian: Gaussian
    sounds: int
    """Number of sounds."""
    cluster_size: float
    """Vectors per sound, averaged over vectors: the sum of squared counts over n."""
    icc: float
    """Intraclass correlation of vectors of one sound, in [0, 1]; 1 for a single sound."""
    sample_rate: int | None = None
    """In Hz; None where the sounds differ."""
    seconds: float | None = None
    """Mean length of the sounds; None where unknown."""

    def __post_init__(self) -> None:
        if not 1 <= self.sounds <= self.n <= MAX_VECTORS:
            raise ValueError(f"{self.n} vectors cannot be of {self.sounds} sounds")
        if not 1 <= self.cluster_size <= self.n or not 0 <= self.icc <= 1:
            raise ValueError(
                f"need a cluster size of 1 to {self.n} and an intraclass correlation of 0 to 1, "
                f"got {self.cluster_size} and {self.icc}"
            )
        rate, seconds = self.sample_rate, self.seconds
        if (rate is not None and rate < 1) or not (seconds is None or 0 < seconds < math.inf):
            raise ValueError(f"sounds cannot have {seconds} s at {rate} Hz")

    @property
    def n(self) -> int:
        """Number of vectors."""
        return self.gaussian.n

    @property
    def dim(self) -> int:
        """Size D of a vector."""
        return len(self.gaussian.mean)

    def effective_sample_size(self, moment: int) -> float:
        """Compute how many independent vectors would estimate a moment as well: n / design effect.

        Args:
            moment: 1 for the mean, 2 for the covariance, which correlation harms less.

        Source:
            Kish 1965 (design effect of clusters); that products of Gaussian vectors correlate by
            the square is Isserlis 1918.
        """
        return self.n / (1 + (self.cluster_size - 1) * self.icc**moment)


class Moments:
    """Mean and covariance of vectors of size ``dim``, added in batches, in constant memory.

    The batches, their order and their size change the result by rounding alone.

    Source:
        Chan, Golub & LeVeque 1983: combines sums of squares about the mean, so that no digits are
        lost where the mean is large against the spread.
    """

    def __init__(self, dim: int) -> None:
        self.n = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)
        """Sum of the outer products of deviations from the mean."""

    def add(self, rows: Tensor) -> None:
        """Add vectors (B, D) of any floating dtype and device; none of them on ValueError."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(f"need rows (B, {len(self.mean)}), got {tuple(rows.shape)}")
        rows = rows.detach().cpu().double()
        if not rows.isfinite().all():
            raise ValueError("the rows are not finite")
        if len(rows):
            mean = rows.mean(0)
            deviations = rows - mean
            shift, total = mean - self.mean, self.n + len(rows)
            between = torch.outer(shift, shift) * (self.n * len(rows) / total)
            self.scatter = self.scatter + deviations.T @ deviations + between
            self.mean = self.mean + shift * (len(rows) / total)
            self.n = total

    def gaussian(self) -> Gaussian:
        """Compute the mean and the unbiased covariance so far; ValueError for under 2 vectors."""
        cov = self.scatter / max(self.n - 1, 1)
        return Gaussian(n=self.n, mean=self.mean, cov=(cov + cov.T) / 2)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    r"""Compute the squared Frechet distance of two Gaussians, as FID and FAD are defined.

    .. math:: |m_a - m_b|^2 + \mathrm{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})

    With factors C = F F^T from symmetric eigendecompositions, the second term is the least of
    \|F_a - F_b U\|^2 over all orthogonal U, and the singular vectors of F_b^T F_a give that U. A
    sum of squares is never negative, complex or NaN, and close sets lose no digits to subtraction,
    of full rank or not. It is symmetric within rounding.

    Source:
        Dowson & Landau 1982; Kilgour et al. 2019 (FAD). The orthogonal U: Bhatia, Jain & Lim
        2019, On the Bures-Wasserstein distance between positive definite matrices.
    """
    if len(a.mean) != len(b.mean):
        raise ValueError(f"need vectors of one size, got {len(a.mean)} and {len(b.mean)}")
    factor_a, factor_b = factor(a.cov), factor(b.cov)
    rank = max(factor_a.shape[1], factor_b.shape[1])
    factor_a, factor_b = (F.pad(f, (0, rank - f.shape[1])) for f in (factor_a, factor_b))
    left, _, right = torch.linalg.svd(factor_b.T @ factor_a)
    between_covs = (factor_a - factor_b @ (left @ right)).square().sum()
    return float((a.mean - b.mean).square().sum() + between_covs)


def factor(cov: Tensor) -> Tensor:
    """Compute F (D, R) with F F^T a covariance (D, D) of rank R, small for few vectors."""
    values, vectors = torch.linalg.eigh(cov)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    columns: Tensor = vectors[:, kept] * values[kept].sqrt()
    return columns


def write_statistics(path: Path, statistics: Statistics, *, backbone: str, identity: str) -> None:
    """Write statistics of a backbone's features to an ``.npz``, whole or not at all.

    Raises:
        ValueError: The weights have no identity, as they are in no file.
        OSError: There is no such folder, or the file cannot be written.
    """
    if not identity:
        raise ValueError(f"the weights of '{backbone}' have no identity; read them from a file")
    with written(path) as temporary, temporary.open("wb") as file:  # a path would gain a suffix
        np.savez(
            file,
            n=np.int64(statistics.n),
            mean=statistics.gaussian.mean.cpu().numpy(),
            cov=statistics.gaussian.cov.cpu().numpy(),
            sounds=np.int64(statistics.sounds),
            windows=np.float64(statistics.cluster_size),
            alike=np.float64(statistics.icc),
            sample_rate=np.int64(statistics.sample_rate or 0),
            seconds=np.float64(statistics.seconds or 0),
            backbone=np.str_(backbone),
            identity=np.str_(identity),
        )


def read_statistics(path: Path, *, backbone: str, identity: str | None = None) -> Statistics:
    """Read a file by :func:`write_statistics`; nothing in it is executed.

    An identity of None, for weights that are not loaded yet, matches any.

    Raises:
        UsageError: The file is missing, damaged, of another kind, or of another network's features.
    """
    try:
        fields = _read_fields(path)
        made_by, weights = str(fields["backbone"]), str(fields["identity"])
        mean, cov = (torch.from_numpy(fields[name].astype(np.float64)) for name in ("mean", "cov"))
        statistics = Statistics(
            gaussian=Gaussian(n=int(fields["n"]), mean=mean, cov=cov),
            sounds=int(fields["sounds"]),
            cluster_size=float(fields["windows"]),
            icc=float(fields["alike"]),
            sample_rate=int(fields["sample_rate"]) or None,
            seconds=float(fields["seconds"]) or None,
        )
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise UsageError(
            f"'{path}' holds no statistics of features ({reason}); {SAVE_AGAIN}"
        ) from error
    if made_by != backbone:
        raise UsageError(
            f"'{path}' holds statistics of {made_by!r} features, which cannot be compared with "
            f"those of '{backbone}'; give a file of '{backbone}', or the sounds themselves."
        )
    if identity is not None and weights != identity:
        raise UsageError(
            f"'{path}' holds statistics of features by other weights of '{backbone}' ({weights}) "
            f"than are installed ({identity or 'of no file'}); {SAVE_AGAIN}"
        )
    return statistics


def _read_fields(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of statistics; ValueError where it is damaged or has others."""
    content = io.BytesIO(bounded.read_bytes(path, MAX_BYTES))
    try:
        _check_arrays(content)
        content.seek(0)
        archive = np.load(content, allow_pickle=False)
        fields = {name: archive[name] for name in archive.files}
    # zipfile and NumPy document no closed set of exceptions for damaged archives, and some of
    # NumPy's messages advise unpickling.
    except Exception as error:
        raise ValueError("it is damaged, or no .npz") from error
    seen = {name: (field.dtype.kind, field.ndim) for name, field in fields.items()}
    if seen != FIELDS:
        raise ValueError(
            f"it has {', '.join(sorted(seen)) or 'nothing'}, not {', '.join(sorted(FIELDS))}"
        )
    return fields


def _check_arrays(content: IO[bytes]) -> None:
    """Check number and sizes of the arrays of an .npz by their headers, before allocating them."""
    with zipfile.ZipFile(content) as archive:
        entries = archive.infolist()
        if len(entries) > 2 * len(FIELDS):
            raise ValueError(f"{len(entries)} arrays")
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            size = math.prod(shape) * dtype.itemsize
            if any(n > MAX_DIM for n in shape) or size > entry.file_size or dtype.hasobject:
                raise ValueError(f"an array of {shape} {dtype}")

"""Gather statistics of the frames of a data set in one pass, and of a bank of unpaired texts.

The bank is of nouns (``nouns.txt``, of no data set) in some forms, so that no label is needed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.config import StatisticsConfig
from clipsonic_cli.encoders.clip import BATCH, ClipModel
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.preparation.dataset import Prepared
from clipsonic_cli.preparation.texts import knows
from clipsonic_cli.store.bundle import MAX_LABELS, Bundle, Header
from clipsonic_cli.store.known import KNOWN, KNOWN_BY
from clipsonic_cli.types import Report, silent

KEPT = StatisticsConfig().kept
SAMPLE = 32_768
"""Frames that are clustered, where there are more than are kept: a sample of all."""
ROUNDS = 10
"""Iterations of k-means: seconds on a GPU, a minute on two cores."""
AT_ONCE = 4096
"""Rows that are compared at once, which bounds memory."""
FORMS = ("{}", "a photo of {}", "the sound of {}")
"""Texts that are made of a noun, which is the first."""
SHARE = 0.25
"""Least share of the mean frames of a noun that a noun has which is in the frames."""
NOUNS = tuple(
    " ".join(Path(__file__).with_name("nouns.txt").read_text(encoding="utf-8").split()).split(", ")
)


class FrameSums:
    """Sums over unit vectors (n, D), and a uniform sample of them, whatever pieces they come in.

    Args:
        generator: Chooses the sample.
        sample: Most vectors of it (S).
    """

    def __init__(self, generator: torch.Generator, sample: int = SAMPLE) -> None:
        self.generator, self.sample = generator, sample
        self.count = 0
        self.total = self.squares = torch.zeros((), dtype=torch.float64)
        self._keys, self._rows = torch.zeros(0, dtype=torch.float64), torch.zeros(0)
        self._waiting: list[Tensor] = []

    def add(self, rows: Tensor) -> Self:
        """Add vectors (n, D) float32, and return itself."""
        wide = rows.double()
        self.count += len(rows)
        self.total = self.total + wide.sum(0)
        self.squares = self.squares + wide.square().sum(0)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= AT_ONCE:
            self._draw()
        return self

    @property
    def mean(self) -> Tensor:
        """Mean (D,), float64."""
        return self.total / self.count

    @property
    def variance(self) -> Tensor:
        """Mean square distance from the mean along each axis (D,), float64."""
        return (self.squares / self.count - self.mean.square()).clamp_min(0)

    @property
    def rows(self) -> Tensor:
        """The sample (min(n, S), D), in random order."""
        self._draw()
        return self._rows

    def _draw(self) -> None:
        """Give each new vector a random key, and keep those with the smallest of all."""
        if not self._waiting:
            return
        new = torch.cat(self._waiting)
        keys = torch.rand(len(new), generator=self.generator, dtype=torch.float64)
        keys, rows = torch.cat([self._keys, keys]), torch.cat([self._rows, new])
        order = keys.argsort()[: self.sample]
        self._keys, self._rows, self._waiting = keys[order], rows[order], []


def frame_sums(clips: Prepared, generator: torch.Generator, report: Report = silent) -> FrameSums:
    """Sum and sample all frames of clips, in one pass over their shards."""
    sums = FrameSums(generator)
    for done, clip in enumerate(clips.clips, start=1):
        place = clips.place(clip)
        sums.add(clips.frames(place, 0, place.frames))
        report("frames", done, len(clips))
    return sums


def embed_bank(clip: ClipModel) -> Tensor:
    """Embed the texts of the bank of whose nouns CLIP knows a word, (M, D) float32."""
    return embed(clip, [form.format(noun) for noun in known_nouns(clip) for form in FORMS])


def known_nouns(clip: ClipModel) -> list[str]:
    """Return the nouns of the bank of which CLIP knows a word."""
    return [noun for noun in NOUNS if knows(clip, noun)]


def embed(clip: ClipModel, texts: Sequence[str]) -> Tensor:
    """Embed one or more texts, (M, D) float32."""
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return torch.cat([clip.embed_text(batch)[0] for batch in batches])


def name_sounds(
    statistics: Statistics, clip: ClipModel, labels: Sequence[str | None], bank: Tensor
) -> dict[str, object]:
    """Give statistics the vectors of the sounds in their frames; return the names, for the meta.

    Sounds are the labels (the most frequent 1000) if CLIP knows a word of two or more, which half
    of the clips have; else the nouns of the bank that are the nearest text of enough frames.

    Args:
        statistics: Get the vectors ``known``.
        clip: Whose vectors they are.
        labels: Of each clip, or None.
        bank: Vectors of :func:`embed_bank`.
    """
    counts = Counter(label for label in labels if label is not None)
    names = [name for name, _ in counts.most_common() if knows(clip, name)][:MAX_LABELS]
    if len(names) > 1 and 2 * counts.total() >= len(labels):
        statistics.known = embed(clip, [name.replace("_", " ") for name in names])
        return {KNOWN: names, KNOWN_BY: "labels"}
    texts = bank[:: len(FORMS)]
    of = statistics.nearest_text(statistics.frames, texts)
    frames = of.bincount(weights=statistics.sizes, minlength=len(texts))
    enough = frames >= SHARE * frames[frames > 0].mean()
    statistics.known = texts[enough]
    names = [noun for noun, is_there in zip(known_nouns(clip), enough, strict=True) if is_there]
    return {KNOWN: names, KNOWN_BY: "nouns"}


def summarize(
    sums: FrameSums, texts: Tensor, *, kept: int = KEPT, device: torch.device | str = "cpu"
) -> Statistics:
    """Build the statistics of frames and of the bank's vectors (M, D).

    More frames than are kept become the centres of as many clusters, found on the device.
    """
    frames, sizes = cluster(sums.rows.to(device), kept)
    wide = texts.double()
    config = StatisticsConfig(
        dim=texts.shape[1], kept=len(frames), count=sums.count, texts=len(texts)
    )
    statistics = Statistics(config)
    tensors = {
        "frame_mean": sums.mean,
        "frame_variance": sums.variance,
        "text_mean": wide.mean(0),
        "text_variance": wide.var(0, correction=0),
        "frames": frames,
        "sizes": sizes * (sums.count / sizes.sum()),
    }
    statistics.load_state_dict(tensors, strict=False)
    statistics.drifted_mean.copy_(statistics.scaled(texts).mean(0))
    return statistics


def measure(bridge: Bridge, sums: FrameSums, texts: Tensor) -> None:
    """Give a bridge the means of frames and of the bank's vectors (M, D), and its radius."""
    bridge.frame_mean.copy_(sums.mean)
    bridge.text_mean.copy_(texts.mean(0))
    bridge.radius.copy_((sums.rows - bridge.frame_mean.cpu()).norm(dim=1).mean())


def cluster(rows: Tensor, count: int, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Cluster unit vectors (n, D) in random order by their cosines.

    Returns:
        Centres (K, D) of unit norm, K = min(n, count), and the vectors in each (K,).

    Source: Dhillon and Modha 2001, spherical k-means; the first rows are where it starts.
    """
    centres = rows[:count]
    if len(rows) <= count:
        return centres, torch.ones(len(centres), device=rows.device)
    for _ in range(rounds):
        nearest = _nearest(rows, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        # A centre that no row is nearest to stays.
        centres = torch.where(sums.norm(dim=1, keepdim=True) > 0, F.normalize(sums, dim=1), centres)
    sizes = torch.bincount(_nearest(rows, centres), minlength=count).float()
    used = sizes > 0
    return centres[used], sizes[used]


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """Return the number of the nearest centre of each row, (n,)."""
    return torch.cat([(part @ centres.T).argmax(1) for part in torch.split(rows, AT_ONCE)])


def as_bundle(statistics: Statistics, clip: ClipModel, meta: Mapping[str, object]) -> Bundle:
    """Return the part of a model that holds statistics; most vectors in half precision."""
    weights = dict(statistics.state_dict())
    for name in {"frames", "known"} & weights.keys():
        weights[name] = weights[name].half()
    header = Header(
        kind="statistics",
        config=statistics.config,
        space="clip-image",
        encoder=clip.identity,
        meta=dict(meta),
    )
    return Bundle(header=header, weights=weights)

"""Compare the ways from text that a model has, and make the best one its default.

The measure is Table 2's cosine: of the vector that a way makes of a text with the frames the text
is about. Where frames have labels, those are the texts; else each frame is about the text of a bank
that CLIP itself finds most like it once the gap between texts and frames is removed. On mini's data
it orders the ways as the labels do (``recipes/mini/results/ways.md``), if no frame that is compared
is one of those that ``rt`` averages.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.encoders.transfer import RetrievalEncoder
from clipsonic_cli.errors import BadBundle, ClipsonicError
from clipsonic_cli.metrics.intervals import LEAST, Interval, of_mean
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.modes import MODES, WAYS
from clipsonic_cli.parts import Parts
from clipsonic_cli.preparation.dataset import Prepared
from clipsonic_cli.preparation.statistics import NOUNS
from clipsonic_cli.preparation.texts import knows
from clipsonic_cli.store import bundle
from clipsonic_cli.store.default_mode import FITS, KEY
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.types import Encoder, Query, Report, silent

FRAMES = 512
"""Frames compared, at most."""
TEXTS = 32
"""Texts compared, at most: a prior of the paper's size takes seconds for each on a CPU."""
AT_ONCE = 16
"""Texts in a batch."""
APART = 0.5
"""Least share of the best centred cosine that a default way has."""
DOUBTFUL = 0.2
"""Centred cosine below which texts and frames have little in common."""
HELD_OUT = 16
"""Clips that are enough to compare by those that were not trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How well each way from text fits the frames."""

    fits: Mapping[str, float]
    """By mode, the best first: mean cosine of a text's vector with its frames."""
    apart: Mapping[str, float]
    """By mode: the same from the mean frame, which is 0 for one vector for all texts."""
    by: str
    """What was compared, for people."""
    cosines: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    """By mode, (N,): those of the frames."""
    text_of: Tensor = field(default_factory=lambda: torch.zeros(0), compare=False, repr=False)
    """(N,) int64, the number of each frame's text."""

    @property
    def best(self) -> str:
        """The mode that fits best, among those that tell texts apart."""
        least = APART * max(self.apart.values())
        return next(mode for mode in self.fits if self.apart[mode] >= least)

    def without(self, mode: str) -> "Comparison":
        """Return the comparison of the other modes."""
        fits = {name: fit for name, fit in self.fits.items() if name != mode}
        return replace(self, fits=fits, apart={name: self.apart[name] for name in fits})

    def advantage(self, mode: str, other: str) -> tuple[float, Interval | None]:
        """Compute by how much a mode's mean cosine is above another's, and the interval of that.

        The unit is the text, as frames of one text have a vector in common; the frame where texts
        are too few for an interval.
        """
        ahead = (self.cosines[mode] - self.cosines[other]).double()
        texts = sorted(set(self.text_of.tolist()))
        means = torch.stack([ahead[self.text_of == text].mean() for text in texts])
        values = ahead if len(means) < LEAST else means
        interval = of_mean(values, generator=torch.Generator().manual_seed(0))
        return float(values.mean()), interval

    def __str__(self) -> str:
        fits = ", ".join(f"{mode} {fit:.2f}" for mode, fit in self.fits.items())
        doubt = "" if self.apart[self.best] >= DOUBTFUL else "; text hardly fits these frames"
        return f"text goes by mode {self.best}: cosines with frames {fits} (by {self.by}){doubt}"


def most_used(text_of: Tensor, count: int) -> Tensor:
    """Return the values of (N,) that occur most often, at most so many."""
    counts = text_of.bincount()
    order = counts.argsort(descending=True, stable=True)
    return order[: min(count, int((counts > 0).sum()))]


def compare(
    parts: Parts,
    frames: Tensor,
    labels: Sequence[str | None],
    *,
    memory: Tensor | None = None,
    report: Report = silent,
) -> Comparison | None:
    """Compare the ways from text to what a model's U-Net reads.

    Args:
        parts: The model's; without statistics there is nothing to compare by.
        frames: (N, D) of unit norm.
        labels: The label of each frame, or None; used if CLIP knows two of them or more.
        memory: (K, D), frames that retrieval averages instead of those of the statistics, where
            these have the frames that are compared.
        report: Receives ("ways from text", done, total).
    """
    modes = text_modes(parts)
    if not modes or not len(frames):
        return None
    encoder = parts.encoder(MODES["ms"], candidates=1)
    clip: ClipModel = encoder.clip  # type: ignore[attr-defined]
    statistics: Statistics = encoder.statistics  # type: ignore[attr-defined]
    statistics = copy.deepcopy(statistics).cpu()
    # Find the text of each frame.
    names = sorted({label for label in labels if label is not None and knows(clip, label)})
    has_labels = len(names) > 1
    if has_labels:
        kept = [place for place, label in enumerate(labels) if label in names]
        frames = frames[kept]
        text_of = torch.tensor([names.index(str(labels[place])) for place in kept])
    else:
        names = [noun for noun in NOUNS if knows(clip, noun)]
        bank = torch.cat([clip.embed_text([prompt(name, "clip-text")])[0] for name in names])
        text_of = statistics.nearest_text(frames, bank)
    used = most_used(text_of, TEXTS)
    inside = torch.isin(text_of, used)
    frames, text_of = frames[inside], (text_of[inside, None] == used).int().argmax(1)
    queries = [Query(text=prompt(names[place], "clip-text")) for place in used.tolist()]
    # Compare.
    if memory is not None:
        statistics.frames, statistics.sizes = memory, torch.ones(len(memory))
    fits, apart, cosines = {}, {}, {}
    for done, mode in enumerate(modes):
        report("ways from text", done, len(modes))
        encode = parts.encoder(MODES[mode], candidates=1)  # half the time of the default
        if mode == "rt":
            encode = RetrievalEncoder(clip, statistics)
        embed, mean = _embed(encode, queries)[text_of], statistics.frame_mean
        cosines[mode] = (embed * frames).sum(1)
        fits[mode] = round(float(cosines[mode].mean()), 4)
        centred = F.cosine_similarity(embed - mean, frames - mean)
        apart[mode] = round(float(centred.mean()), 4)
    report("ways from text", len(modes), len(modes))
    order = sorted(fits, key=lambda mode: -fits[mode])
    by = f"the labels of {len(frames)} frames" if has_labels else f"{len(frames)} frames, no labels"
    return Comparison(
        fits={mode: fits[mode] for mode in order},
        apart=apart,
        by=by,
        cosines=cosines,
        text_of=text_of,
    )


def text_modes(parts: Parts) -> list[str]:
    """Return the modes that turn a text into what the U-Net for frames reads, if any is there."""
    able = []
    for name in [name for name in parts.folder.modes() if name in WAYS]:
        try:
            parts.check(MODES[name].weights, MODES[name])
        except BadBundle:  # a published prior of another CLIP, for one
            continue
        able.append(name)
    return able if "ms" in able else []


def _embed(encode: Encoder, queries: Sequence[Query]) -> Tensor:
    """Return the vectors (M, D) of an encoder."""
    rows = []
    for start in range(0, len(queries), AT_ONCE):
        some = queries[start : start + AT_ONCE]
        noise = SeededNoise(range(start, start + len(some)))
        rows.append(encode(some, noise=noise).embed)
    return torch.cat(rows)


def is_due(model: ModelFolder, part: str) -> bool:
    """Return whether a model's ways from text are others than were compared, or one is new."""
    ways = text_modes(Parts(model, torch.device("cpu"), torch.float32))
    if not ways:
        return False
    fits = bundle.read_header(model.part("statistics")).meta.get(FITS)
    return (
        not isinstance(fits, dict) or set(fits) != set(ways) or part.startswith(("prior", "bridge"))
    )


def frames_of(clips: Prepared) -> tuple[Tensor, list[str | None]]:
    """Return the middle frame of some clips, evenly spaced, (N, D), and their labels."""
    step = max(1, -(-len(clips) // FRAMES))
    chosen = [clip for clip in clips.clips[::step] if clips.place(clip).frames]
    places = [clips.place(clip) for clip in chosen]
    rows = [clips.frames(place, place.frames // 2, 1) for place in places]
    return torch.cat(rows), [clips.catalogue.labels[clip] for clip in chosen]


def choose_default_mode(
    model: ModelFolder,
    clips: Prepared,
    held_out: Prepared | None,
    device: torch.device,
    *,
    on_message: Callable[[str], None] = lambda _line: None,
    report: Report = silent,
) -> Comparison | None:
    """Compare the ways from text by clips' frames, and store the best in the model's statistics.

    The frames are of clips held out, or where these are few, of those trained on. A failure is a
    message, and leaves the model as it was.
    """
    try:
        found = compare_by_clips(model, clips, held_out, device, report=report)
    except (ClipsonicError, torch.OutOfMemoryError) as error:
        on_message(f"the ways from text are not compared: {str(error).splitlines()[0]}")
        return None
    if found is not None:
        store(model, found)
        on_message(str(found))
    return found


def compare_by_clips(
    model: ModelFolder,
    clips: Prepared,
    held_out: Prepared | None,
    device: torch.device,
    *,
    report: Report = silent,
) -> Comparison | None:
    """Compare the ways from text by frames of the clips of :func:`choose_default_mode`."""
    memory = None
    if held_out is not None and len(held_out) >= HELD_OUT:
        frames, labels = frames_of(held_out)
    else:  # every other clip is compared, and the others are what is retrieved
        frames, labels = frames_of(Prepared(clips.catalogue, clips.clips[::2]))
        memory, _ = frames_of(Prepared(clips.catalogue, clips.clips[1::2] or clips.clips))
    parts = Parts(model, device, torch.float32)
    # Networks begin with random weights, before they are given their own.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return compare(parts, frames, labels, memory=memory, report=report)


def store(model: ModelFolder, found: Comparison) -> None:
    """Store the best way from text, and how well each fits, in the model's statistics."""
    path = model.part("statistics")
    part = bundle.load(path, kind="statistics")
    meta = part.header.meta | {KEY: found.best, FITS: dict(found.fits), "fits_by": found.by}
    bundle.write(path, replace(part, header=replace(part.header, meta=meta)))

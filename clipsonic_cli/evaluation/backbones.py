"""Which network embeds audio for a metric: the paper's where it was downloaded, else our own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES
from clipsonic_cli.metrics.features import embed_prompts, embed_sounds
from clipsonic_cli.metrics.metric import Metric, parse
from clipsonic_cli.metrics.mini import known_labels, names_known_label
from clipsonic_cli.store import assets
from clipsonic_cli.store.manifest import ASSETS, find
from clipsonic_cli.text import printable
from clipsonic_cli.types import AudioTextBackbone, Backbone, Note, Score, Waveform

EMBEDDED = "mini"
"""The backbone inside the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRun:
    """A metric and the backbone chosen for it."""

    metric: Metric
    backbone: str
    """A name of ``metrics.BACKBONES``; for a metric of query vectors, its encoder."""
    instead_of: str | None = None
    """The metric's own backbone where another stands in, as it is not on this machine."""

    @property
    def label(self) -> str:
        """The name of its scores, as ``types.Score.label`` has it."""
        own = self.backbone == self.metric.backbone
        return self.metric.name if own else f"{self.metric.name}[{self.backbone}]"

    @property
    def own_classes(self) -> bool:
        """Whether class probabilities come from the backbone's own classes, not from prompts."""
        metric = self.metric
        return metric.needs_classes and not metric.needs_prompts and _has(self.backbone, "tag")

    @property
    def needs_prompts(self) -> bool:
        """Whether prompts are needed, to compare with or as classes."""
        metric = self.metric
        return metric.needs_prompts or (metric.needs_classes and not self.own_classes)

    @property
    def is_possible(self) -> bool:
        """Whether the backbone has what is needed: ratings, or embeddings of texts or images."""
        return self.lacking is None

    @property
    def lacking(self) -> str | None:
        """What is needed that the backbone lacks, with its article."""
        rates = _has(self.backbone, "ratings")
        if rates != self.metric.needs_ratings:
            return "embeddings" if rates else "ratings"
        if self.needs_prompts and not _has(self.backbone, "embed_text"):
            return "a text encoder"
        if self.metric.needs_images and not _has(self.backbone, "embed_images"):
            return "an image encoder"
        return None


def choose(names: Sequence[str]) -> list[MetricRun]:
    """Choose the backbone of each metric, from headers alone; each pair comes once.

    Args:
        names: Such as "fad", for the paper's backbone or ours in its place, or "fad:clap", for
            that backbone alone.

    Raises:
        UsageError: There is no such metric or backbone, or the two do not fit.
        MissingWeights: The backbone that was named is not on this machine.
    """
    chosen: dict[tuple[str, str], MetricRun] = {}
    for name in names:
        run = _choose(name)
        # "fad" and "fad:mini" are one where our own network stands in.
        chosen.setdefault((run.metric.name, run.backbone), run)
    return list(chosen.values())


def _choose(name: str) -> MetricRun:
    metric, backbone = parse(name)
    named = ":" in name
    run = MetricRun(metric=metric, backbone=backbone)
    if not metric.needs_audio:
        if named:
            raise UsageError(
                f"'{metric.name}' compares a model's own query vectors and uses no backbone; leave "
                f"':{backbone}' out."
            )
        return run
    if not run.is_possible:
        able = [row for row in BACKBONES if MetricRun(metric=metric, backbone=row).is_possible]
        raise UsageError(
            f"'{metric.name}' needs a backbone with {run.lacking}, which '{backbone}' lacks. "
            f"Known: {', '.join(able)}."
        )
    if is_here(backbone):
        return run
    substitute = MetricRun(metric=metric, backbone=BACKBONES.check(EMBEDDED), instead_of=backbone)
    if named or not substitute.is_possible:
        assets.file_of(find(backbone))  # raises, and says how to get it
    return substitute


def _has(backbone: str, method: str) -> bool:
    return hasattr(BACKBONES.load(backbone), method)


def notes_of(runs: Sequence[MetricRun]) -> list[str]:
    """Format which metrics run without the paper's backbone, and how to get it."""
    replaced = [run for run in runs if run.instead_of is not None]
    absent = dict.fromkeys(str(run.instead_of) for run in replaced)
    if not absent:
        return []
    missing, labels = ", ".join(absent), ", ".join(run.label for run in replaced)
    command = f"clipsonic download {' '.join(absent)}"
    return [
        Note(
            f"not on this machine: {missing}; the small network inside clipsonic stands in, and "
            f"its scores compare with no others: {labels}. For the paper's: {command}",
            f"not on this machine: {missing}; {labels} compare with no others; see {command}",
        )
    ]


def is_here(backbone: str) -> bool:
    """Return whether a backbone can be loaded: its weights are here, or it needs no download."""
    if backbone not in ASSETS:
        return True
    return assets.state(find(backbone)) == "here" or assets.part_here(backbone) is not None


def load(backbone: str, device: torch.device) -> Backbone:
    """Load a backbone from its weights."""
    loaded: Backbone = BACKBONES.load(backbone).load(device)
    return loaded


class Ranking:
    """Scores of single sounds, to keep the best of several.

    CLAP was trained on pairs of texts and sounds: what is kept by it owes something to those,
    though the model that made the sounds does not. The embedded network stands in where CLAP was
    not downloaded.

    Args:
        texts: Prompts; all are embedded at once.
        device: Where the network runs.
        by: A metric: "clap", how well a sound fits its text; or "aes", its production quality,
            whatever it was made from.

    Raises:
        UsageError: A text has no words that the network knows, or names no sound that the
            embedded network was trained on.
        MissingWeights: The network of "aes" was not downloaded.
        ClipsonicError: Weights are damaged, or a package is missing.
    """

    def __init__(self, texts: Iterable[str], device: torch.device, *, by: str = "clap") -> None:
        (self._run,) = choose([by])
        texts = list(dict.fromkeys(texts)) if self._run.needs_prompts else []
        strange = [text for text in texts if not names_known_label(text)]
        if strange and self._run.backbone == EMBEDDED:
            raise UsageError(
                f"`keep` cannot rank sounds of '{printable(strange[0])}': the small network inside "
                f"clipsonic knows {len(known_labels())} kinds of sound alone, and none of them is "
                "in these words. For any words: clipsonic download clap; or leave `keep` out, or "
                "rank by quality alone: `keep_by` aes."
            )
        self.notes = notes_of([self._run])
        """Which network ranks, for people."""
        self._backbone = load(self._run.backbone, device)
        of_texts = cast(AudioTextBackbone, self._backbone)
        self._texts = {t: embed_prompts({"": t}, of_texts) for t in texts}

    def __call__(self, sound: Waveform, text: str) -> Score:
        """Score one sound, made from one of the texts, as an evaluation of it alone does.

        Raises:
            UsageError: The sound has no samples.
        """
        embedded = embed_sounds([("", sound)], self._backbone)
        generator = torch.Generator().manual_seed(0)
        against = self._texts[text] if self._texts else embedded
        score, *_ = self._run.metric(embedded, against, generator=generator)
        return score

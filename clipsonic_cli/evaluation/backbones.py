"""Which network hears for which metric: the paper's where it is on this machine, else our own.

Knows: what is here. Does not know: sounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES
from clipsonic_cli.metrics.metric import Metric, asked
from clipsonic_cli.store import assets
from clipsonic_cli.store.manifest import ASSETS, find
from clipsonic_cli.types import Backbone

EMBEDDED = "mini"
"""The backbone inside the package."""
OF_TEXTS = ("prompts", "labels", "originals")
"""What sounds are compared with by a network that reads; originals also by one that tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRun:
    """A metric, and who hears for it.

    Args:
        metric: What is computed.
        backbone: A name of ``metrics.BACKBONES``; the metric's own where that is none, as of
            similarity, which hears nothing.
        instead_of: The metric's own, where that is not on this machine; None where it is heard by
            that, or by what was asked for.
    """

    metric: Metric
    backbone: str
    instead_of: str | None = None

    @property
    def label(self) -> str:
        """The name of its scores, as ``types.Score.label`` has it."""
        own = self.backbone == self.metric.backbone
        return self.metric.name if own else f"{self.metric.name}[{self.backbone}]"

    @property
    def reads(self) -> bool:
        """Whether prompts are needed."""
        return self.metric.against in OF_TEXTS and not _tags(self.metric, self.backbone)


def choose(names: Sequence[str]) -> list[MetricRun]:
    """Gives the metrics a person asked for, each once with each backbone; reads no weights.

    Args:
        names: Such as "fad", which takes the paper's network or our own, or "fad:clap", which
            insists.

    Raises:
        UsageError: There is no such metric or backbone, or the two do not go together.
        MissingWeights: The backbone insisted on is not on this machine.
    """
    chosen: dict[tuple[str, str], MetricRun] = {}
    for name in names:
        one = _choose(name)
        # "fad" and "fad:mini" are one where our own network stands in.
        chosen.setdefault((one.metric.name, one.backbone), one)
    return list(chosen.values())


def _choose(name: str) -> MetricRun:
    metric, backbone = asked(name)
    insisted = ":" in name
    if metric.backbone not in BACKBONES:
        if insisted:
            raise UsageError(
                f"'{metric.name}' is of the model's own vectors and hears nothing; ask for it "
                f"without ':{backbone}'."
            )
        return MetricRun(metric=metric, backbone=backbone)
    hearing = MetricRun(metric=metric, backbone=backbone)
    if hearing.reads and not _reads(backbone):
        able = [row for row in BACKBONES if _reads(row) or _tags(metric, row)]
        raise UsageError(
            f"'{metric.name}' needs a backbone that reads texts, which '{backbone}' does not. "
            f"Known: {', '.join(able)}."
        )
    if is_here(backbone):
        return hearing
    if insisted:
        assets.file_of(find(backbone))  # says how to get it
    return MetricRun(metric=metric, backbone=BACKBONES.check(EMBEDDED), instead_of=backbone)


def _reads(backbone: str) -> bool:
    """Whether a backbone puts texts among the sounds."""
    return hasattr(BACKBONES.load(backbone), "embed_text")


def _tags(metric: Metric, backbone: str) -> bool:
    """Whether a metric of tags can be had from a backbone's own classes."""
    return metric.against == "originals" and hasattr(BACKBONES.load(backbone), "tag")


def notes_of(hearings: Sequence[MetricRun]) -> list[str]:
    """Says which metrics are not heard by their own network, and how they could be."""
    absent = dict.fromkeys(one.instead_of for one in hearings if one.instead_of is not None)
    if not absent:
        return []
    labels = ", ".join(one.label for one in hearings if one.instead_of is not None)
    return [
        f"not on this machine: {', '.join(absent)}; the small network inside clipsonic hears "
        f"instead, and its scores compare with no others: {labels}. For the paper's: "
        f"clipsonic download {' '.join(absent)}"
    ]


def is_here(backbone: str) -> bool:
    """Whether a backbone can be loaded: its weights are here, or it has none to download."""
    if backbone not in ASSETS:
        return True
    return assets.state(find(backbone)) == "here" or assets.part_here(backbone) is not None


def load(backbone: str, device: torch.device) -> Backbone:
    """Reads a backbone's weights.

    Raises:
        ClipsonicError: They are missing or damaged, or a package is missing.
    """
    loaded: Backbone = BACKBONES.load(backbone).load(device)
    return loaded

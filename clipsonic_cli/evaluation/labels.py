"""Whether the network of scores by labels knows these labels, and what that means for a report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.backbones import EMBEDDED
from clipsonic_cli.metrics.features import Features, embed_prompts
from clipsonic_cli.metrics.label_check import LabelCheck, check_labels
from clipsonic_cli.metrics.mini import names_known_label
from clipsonic_cli.text import printable
from clipsonic_cli.types import AudioTextBackbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a network knows the labels of an evaluation."""

    known: bool | None
    """None where that could not be checked."""
    why: str
    """What it rests on, for people."""
    ranks: bool
    """Whether scores by these labels may order systems: the small network has to be checked."""
    brief: str = "its network may not know these labels"
    """A short form of ``why`` where they may not."""
    check: LabelCheck | None = None

    def details(self) -> dict[str, Any]:
        """Return the verdict as JSON holds it."""
        numbers = None if self.check is None else asdict(self.check)
        return {"known": self.known, "ranks": self.ranks, "why": self.why, "check": numbers}


def judge(
    backbone: AudioTextBackbone,
    prompts: Mapping[str, str],
    truth: Features | None,
    *,
    generator: torch.Generator,
) -> Verdict:
    """Judge whether a network knows labels: by true sounds, else by what it was trained on.

    Args:
        backbone: The network.
        prompts: The texts of all sounds, by their names.
        truth: True sounds, of which those with a prompt count; None where there are none.
        generator: Draws the pairings of :func:`check_labels`.
    """
    named = [] if truth is None else [name for name in truth.names if name in prompts]
    labels = {name: prompts[name] for name in named}
    count = len(set(labels.values()))
    check = None
    if truth is not None and count > 1:
        try:
            texts = embed_prompts({text: text for text in labels.values()}, backbone)
        except UsageError as error:  # none of the words of a label
            why = f"its network does not know these labels: {str(error).rstrip('.')}"
            return Verdict(known=False, why=why, ranks=False)
        check = check_labels(truth.only(named), labels, texts, generator=generator)
        if check.known is not None:
            what = "knows" if check.known else "does not know"
            why = (
                f"its network {what} these labels: real sounds score {check.own:.3f} with their "
                f"own labels and {check.swapped:.3f} with others ({check.sounds} sounds, "
                f"{check.labels} labels)"
            )
            brief = (
                f"real sounds score {check.own:.3f} with their own labels, "
                f"{check.swapped:.3f} with others"
            )
            return Verdict(known=check.known, why=why, ranks=check.known, brief=brief, check=check)
    embedded = backbone.name == EMBEDDED
    strange = [text for text in prompts.values() if not names_known_label(text)]
    if embedded and not strange:
        why = "its network was trained on these labels"
        return Verdict(known=True, why=why, ranks=True, check=check)
    reason = f"{count} labels are too few to tell from chance; give 4 or more"
    if count < 2:
        reason = "all true sounds have one label" if count else "no true sounds have these labels"
    example = f", such as '{printable(next(iter(strange), ''))}'" if embedded else ""
    why = f"whether its network knows these labels{example}, was not checked: {reason}"
    return Verdict(known=None, why=why, ranks=not embedded, check=check)

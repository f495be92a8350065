"""Systems, their reference and their queries: what sources hand to the scoring."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipsonic_cli.metrics.features import Features


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A set of sounds that is scored."""

    name: str
    model: str | None = None
    """Which of several models it is of; its name begins that of the system."""
    guidance: float | None = None
    """The paper's w; None where nothing was guided."""
    sounds: Mapping[str, Path] = field(default_factory=dict)
    """Files by name."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Texts of the sounds that have one, by the sounds' names."""
    images: Mapping[str, Path] = field(default_factory=dict)
    """Images of the sounds that have one, by the sounds' names."""
    of_reference: bool = False
    """Whether the sounds were made from those of the reference, as reconstructions are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The sounds that systems are compared with, or statistics of them."""

    description: str
    sounds: Mapping[str, Path] = field(default_factory=dict)
    """Files by name; none where there are only statistics."""
    statistics: Path | None = None
    of_clips: bool = False
    """Whether the sounds are the test clips' own, which reconstructions are made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVectors:
    """Vectors of the queries in one mode, and what they are compared with."""

    system: str
    model: str | None = None
    """Name of the model, where several are compared (see :class:`System`)."""
    made: Features
    images: Features
    """The true image of each query."""
    labels: tuple[str, ...]
    """The label of each."""
    frames: Features | str
    """Frames of the training that the model keeps, or why it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSet:
    """All systems of an evaluation."""

    systems: tuple[System, ...] = ()
    truth: Reference | None = None
    """The test clips' own sounds."""
    vectors: tuple[QueryVectors, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What decided the sounds, for the report."""
    notes: tuple[str, ...] = ()
    """Differences from what was requested."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Files that are not scored, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What metrics and raters need of a source."""

    audio: bool = True
    prompts: bool = False
    images: bool = False
    """Images of the clips, whatever the modes."""
    vectors: bool = False
    """Query vectors of a model."""

"""What is kept of every clip of a data set. Standard library only."""

from dataclasses import dataclass, field

from clipsonic_cli import ranges
from clipsonic_cli.config import MelSpec
from clipsonic_cli.ranges import check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationConfig:
    """What is kept of every clip."""

    mel: MelSpec = field(default_factory=MelSpec)
    frame_rate: float = 1.0
    """Frames a second that CLIP embeds (1 in CLIPSep, Dong et al. 2023)."""
    encoder: str | None = None
    """Identity of that CLIP; None keeps no frames, as a vocoder needs none."""
    waves: bool = False
    """Keep the waveform too, which a vocoder needs."""

    def __post_init__(self) -> None:
        check_fields(self, {"frame_rate": ranges.FRAME_RATE})

"""What is kept of every clip of a data set. Standard library only."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from clipsonic_cli import ranges
from clipsonic_cli.config import MelSpec
from clipsonic_cli.from_dict import from_dict
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
    crops: int = 0
    """Random crops of each frame that CLIP embeds too."""

    def __post_init__(self) -> None:
        check_fields(self, ranges.PREPARATION)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, without ``crops`` where there are none: so 0.1.0 wrote them."""
        fields = asdict(self)
        return fields if self.crops else {name: fields[name] for name in fields if name != "crops"}

    @classmethod
    def from_dict(cls, fields: object) -> Self:
        """Build a configuration from what :meth:`to_dict` returns; else raise a ValueError."""
        stated = {"crops": 0} | fields if isinstance(fields, dict) else fields
        return from_dict(cls, stated, "preparation")

"""How the preset "paper" differs from the paper, and where the paper is silent: departures.md.

The model card prints its tables, the README lists the first, and the tests check both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clipsonic_cli.models.clip import PAPER
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training.presets import paper_settings
from clipsonic_cli.training.run_config import Extensions, RunConfig
from clipsonic_cli.training.stages import STAGES, size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A difference from the paper or its code, or a choice where both are silent."""

    name: str
    """A few words, for the README."""
    parts: tuple[str, ...]
    """File stems of the parts of a model that it concerns."""
    theirs: str
    """What the paper says, or the code it names does."""
    ours: str
    why: str


TABLE = Path(__file__).with_name("departures.md")
UNETS = tuple(part.name for part in STAGES["unet"].parts.values())
ALL = (*UNETS, "prior-sd", "vocoder")
GROUPS = {"all": ALL, "U-Nets": UNETS}
"""Names for several parts in the table."""


def _read_table(text: str) -> Iterator[Departure]:
    """Yield the rows of a Markdown table, below its head and rule."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    for name, groups, theirs, ours, why in rows[2:]:
        parts = tuple(part for group in groups.split(", ") for part in GROUPS.get(group, (group,)))
        yield Departure(name=name, parts=parts, theirs=theirs, ours=ours, why=why)


_, _different, _silent = TABLE.read_text(encoding="utf-8").split("\n## ")
DEPARTURES = tuple(_read_table(_different))
"""Differences from the paper or the code it names."""
OPEN = tuple(_read_table(_silent))
"""Where the paper is silent: what is done here, and why."""

NAMES = {"lr": "learning rate", "batch_size": "batch"}
BOOKKEEPING = (
    *("micro_batch", "compile", "seed", "save_every", "keep", "log_every", "validate_every"),
    *("validate_batches", "max_loss"),
)
"""Fields of TrainConfig that change what a training costs or shows, but not its result."""


def changed_from_paper(
    config: RunConfig, clips: int, steps: int, encoder: str | None
) -> list[list[str]]:
    """Return what was changed of the paper's preset, as rows: name, the paper's, this one.

    A run of another preset has no rows. It may have done fewer ``steps`` than its configuration's;
    ``encoder`` is the identity of its CLIP or CLAP, None for a vocoder.
    """
    if config.preset != "paper":
        return []
    network, stage = config.network, config.row
    theirs = asdict(TrainConfig(**paper_settings(config.stage, clips)))
    ours = {**asdict(config.train), "steps": steps}
    rows = [
        [NAMES.get(name, name.replace("_", " ")), _shown(theirs[name]), _shown(ours[name])]
        for name in theirs
        if name not in BOOKKEEPING and theirs[name] != ours[name]
    ]
    if (size := size_of(network, config.stage)) != "large":
        rows.append(["size", "large", size or "its own"])
    for name, value in stage.paper_network.items():
        if getattr(network, name) != value:
            rows.append([name, value, getattr(network, name)])
    if config.space != "clap-text" and not (encoder or PAPER).startswith(PAPER):
        rows.append(["CLIP", "ViT-L/14 of OpenAI", f"{encoder}"])
    if config.warm_start is not None:
        rows.append(["initial weights", "random", Path(config.warm_start).name])
    extensions = asdict(config.extensions)
    rows += [
        [name.replace("_", " "), _shown(usual), _shown(extensions[name])]
        for name, usual in asdict(Extensions()).items()
        if extensions[name] != usual
    ]
    return rows


def of_part(rows: Sequence[Departure], part: str) -> list[Departure]:
    """Return the rows that concern a part."""
    return [row for row in rows if part in row.parts]


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"

"""Everything that decides a training, as one value that is kept in its run folder."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsonic_cli import bounded, ranges
from clipsonic_cli.atomic import written
from clipsonic_cli.config import PAPER_VOCODER, TRAIN_FRAMES, DiffusionConfig
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.ranges import check_fields
from clipsonic_cli.store.bundle import Network
from clipsonic_cli.store.model_folders import MAX_RUN, RUN_FILE, RUNS
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import cosine_for
from clipsonic_cli.training.stage_row import Part, StageRow
from clipsonic_cli.training.stages import (
    part_of,
    row_of_network,
    spaces_with,
    stages_with,
    vocoders_with,
)
from clipsonic_cli.types import Space, Stage

FORMAT = 4
ADDED = {
    name: getattr(TrainConfig(), name)
    for name in ("decayed", "ema_warmup", "prior_dropout", "publish", "publish_dtype")
}
"""Fields of ``TrainConfig`` that format 1 lacks, with what was done then."""
RENAMED = {"extensions": "beyond", "images": "pictures"}
"""Fields of :class:`RunConfig`, and their names in the file."""
HALVED = 8
"""A U-Net of four levels halves its mel three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """Extensions beyond the paper, all off by default; sources are in the classes that use them.

    Raises:
        UsageError: A number is out of its range, or two extensions exclude each other.
    """

    window: int = TRAIN_FRAMES
    """Frames of mel a U-Net is trained on; the paper's 64 are 2 s, 128 are 4 s."""
    mean_of: int = 1
    """Neighbouring frames of the video whose embeddings are averaged (CLIPSep, Dong et al. 2023:
    3)."""
    crops: int = 0
    """Random crops of a frame, of which one stands for it as often as itself (MacCap, Qiu et al.
    2024)."""
    cond_cosine: float = 1.0
    """Mean cosine of a condition with itself after noise (CapDec, Nukrai et al. 2022); 1 adds none.
    That of texts with frames is the gap to be bridged."""
    min_snr: float | None = None
    """Bound of the loss's weight (Hang et al. 2023: 5)."""
    zero_snr: bool = False
    """A noise schedule that ends in pure noise (Lin et al. 2023)."""
    multi_scale: bool = False
    """BigVGAN's mel distance at seven scales, as in its second version."""
    critics_from: int | None = None
    """Step from which critics judge a Vocos too; None is never."""

    def __post_init__(self) -> None:
        check_fields(self, ranges.EXTENSIONS, "`{}`")
        if self.window % HALVED:
            raise UsageError(
                f"`window` is {self.window}; it must be a multiple of {HALVED}, as the U-Net "
                "halves it three times. The paper's is 64."
            )
        if self.min_snr is not None and self.zero_snr:
            raise UsageError(
                "`min_snr` and `zero_snr` are given together: the first gives no weight to pure "
                "noise, which the second is for. Use one of them."
            )

    def check(self, stage: Stage, space: Space, vocoder: str | None = None) -> None:
        """Check that each requested extension has an effect on a stage, or on its vocoder."""
        usual = dataclasses.asdict(Extensions())
        applying = part_of(stage, space, vocoder).extensions
        for name, value in dataclasses.asdict(self).items():
            if value == usual[name] or name in applying:
                continue
            if stage == "vocoder" and (vocoders := vocoders_with(name)):
                raise UsageError(
                    f"`{name}` has no meaning for the vocoder {vocoder or PAPER_VOCODER}, but for: "
                    f"{', '.join(vocoders)}. Leave it out."
                )
            spaces = spaces_with(name, stage)
            where = f"condition '{space}'" if spaces else f"stage '{stage}'"
            raise UsageError(
                f"`{name}` has no meaning for the {where}, but for: "
                f"{', '.join(spaces or stages_with(name))}. Leave it out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The configuration of a run, complete."""

    name: str
    """The model it makes or adds to."""
    data: str
    """The data set, as it was given."""
    catalogue: str
    """Path or address of the catalogue of its prepared clips."""
    stage: Stage
    space: Space
    """The space of the condition."""
    warm_start: str | None
    """The published weights, or the model, that it begins with."""
    network: Network
    diffusion: DiffusionConfig | None
    """The diffusion process; None for a vocoder."""
    train: TrainConfig
    preset: str = "default"
    """A name of ``config.PRESETS``, which chose what was not requested."""
    extensions: Extensions = Extensions()
    cond_drop: float = 0.1
    """Share of clips whose condition is dropped."""
    sample_every: int = 0
    """Steps between samples of ``prompts`` and ``images``; 0 makes none."""
    prompts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    """Image files; relative paths are in the run's folder."""
    trackers: tuple[str, ...] = ()
    """Names of ``tracking.TRACKERS``."""
    licence: str = "not stated"
    """Licence of the weights, in words."""

    @property
    def part(self) -> Part:
        """What is trained."""
        return part_of(self.stage, self.space)

    @property
    def row(self) -> StageRow:
        """How it is trained."""
        return row_of_network(self.stage, self.network)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return what ``run.json`` holds of a configuration."""
    fields = dataclasses.asdict(config)
    return {"format": FORMAT} | {RENAMED.get(name, name): v for name, v in fields.items()}


def write_run_config(run_dir: Path, config: RunConfig) -> None:
    """Write ``run.json``."""
    with written(run_dir / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(to_dict(config), indent=1) + "\n", encoding="utf-8")


def read_run_config(run_dir: Path) -> RunConfig:
    """Read what :func:`write_run_config` wrote, now or in an older version.

    Raises:
        UsageError: There is no run in the folder.
        ClipsonicError: Its configuration is damaged, or of a newer version.
    """
    path = run_dir / RUN_FILE
    if not path.is_file():
        near = [place for place in (RUNS / run_dir, run_dir.parent) if (place / RUN_FILE).is_file()]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(
            f"'{run_dir}' holds no run ({RUN_FILE} is missing).{hint} Give the folder of one, such "
            "as runs/music, or begin one: clipsonic train --data FOLDER."
        )
    try:
        fields = bounded.read_json(path, MAX_RUN)
        if (version := fields.pop("format")) not in range(1, FORMAT + 1):
            raise ValueError(f"format {version!r}, this clipsonic reads 1 to {FORMAT}")
        if version == 1:
            fields = {"preset": "default"} | fields | {"train": ADDED | fields["train"]}
        for name, stored in RENAMED.items():
            fields[name] = fields.pop(stored)
        if version < 4:
            fields["extensions"] = {"critics_from": None} | fields["extensions"]
        if version < 3:
            fields["extensions"] = _of_today(fields["extensions"], fields["network"])
        config = from_dict(RunConfig, fields, "run")
        part_of(config.stage, config.space)
    except (OSError, UsageError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ClipsonicError(f"{path} cannot be used ({error}). Begin another run.") from None
    return config


def _of_today(extensions: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """Convert extensions of formats 1 and 2, which state the deviation of noise on conditions."""
    others = {name: value for name, value in extensions.items() if name != "cond_noise"}
    deviation = extensions["cond_noise"]
    cosine = cosine_for(deviation, network["cond_dim"]) if deviation else 1.0
    return others | {"crops": 0, "cond_cosine": cosine}

"""Weights a training begins with, where it does not begin with random ones."""

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from clipsonic_cli.config import DiffusionConfig, StudentConfig, UNetConfig
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.state_dict import load
from clipsonic_cli.models.unet import UNet, begin_as_student
from clipsonic_cli.modes import TAUGHT
from clipsonic_cli.store import assets, bundle, model_folders
from clipsonic_cli.store.bundle import Network
from clipsonic_cli.store.foreign import read_foreign
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.training.stages import STAGES, part_of
from clipsonic_cli.types import Space, Stage

ADVICE = "Choose its `size`, or begin without `warm_start`."


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """A warm start that is on this machine."""

    name: str
    """Name of the published weights or of the model, valid in any working directory."""
    stage: Stage
    path: Path
    network: Network
    diffusion: DiffusionConfig | None
    """The process it was trained on; None for a vocoder."""
    licence: str | None
    """Licence that its file or its publisher states."""

    @property
    def published(self) -> bool:
        """Whether the file is one of another project."""
        return self.path.suffix != model_folders.SUFFIX


def find_warm_start(name: str, stage: Stage, space: Space) -> WarmStart:
    """Find a warm start, without reading its weights.

    It is named by published weights made for the stage ("improved-diffusion", "bigvgan-44k"), or by
    a model that has the part, or its U-Net for frames where the part is one for texts, or the part
    that teaches it: its name or folder.

    Raises:
        UsageError: There is no such model, the model has no such part, or the published weights
            are for another stage.
        MissingWeights: The published weights are not on this machine.
        BadBundle: The model's file is damaged, or holds another stage.
    """
    part, row = part_of(stage, space).name, STAGES[stage]
    able = [row.name for row in ASSETS.values() if stage in row.stages]
    if name in ASSETS:
        asset = ASSETS[name]
        if stage not in asset.stages:
            raise UsageError(
                f"'{name}' is not a warm start for the stage '{stage}'. "
                f"Published ones: {', '.join(able) or 'none'}; or give a model that has '{part}'."
            )
        return WarmStart(
            name=name,
            stage=stage,
            path=assets.file_of(asset),
            network=row.sizes["large"],
            diffusion=row.diffusion.get("paper"),
            licence=asset.licence,
        )
    folder = model_folders.find(name, also=able)
    # A U-Net that reads texts may begin with the one that reads frames of the same CLIP.
    found = row.teacher or ("unet" if stage == "unet" and not folder.has(part) else part)
    path = folder.path / f"{found}{model_folders.SUFFIX}"
    if not path.is_file():
        wanted = row.teacher or part
        raise UsageError(f"The model '{name}' has no {wanted} to begin with.{_remedy(row.teacher)}")
    header = bundle.read_header(path)
    if header.kind != (row.teacher or stage) or not isinstance(header.config, Network):
        raise BadBundle(f"{path} holds a {header.kind}, with which no {stage} can begin.")
    network = header.config
    if row.teacher is not None:
        assert isinstance(network, UNetConfig)  # a U-Net's header has one
        network = StudentConfig(**{**asdict(network), "learn_variance": False})
    licence = header.meta.get("licence")
    return WarmStart(
        name=folder.name,
        stage=stage,
        path=path,
        network=network,
        diffusion=header.diffusion,
        licence=licence if isinstance(licence, str) else None,
    )


def _remedy(teacher: str | None) -> str:
    """Format what helps where a model has no teacher: " Train it first ..."."""
    if teacher is None:
        return ""
    return " Train it first (the stage 'unet'), or name a model or a run that has one as `base`."


def start_with(network: nn.Module, start: WarmStart) -> None:
    """Load the weights of a warm start, if they fit; a vocoder may be weight-normed and stays so.

    Raises:
        BadBundle: The weights are another network's; the message names what differs.
    """
    if start.published:
        load_published = STAGES[start.stage].load_published
        assert load_published is not None  # else the manifest has no warm start for the stage
        load_published(network, read_foreign(start.path))
        return
    kind: bundle.Kind = TAUGHT if STAGES[start.stage].teacher else start.stage
    weights = bundle.load(start.path, kind=kind).weights
    if isinstance(start.network, StudentConfig):
        assert isinstance(network, UNet)  # as the stage builds
        weights = begin_as_student(network, weights)
    if isinstance(network, BigVGAN):
        network.remove_weight_norm()
    try:
        load(network, weights, str(start.path), advice=ADVICE)
    finally:
        if isinstance(network, BigVGAN):
            network.add_weight_norm()

"""Weights a training begins with, where it does not begin with random ones."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from clipsonic_cli.config import DiffusionConfig, UNetConfig, VocoderConfig
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.improved_diffusion import load_trunk
from clipsonic_cli.models.nvidia_bigvgan import warm_start
from clipsonic_cli.models.state_dict import load
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.store import assets, bundle, model_folders
from clipsonic_cli.store.foreign import read_foreign
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.training.presets import WarmStart
from clipsonic_cli.types import Stage

ADVICE = "Choose its size with --size, or begin without --warm-start."


def find_start(name: str, stage: Stage, part: str) -> Path:
    """Finds the file of a warm start, without reading it.

    Args:
        name: Published weights made for this ("improved-diffusion", "bigvgan-44k"), or a model
            that has the part: its name or folder.
        stage: What is trained.
        part: The part of a model it makes.

    Raises:
        UsageError: There is no such model, the model has no such part, or the published weights
            are for another stage.
        MissingWeights: The published weights are not on this machine.
    """
    if name in ASSETS:
        asset = ASSETS[name]
        if stage not in asset.stages:
            able = [row.name for row in ASSETS.values() if stage in row.stages]
            raise UsageError(
                f"'{name}' is no warm start for the stage '{stage}'. "
                f"Published ones: {', '.join(able) or 'none'}; or give a model that has '{part}'."
            )
        return assets.file_of(asset)
    folder = model_folders.find(name)
    path = folder.path / f"{part}{model_folders.SUFFIX}"
    if not path.is_file():
        raise UsageError(f"The model '{name}' has no {part} to begin with.")
    return path


def read_start(path: Path, stage: Stage) -> WarmStart:
    """Says what the file of a warm start holds, without reading its weights.

    Raises:
        BadBundle: It is of another stage, or damaged.
    """
    if path.suffix != model_folders.SUFFIX:  # published weights are of the paper's networks
        if stage == "unet":
            return WarmStart(network=UNetConfig(), diffusion=DiffusionConfig())
        return WarmStart(network=VocoderConfig(), diffusion=None)
    header = bundle.read_header(path)
    if header.kind != stage or isinstance(header.config, dict):
        raise BadBundle(f"{path} holds a {header.kind}, with which no {stage} can begin.")
    return WarmStart(network=header.config, diffusion=header.diffusion)


def start_with(network: nn.Module, path: Path) -> None:
    """Gives a network the weights of a warm start.

    Args:
        network: A U-Net, a prior or a vocoder; changed only if everything fits. A vocoder may be
            weight-normed, and is so again.
        path: From :func:`find_start`.

    Raises:
        BadBundle: They are another network's; the message names what differs.
    """
    if path.suffix == model_folders.SUFFIX:
        header = bundle.read_header(path)
        _load(network, bundle.load(path, kind=header.kind).weights, path)
    elif isinstance(network, UNet):
        load_trunk(network, read_foreign(path))
    else:
        assert isinstance(network, BigVGAN)  # there are no other published warm starts
        weights = read_foreign(path)
        warm_start(network, weights.get("generator", weights))
        network.add_weight_norm()


def _load(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    if isinstance(network, BigVGAN):
        network.remove_weight_norm()
    try:
        load(network, weights, str(path), advice=ADVICE)
    finally:
        if isinstance(network, BigVGAN):
            network.add_weight_norm()

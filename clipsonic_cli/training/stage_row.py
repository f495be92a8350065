"""What a stage of a training is: what it trains, needs and is configured with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from clipsonic_cli.config import DiffusionConfig, MelSpec
from clipsonic_cli.encoders.clap import ClapModel
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.preparation.dataset import Drawn, Prepared
from clipsonic_cli.preparation.texts import Texts
from clipsonic_cli.store.bundle import Network
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.types import Space

if TYPE_CHECKING:  # run_config.py reads the stages
    from clipsonic_cli.training.run_config import Extensions, RunConfig

Encoder = ClipModel | ClapModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a stage trains for one condition, and what clips need for it besides mels."""

    name: str
    """File stem of the part in a model folder."""
    encoder: Literal["clip", "clap"] | None = None
    """The part whose embeddings condition it."""
    frames: bool = False
    labels: bool = False
    waves: bool = False
    extensions: frozenset[str] = frozenset()
    """The fields of ``Extensions`` that apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of ``clipsonic train``."""

    parts: Mapping[Space, Part]
    """By the space of the condition."""
    sizes: Mapping[str, Network]
    lr: Mapping[str, float]
    """Default learning rate of each size."""
    diffusion: Mapping[str, DiffusionConfig] = field(default_factory=dict)
    """By preset; empty for a vocoder, and where the network has its teacher's."""
    teacher: str | None = None
    """The part that the network begins as, and learns from."""
    left_with: Callable[[DiffusionConfig], DiffusionConfig] = lambda diffusion: diffusion
    """Returns the process that the network is used with, of that it is trained on."""
    encoder_fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of the encoder's configuration, and the network's fields that must equal them."""
    default: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig in the preset "default" that are this stage's own."""
    cpu: Mapping[str, Any]
    """Those that differ on a CPU."""
    paper: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig in the preset "paper" that are this stage's own."""
    paper_network: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the network in the preset "paper"."""
    paper_steps: tuple[int, int]
    """Steps in the preset "paper" on data sets of the size of MUSIC, and of VGGSound."""
    least_frames: Callable[[int, MelSpec], int]
    """Computes the least frames of mel in a clip, from the U-Net's window and the geometry."""
    objective: Callable[["RunConfig", MelSpec], Objective]
    """Builds the networks, with random weights, and their losses."""
    dataset: Callable[[Prepared, Texts | None, "Extensions"], Drawn]
    measure: Callable[[nn.Module, Prepared, Encoder | None, int], None] | None = None
    """Give the network what it needs of the training clips, by a seed, before the first step."""
    load_published: Callable[[nn.Module, Mapping[str, Tensor]], object] | None = None
    """Loads the published weights that are a warm start; their network is the size "large"."""

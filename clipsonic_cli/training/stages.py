"""What each stage trains, needs and is configured with: one row a stage."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from clipsonic_cli.config import (
    BRIDGE_SIZES,
    PRIOR_SIZES,
    TRAINED_VOCODERS,
    UNET_SIZES,
    BridgeConfig,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    UNetConfig,
)
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import UsageError
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.improved_diffusion import load_trunk
from clipsonic_cli.models.optional import needs_torchvision
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.preparation.dataset import (
    Drawn,
    Frames,
    FramesAndSounds,
    FramesAndTexts,
    Prepared,
    TextsAndSounds,
)
from clipsonic_cli.preparation.statistics import embed_bank, frame_sums, measure
from clipsonic_cli.preparation.texts import Texts
from clipsonic_cli.store.bundle import Header, Network
from clipsonic_cli.trainer.denoiser import BridgeObjective, PriorObjective, UNetObjective
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.training.stage_row import Encoder, Part, StageRow
from clipsonic_cli.training.student_stage import STUDENT_ROW
from clipsonic_cli.training.vocoder_stage import VOCODER_ROWS
from clipsonic_cli.types import Space, Stage

if TYPE_CHECKING:  # run_config.py reads this table
    from clipsonic_cli.training.run_config import Extensions, RunConfig


def _unet(config: "RunConfig", _spec: MelSpec) -> Objective:
    unet = UNet(cast(UNetConfig, config.network))
    unet.to(memory_format=torch.channels_last)
    return UNetObjective(
        unet,
        Process(cast(DiffusionConfig, config.diffusion)),
        window=config.extensions.window,
        cond_drop=config.cond_drop,
        cond_cosine=config.extensions.cond_cosine,
        min_snr=config.extensions.min_snr,
    )


def _prior(config: "RunConfig", _spec: MelSpec) -> Objective:
    with needs_torchvision("dalle2-pytorch"):  # which takes seconds
        from clipsonic_cli.models.prior import Prior

    return PriorObjective(
        Prior(cast(PriorConfig, config.network), dropout=config.train.prior_dropout),
        Process(cast(DiffusionConfig, config.diffusion)),
        cond_drop=config.cond_drop,
        min_snr=config.extensions.min_snr,
    )


def _bridge(config: "RunConfig", _spec: MelSpec) -> Objective:
    bridge = Bridge(cast(BridgeConfig, config.network))
    return BridgeObjective(bridge, Process(cast(DiffusionConfig, config.diffusion)))


def _measure_bridge(
    network: nn.Module, clips: Prepared, encoder: Encoder | None, seed: int
) -> None:
    sums = frame_sums(clips, torch.Generator().manual_seed(seed))
    measure(cast(Bridge, network), sums, embed_bank(cast(ClipModel, encoder)))


def _moments(clips: Prepared, texts: Texts | None, extensions: "Extensions") -> Drawn:
    if texts is None:
        return FramesAndSounds(
            clips,
            window=extensions.window,
            mean_of=extensions.mean_of,
            crops=extensions.crops,
        )
    return TextsAndSounds(clips, texts, window=extensions.window)


DIFFUSION = frozenset({"min_snr", "zero_snr"})
UNET = DIFFUSION | {"window", "cond_cosine"}
PRIOR_PROCESS = DiffusionConfig(
    train_steps=PriorConfig().num_timesteps, prediction="x0", variance="fixed", clip_x0=False
)
DALLE2 = {"weight_decay": 0.06, "betas": (0.9, 0.99), "eps": 1e-6}
"""The paper's weight decay of the prior; else dalle2-pytorch's trainer."""

STAGES: Mapping[Stage, StageRow] = {
    "unet": StageRow(
        parts={
            "clip-image": Part(
                name="unet", encoder="clip", frames=True, extensions=UNET | {"mean_of", "crops"}
            ),
            "clip-text": Part(name="unet-clip-text", encoder="clip", labels=True, extensions=UNET),
            "clap-text": Part(name="unet-clap-text", encoder="clap", labels=True, extensions=UNET),
        },
        sizes=UNET_SIZES,
        lr={"large": 1e-4, "base": 3e-4, "mini": 8e-4},
        # Few steps, which is how sounds are made here, suit v better than eps.
        diffusion={"paper": DiffusionConfig(), "default": DiffusionConfig(prediction="v")},
        encoder_fields={"dim": "cond_dim"},
        cpu={"steps": 3000},
        paper_steps=(200_000, 500_000),
        least_frames=lambda window, _spec: window,
        objective=_unet,
        dataset=_moments,
        load_published=lambda network, weights: load_trunk(cast(UNet, network), weights),
    ),
    "student": STUDENT_ROW,
    "prior": StageRow(
        parts={
            "clip-image": Part(
                name="prior-sd", encoder="clip", frames=True, labels=True, extensions=DIFFUSION
            )
        },
        sizes=PRIOR_SIZES,
        lr={"large": 1e-4, "base": 3e-4, "mini": 5e-4},
        diffusion={"paper": PRIOR_PROCESS, "default": PRIOR_PROCESS},
        encoder_fields={"dim": "dim", "text_dim": "text_dim", "max_text_len": "max_text_len"},
        default={**DALLE2, "batch_size": 128},
        cpu={"steps": 3000},
        paper={**DALLE2, "clip_norm": 0.5, "prior_dropout": 0.05},
        paper_network={"attention": "softmax_bias128"},  # CLIPSonic-PD's (appendix A)
        paper_steps=(200_000, 200_000),
        least_frames=lambda _window, _spec: 0,
        objective=_prior,
        dataset=lambda clips, texts, _extensions: FramesAndTexts(clips, cast(Texts, texts)),
    ),
    "bridge": StageRow(
        parts={"clip-image": Part(name="bridge", encoder="clip", frames=True)},
        sizes=BRIDGE_SIZES,
        lr={"large": 3e-4, "base": 5e-4, "mini": 1e-3},
        diffusion={"paper": PRIOR_PROCESS, "default": PRIOR_PROCESS},
        encoder_fields={"dim": "dim"},
        default={"batch_size": 128, "steps": 20_000, "precision": "float32", "compile": False},
        cpu={"steps": 3000},
        # CLIPSonic has none: the released code of Lee et al. 2025.
        paper={"batch_size": 64, "lr": 8e-5, "ema_decay": 0.995},
        paper_steps=(3_000_000, 3_000_000),
        least_frames=lambda _window, _spec: 0,
        objective=_bridge,
        dataset=lambda clips, _texts, _extensions: Frames(clips),
        measure=_measure_bridge,
    ),
    "vocoder": VOCODER_ROWS["bigvgan"],  # the paper's
}


STATISTICS = Part(name="statistics", encoder="clip", frames=True)
"""What comes with a U-Net that reads frames; it is gathered, not trained."""


def row_of(stage: Stage, vocoder: str | None = None) -> StageRow:
    """Return a stage's row; that of a vocoder by its name, None the paper's."""
    return STAGES[stage] if vocoder is None else VOCODER_ROWS[vocoder]


def row_of_network(stage: Stage, network: Network) -> StageRow:
    """Return the row of the stage that trains a network."""
    return row_of(stage, TRAINED_VOCODERS.get(type(network)))


def part_of(stage: Stage, space: Space, vocoder: str | None = None) -> Part:
    """Return what a stage trains on a condition; for a vocoder see :func:`row_of`."""
    parts = row_of(stage, vocoder).parts
    if space not in parts:
        raise UsageError(
            f"The stage '{stage}' is conditioned on {' or '.join(parts)}, not on {space}."
        )
    return parts[space]


def stages_with(extension: str) -> list[Stage]:
    """Return the stages on which a field of Extensions has an effect."""
    stages = [stage for stage in STAGES if spaces_with(extension, stage)]
    return sorted({*stages, "vocoder"} if vocoders_with(extension) else stages)


def vocoders_with(extension: str) -> list[str]:
    """Return the vocoders on whose training a field of Extensions has an effect."""
    rows = VOCODER_ROWS.items()
    return [name for name, row in rows if extension in row.parts["clip-image"].extensions]


def spaces_with(extension: str, stage: Stage) -> list[Space]:
    """Return the conditions of a stage on which a field of Extensions has an effect."""
    parts = STAGES[stage].parts.items()
    return [space for space, part in parts if extension in part.extensions]


def size_of(network: Network, stage: Stage) -> str | None:
    """Return the name of a network's size, or None for a size of its own.

    The fields that follow the encoder do not matter, nor do a prior's kind of attention and a
    student's calls.
    """
    row = row_of_network(stage, network)
    ignored = {*row.encoder_fields.values(), *row.paper_network, "calls"}

    def compared(network: Network) -> dict[str, Any]:
        return {name: value for name, value in asdict(network).items() if name not in ignored}

    sizes = row.sizes.items()
    return next((name for name, size in sizes if compared(size) == compared(network)), None)


def fit_to_encoder(network: Network, stage: Stage, encoder: Header | None) -> Network:
    """Return a network's configuration with the sizes of the encoder's embeddings."""
    if encoder is None:
        return network
    sizes = cast(dict[str, Any], encoder.config)
    fields = STAGES[stage].encoder_fields.items()
    return replace(network, **{name: sizes[theirs] for theirs, name in fields})

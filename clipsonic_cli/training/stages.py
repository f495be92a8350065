"""What each stage trains, needs and is configured with: one row a stage."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from clipsonic_cli.config import (
    BRIDGE_SIZES,
    PRIOR_SIZES,
    UNET_SIZES,
    VOCODER_SIZES,
    BridgeConfig,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.clap import ClapModel
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.models.improved_diffusion import load_trunk
from clipsonic_cli.models.nvidia_bigvgan import warm_start
from clipsonic_cli.models.optional import needs_torchvision
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.preparation.dataset import (
    Drawn,
    Frames,
    FramesAndSounds,
    FramesAndTexts,
    Prepared,
    Segments,
    TextsAndSounds,
)
from clipsonic_cli.preparation.statistics import embed_bank, frame_sums, measure
from clipsonic_cli.preparation.texts import Texts
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.trainer.denoiser import BridgeObjective, PriorObjective, UNetObjective
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.vocoder import VocoderObjective
from clipsonic_cli.types import Space, Stage

if TYPE_CHECKING:  # run_config.py reads this table
    from clipsonic_cli.training.run_config import Extensions, RunConfig

Network = UNetConfig | PriorConfig | BridgeConfig | VocoderConfig
Encoder = ClipModel | ClapModel

SEGMENT = 8192
"""Samples in a training segment of the vocoder (Lee et al. 2023)."""
SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Windows and bands of the mels that the second version of BigVGAN compares."""
EPOCH = 171_899 // 32
"""Steps in an epoch of the paper's VGGSound with batches of 32 (CLIPSonic section 3): the decay of
BigVGAN's learning rate, which on a small data set would otherwise end the training early."""


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
    """By preset; empty for a vocoder."""
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


def _vocoder(config: "RunConfig", spec: MelSpec) -> Objective:
    network = cast(VocoderConfig, config.network)
    vocoder = BigVGAN(network, spec)
    vocoder.add_weight_norm()
    channels = 8 if network.channels <= 256 else 32  # discriminators of the vocoder's own size
    periods = MultiPeriodDiscriminator(channels=channels)
    critics = (periods, MultiResolutionDiscriminator(channels=channels))
    if not config.extensions.multi_scale:
        return VocoderObjective(vocoder, critics, segment=SEGMENT)
    scales = [
        MelSpec(sample_rate=spec.sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels)
        for n_fft, n_mels in SCALES
    ]
    return VocoderObjective(vocoder, critics, segment=SEGMENT, mel_weight=15.0, scales=scales)


def _moments(clips: Prepared, texts: Texts | None, extensions: "Extensions") -> Drawn:
    if texts is None:
        return FramesAndSounds(
            clips,
            window=extensions.window,
            mean_of=extensions.mean_of,
            crops=extensions.crops,
        )
    return TextsAndSounds(clips, texts, window=extensions.window)


def _load_generator(network: nn.Module, weights: Mapping[str, Any]) -> None:
    vocoder = cast(BigVGAN, network)
    warm_start(vocoder, weights.get("generator", weights))
    vocoder.add_weight_norm()


DIFFUSION = frozenset({"min_snr", "zero_snr"})
UNET = DIFFUSION | {"window", "cond_cosine"}
PRIOR_PROCESS = DiffusionConfig(
    train_steps=PriorConfig().num_timesteps, prediction="x0", variance="fixed", clip_x0=False
)
DALLE2 = {"weight_decay": 0.06, "betas": (0.9, 0.99), "eps": 1e-6}
"""The paper's weight decay of the prior; else dalle2-pytorch's trainer."""
BIGVGAN = {"betas": (0.8, 0.99), "clip_norm": 1000.0}

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
    "vocoder": StageRow(
        parts={
            "clip-image": Part(name="vocoder", waves=True, extensions=frozenset({"multi_scale"}))
        },
        sizes=VOCODER_SIZES,
        lr={"large": 1e-4, "base": 3e-4, "mini": 4e-4},
        default={**BIGVGAN, "batch_size": 32, "precision": "float32"},
        cpu={"steps": 5000, "batch_size": 8},
        # BigVGAN's first version, trained as HiFi-GAN is (Kong et al. 2020, section 3): no average.
        paper={
            **BIGVGAN,
            "weight_decay": 0.01,
            "decayed": "all",
            "lr_decay": 0.999 ** (1 / EPOCH),
            "ema_decay": 0.0,
        },
        paper_steps=(500_000, 500_000),
        least_frames=lambda _window, spec: SEGMENT // spec.hop_length,
        objective=_vocoder,
        dataset=lambda clips, _texts, _extensions: Segments(clips, segment=SEGMENT),
        load_published=_load_generator,
    ),
}


STATISTICS = Part(name="statistics", encoder="clip", frames=True)
"""What comes with a U-Net that reads frames; it is gathered, not trained."""


def part_of(stage: Stage, space: Space) -> Part:
    """Return what a stage trains on a condition."""
    parts = STAGES[stage].parts
    if space not in parts:
        raise UsageError(
            f"The stage '{stage}' is conditioned on {' or '.join(parts)}, not on {space}."
        )
    return parts[space]


def stages_with(extension: str) -> list[Stage]:
    """Return the stages on which a field of Extensions has an effect."""
    return sorted(stage for stage in STAGES if spaces_with(extension, stage))


def spaces_with(extension: str, stage: Stage) -> list[Space]:
    """Return the conditions of a stage on which a field of Extensions has an effect."""
    parts = STAGES[stage].parts.items()
    return [space for space, part in parts if extension in part.extensions]


def size_of(network: Network, stage: Stage) -> str | None:
    """Return the name of a network's size, or None for a size of its own.

    The fields that follow the encoder do not matter, nor does a prior's kind of attention.
    """
    row = STAGES[stage]
    ignored = {*row.encoder_fields.values(), *row.paper_network}

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

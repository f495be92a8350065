"""The stage that trains a vocoder: one row for each that can be trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from clipsonic_cli.config import VOCODER_SIZES, VOCOS_SIZES, MelSpec, VocoderConfig, VocosConfig
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.models.nvidia_bigvgan import warm_start
from clipsonic_cli.models.vocos import Vocos
from clipsonic_cli.preparation.dataset import Segments
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.spectra import VocosObjective
from clipsonic_cli.trainer.vocoder import VocoderObjective
from clipsonic_cli.training.stage_row import Part, StageRow

if TYPE_CHECKING:  # run_config.py reads this table
    from clipsonic_cli.training.run_config import RunConfig

SEGMENT = 8192
"""Samples in a training segment of BigVGAN (Lee et al. 2023)."""
VOCOS_SEGMENT = 16_384
"""Samples in one of Vocos (Siuzdak 2023): as many frames as a convolution's context."""
SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Windows and bands of the mels that the second version of BigVGAN compares."""
EPOCH = 171_899 // 32
"""Steps in an epoch of the paper's VGGSound with batches of 32 (CLIPSonic section 3): the decay of
BigVGAN's learning rate, which on a small data set would otherwise end the training early."""
LOOP = {"betas": (0.8, 0.99), "clip_norm": 1000.0}


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


def _vocos(config: "RunConfig", spec: MelSpec) -> Objective:
    vocoder = Vocos(cast(VocosConfig, config.network), spec)
    critics_from = config.extensions.critics_from
    return VocosObjective(vocoder, critics_from=critics_from, segment=VOCOS_SEGMENT)


def _load_generator(network: nn.Module, weights: Mapping[str, Any]) -> None:
    vocoder = cast(BigVGAN, network)
    warm_start(vocoder, weights.get("generator", weights))
    vocoder.add_weight_norm()


BIGVGAN_ROW = StageRow(
    parts={"clip-image": Part(name="vocoder", waves=True, extensions=frozenset({"multi_scale"}))},
    sizes=VOCODER_SIZES,
    lr={"large": 1e-4, "base": 3e-4, "mini": 4e-4},
    default={**LOOP, "batch_size": 32, "precision": "float32"},
    cpu={"steps": 5000, "batch_size": 8},
    # BigVGAN's first version, trained as HiFi-GAN is (Kong et al. 2020, section 3): no average.
    paper={
        **LOOP,
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
)

VOCODER_ROWS: Mapping[str, StageRow] = {
    "bigvgan": BIGVGAN_ROW,
    "vocos": replace(
        BIGVGAN_ROW,
        parts={
            "clip-image": Part(name="vocoder", waves=True, extensions=frozenset({"critics_from"}))
        },
        sizes=VOCOS_SIZES,
        lr={"large": 5e-4, "base": 5e-4, "mini": 1e-3},
        default={
            **LOOP,
            "batch_size": 32,
            "precision": "float32",
            "compile": False,  # of complex numbers, which torch does not compile
        },
        cpu={"steps": 5000, "batch_size": 16},
        least_frames=lambda _window, spec: VOCOS_SEGMENT // spec.hop_length,
        objective=_vocos,
        dataset=lambda clips, _texts, _extensions: Segments(clips, segment=VOCOS_SEGMENT),
        load_published=None,
    ),
}
"""The stage "vocoder" by the vocoder it trains; the first is the paper's."""

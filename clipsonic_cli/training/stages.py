"""What each stage trains, on what, and what the file of its part will say.

Knows: settings, prepared clips, networks. Does not know: the loop (``trainer.py``), nor what comes
before and after it (``run.py``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from clipsonic_cli.config import (
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.data.clips import is_address
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.clap import ClapModel
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import UsageError
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.preparation.catalogue import Catalogue
from clipsonic_cli.preparation.dataset import (
    Drawn,
    FramesAndSounds,
    FramesAndTexts,
    Prepared,
    Segments,
    TextsAndSounds,
)
from clipsonic_cli.preparation.texts import Texts, encode_labels
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.home import cache_home
from clipsonic_cli.trainer.denoiser import PriorObjective, UNetObjective
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.vocoder import VocoderObjective
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.types import Split, Stage

SEGMENT = 8192
"""Samples a vocoder is trained on at once (Lee et al. 2023)."""
SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Window and bands of the mels that BigVGAN's second version compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the loop needs.

    Args:
        objective: What to lower.
        dataset: Training clips.
        held_out: Clips to judge by, or None where there are none.
        header: Of the part's file, without ``meta``.
        network: The one that is kept.
    """

    objective: Objective
    dataset: Drawn
    held_out: Drawn | None
    header: Header
    network: nn.Module


def least_seconds(stage: Stage, window: int, spec: MelSpec) -> float:
    """Gives the least seconds of sound a clip needs; a prior needs none."""
    needs = {"unet": window, "prior": 0, "vocoder": SEGMENT // spec.hop_length}
    return spec.seconds(needs[stage])


def build(
    settings: RunConfig, catalogue: Catalogue, encoder: ClipModel | ClapModel | None
) -> Setup:
    """Builds networks with random weights, drawn from the settings' seed, and their data.

    Args:
        settings: The training.
        catalogue: Its clips.
        encoder: The CLIP or CLAP that conditions it; None for a vocoder.

    Raises:
        UsageError: No clip can be used.
    """
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from no other
        torch.manual_seed(settings.train.seed)
        match settings.stage:
            case "unet":
                return _unet(settings, catalogue, cast(ClipModel | ClapModel, encoder))
            case "prior":
                return _prior(settings, catalogue, cast(ClipModel, encoder))
            case "vocoder":
                return _vocoder(settings, catalogue)


def _unet(settings: RunConfig, catalogue: Catalogue, encoder: ClipModel | ClapModel) -> Setup:
    config = cast(UNetConfig, settings.network)
    process = cast(DiffusionConfig, settings.diffusion)
    beyond = settings.beyond
    unet = UNet(config)
    unet.to(memory_format=torch.channels_last)
    objective = UNetObjective(
        unet,
        Process(process),
        window=beyond.window,
        cond_drop=settings.cond_drop,
        cond_noise=beyond.cond_noise,
        min_snr=beyond.min_snr,
    )
    texts = None if settings.space == "clip-image" else texts_of(catalogue, encoder)

    def drawn(split: Split) -> Drawn | None:
        clips = usable(catalogue, split, texts, mel_frames=beyond.window)
        if clips is None:
            return None
        if texts is None:
            return FramesAndSounds(clips, window=beyond.window, mean_of=beyond.mean_of)
        return TextsAndSounds(clips, texts, window=beyond.window)

    header = Header(
        kind="unet",
        config=config,
        mel=catalogue.config.mel,
        diffusion=process,
        space=settings.space,
        encoder=encoder.identity,
    )
    return Setup(
        objective=objective,
        dataset=_some(drawn("train"), settings),
        held_out=drawn("valid"),
        header=header,
        network=unet,
    )


def _prior(settings: RunConfig, catalogue: Catalogue, encoder: ClipModel) -> Setup:
    from clipsonic_cli.models.prior import Prior  # dalle2-pytorch, which takes seconds

    config = cast(PriorConfig, settings.network)
    process = cast(DiffusionConfig, settings.diffusion)
    prior = Prior(config, dropout=settings.train.prior_dropout)
    texts = texts_of(catalogue, encoder)

    def drawn(split: Split) -> Drawn | None:
        clips = usable(catalogue, split, texts, mel_frames=0)
        return None if clips is None else FramesAndTexts(clips, texts)

    header = Header(
        kind="prior",
        config=config,
        diffusion=process,
        space="clip-image",
        encoder=encoder.identity,
    )
    return Setup(
        objective=PriorObjective(
            prior,
            Process(process),
            cond_drop=settings.cond_drop,
            min_snr=settings.beyond.min_snr,
        ),
        dataset=_some(drawn("train"), settings),
        held_out=drawn("valid"),
        header=header,
        network=prior,
    )


def _vocoder(settings: RunConfig, catalogue: Catalogue) -> Setup:
    config, spec = cast(VocoderConfig, settings.network), catalogue.config.mel
    vocoder = BigVGAN(config, spec)
    vocoder.add_weight_norm()
    channels = 8 if config.channels <= 256 else 32  # critics of the vocoder's own size
    critics = (
        MultiPeriodDiscriminator(channels=channels),
        MultiResolutionDiscriminator(channels=channels),
    )
    many = [
        MelSpec(sample_rate=spec.sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels)
        for n_fft, n_mels in SCALES
    ]
    scales = many if settings.beyond.multi_scale else None

    def drawn(split: Split) -> Drawn | None:
        clips = usable(catalogue, split, None, mel_frames=SEGMENT // spec.hop_length)
        return None if clips is None else Segments(clips, segment=SEGMENT)

    return Setup(
        objective=VocoderObjective(
            vocoder,
            critics,
            segment=SEGMENT,
            mel_weight=15.0 if scales else 45.0,
            scales=scales,
        ),
        dataset=_some(drawn("train"), settings),
        held_out=drawn("valid"),
        header=Header(kind="vocoder", config=config, mel=spec),
        network=vocoder,
    )


def texts_of(catalogue: Catalogue, encoder: ClipModel | ClapModel) -> Texts:
    """Gives the vectors of all labels of a catalogue."""
    labels = sorted({label for label in catalogue.labels if label is not None})
    there = is_address(catalogue.folder)
    folder = cache_home() / "prepared" if there else Path(catalogue.folder)
    return encode_labels(labels, encoder, folder)


def usable(
    catalogue: Catalogue, split: Split, texts: Texts | None, *, mel_frames: int
) -> Prepared | None:
    """Gives the clips of a split that are long enough; with texts, those whose label has one.

    Returns:
        None if there are none.
    """
    numbers = catalogue.numbers(split, mel_frames=mel_frames)
    if texts is not None:
        numbers = [number for number in numbers if catalogue.labels[number] in texts.rows]
    return Prepared(catalogue, numbers) if numbers else None


def _some(dataset: Drawn | None, settings: RunConfig) -> Drawn:
    if dataset is None:
        raise UsageError(
            f"No clip of '{settings.data}' is as the stage '{settings.stage}' conditioned on "
            f"{settings.space} needs it: as long as a window, and where labels are read, with one "
            "of which the encoder knows a word."
        )
    return dataset

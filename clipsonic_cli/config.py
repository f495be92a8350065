"""Section 3 of the paper as frozen dataclasses. Standard library only.

Networks and processes default to the paper's, or where it is silent to improved-diffusion's and
BigVGAN's; the embedded model ``mini`` is the same classes with smaller numbers. A model file stores
exactly ``dataclasses.asdict`` of these.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clipsonic_cli import ranges
from clipsonic_cli.errors import UsageError
from clipsonic_cli.ranges import check_fields, shown
from clipsonic_cli.types import Query

Prediction = Literal["eps", "x0", "v"]
Variance = Literal["learned_range", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSpec:
    """The one geometry that data, U-Net and vocoder share (CLIPSonic section 3; BigVGAN's mel).

    Args:
        sample_rate: Hz.
        n_fft: FFT and window length in samples.
        hop_length: Samples a frame.
        n_mels: Mel bands (F), lowest first.
        f_min: Lower edge of the first band in Hz.
        f_max: Upper edge of the last band in Hz.
        log_min: Natural log mapped to -1: ln 1e-5, BigVGAN's floor, exact silence.
        log_max: Natural log mapped to +1; 3.5 covers full-scale tones.
    """

    sample_rate: int = 16_000
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    log_min: float = math.log(1e-5)
    log_max: float = 3.5

    def frames(self, seconds: float) -> int:
        """Frames needed to hold a duration, rounded up."""
        return math.ceil(self.samples(seconds) / self.hop_length)

    def samples(self, seconds: float) -> int:
        """Audio samples in a duration, rounded to the nearest."""
        return round(seconds * self.sample_rate)

    def seconds(self, frames: int) -> float:
        """Duration of a number of frames."""
        return frames * self.hop_length / self.sample_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionConfig:
    """A diffusion process; the same type describes the U-Net's and the prior's.

    Args:
        train_steps: Length of the training schedule (paper: 4000; prior: 1000).
        schedule: "cosine" (Nichol & Dhariwal 2021, eq. 17), or "cosine-zero-snr": the same, shifted
            so that nothing of the data is left at the last step: the pure noise that sampling
            starts from is then seen in training. Not in the paper; Lin et al. 2023, section 3.1.
        prediction: What the network predicts; not "eps" where nothing of the data is left, as
            pure noise says nothing of how to take it away (Lin et al. 2023, section 3.2).
        variance: "learned_range" (Nichol & Dhariwal 2021, eq. 15; the network has twice the
            channels) or "fixed" (the posterior variance).
        clip_x0: Clamp the predicted x0 to [-1, 1] while sampling; the mel is bounded, embeddings
            are not.

    Raises:
        ValueError: A schedule that ends in pure noise with a prediction of eps, or with one step,
            which would be both its least noise and its most.
    """

    train_steps: int = 4000
    schedule: Literal["cosine", "cosine-zero-snr"] = "cosine"
    prediction: Prediction = "eps"
    variance: Variance = "learned_range"
    clip_x0: bool = True

    def __post_init__(self) -> None:
        if self.schedule != "cosine-zero-snr":
            return
        if self.prediction == "eps":
            raise ValueError(
                "schedule 'cosine-zero-snr' cannot have prediction 'eps', from which x0 does not "
                "follow at its last step; allowed: v, x0"
            )
        if self.train_steps < 2:
            raise ValueError(
                f"schedule 'cosine-zero-snr' has {self.train_steps} train_steps, allowed: 2 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """improved-diffusion's U-Net for 64 x 64 (its 3-block published configuration).

    Args:
        channels: Width of the first level, a multiple of 32.
        channel_mult: Width of each level as a multiple of ``channels``.
        num_res_blocks: Residual blocks a level.
        attention_downsample: Downsampling factors at which attention is used (64/16 and 64/8).
        num_heads: Attention heads.
        dropout: Dropout inside residual blocks.
        cond_dim: D of the condition vector; ViT-L/14 has 768.
        learn_variance: Two output channels instead of one; agrees with DiffusionConfig.variance.
    """

    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 3
    attention_downsample: tuple[int, ...] = (4, 8)
    num_heads: int = 4
    dropout: float = 0.0
    cond_dim: int = 768
    learn_variance: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorConfig:
    """dalle2-pytorch's prior network (CLIPSonic appendix A; LAION config).

    Args:
        dim: Embedding size D.
        text_dim: Size of the token encodings.
        depth: Transformer layers.
        dim_head: Size of a head.
        heads: Attention heads.
        ff_mult: Feed-forward expansion.
        max_text_len: Text tokens L.
        num_timesteps: Length of the timestep embedding table.
        attention: "cosine" is dalle2-pytorch since 1.4.3; "softmax_bias128" is what LAION's
            published prior was trained with.
    """

    dim: int = 768
    text_dim: int = 768
    depth: int = 12
    dim_head: int = 64
    heads: int = 12
    ff_mult: int = 4
    max_text_len: int = 77
    num_timesteps: int = 1000
    attention: Literal["cosine", "softmax_bias128"] = "cosine"


@dataclass(frozen=True, slots=True, kw_only=True)
class VocoderConfig:
    """A BigVGAN generator (Lee et al. 2023) for 64 mels, hop 512; the default is the large one.

    Args:
        channels: Width after the first convolution; halves at every upsampling.
        upsample_rates: Their product is the hop length.
        upsample_kernel_sizes: Kernel of each transposed convolution, twice its rate.
        resblock_kernel_sizes: Kernels of the AMP blocks run in parallel at each level.
        resblock_dilation_sizes: Dilations inside each AMP block.
        tanh_at_final: BigVGAN v1 ends in tanh; v2 clamps to [-1, 1].
        bias_at_final: Bias of the last convolution (v1).
    """

    channels: int = 1536
    upsample_rates: tuple[int, ...] = (8, 4, 2, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 8, 4, 4, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    tanh_at_final: bool = True
    bias_at_final: bool = True


UNET_SIZES: dict[str, UNetConfig] = {
    "large": UNetConfig(),  # 121 M parameters, improved-diffusion's, which the paper follows
    "base": UNetConfig(channels=64, num_res_blocks=2),  # 23 M
    "mini": UNetConfig(channels=32, num_res_blocks=2),  # 6 M; what two CPU cores can train
}
"""Sizes of the mel U-Net by name; ``cond_dim`` is the encoder's."""

PRIOR_SIZES: dict[str, PriorConfig] = {
    "large": PriorConfig(),  # the paper's
    "base": PriorConfig(depth=6, heads=8),
    "mini": PriorConfig(depth=4, heads=4),
}
"""Sizes of the diffusion prior by name; ``dim``, ``text_dim`` and ``max_text_len`` are CLIP's."""

VOCODER_SIZES: dict[str, VocoderConfig] = {
    "large": VocoderConfig(),  # 121 M parameters, as the authors' own large model
    "base": VocoderConfig(channels=512),  # 14 M
    "mini": VocoderConfig(  # 1.6 M; what two CPU cores can train
        channels=256,
        upsample_rates=(8, 4, 4, 4),
        upsample_kernel_sizes=(16, 8, 8, 8),
        resblock_kernel_sizes=(3, 7),
        resblock_dilation_sizes=((1, 3), (1, 3)),
    ),
}
"""Sizes of BigVGAN by name, for the default MelSpec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationConfig:
    """What is kept of every clip of a data set.

    Args:
        mel: Geometry of the mels.
        frame_rate: Frames a second that CLIP sees (1 in CLIPSep, Dong et al. 2023).
        encoder: Identity of that CLIP; None keeps no frames, as a vocoder needs none.
        waves: Keep the sound itself too, which a vocoder needs.

    Raises:
        UsageError: The frame rate is out of its range.
    """

    mel: MelSpec = MelSpec()
    frame_rate: float = 1.0
    encoder: str | None = None
    waves: bool = False

    def __post_init__(self) -> None:
        check_fields(self, {"frame_rate": ranges.FRAME_RATE})


PRESETS = ("default", "paper")
"""Of ``clipsonic train``: what suits data and machine, or section 3 of the paper."""
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16")

TRAIN_FRAMES = 64
"""Frames of mel a U-Net sees in training where its file does not say (CLIPSonic section 3)."""

DEFAULT_STEPS = {"dpmpp": 12, "ddim": 50, "ddpm": 1000}
"""Steps of a sampler when none are asked for; 1000 is the paper's (CLIPSonic section 3). With 12 of
``dpmpp`` clap[mini] and fad[mini] are as with 50 (``benchmarks/results/steps.md``)."""

PAPER_SAMPLING = {"sampler": "ddpm", "steps": 1000, "dtype": "float32", "seconds": 4.0}
"""How the paper's sounds were made (CLIPSonic section 3, appendix B); of the precision, which it
does not state, the default of improved-diffusion."""

PAPER_VOCODER = "bigvgan"
PAPER_CLIP_SECONDS = 10.0
"""Length of the sounds that the paper reconstructs (CLIPSonic appendix B)."""

PAPER_COUNT = 512
"""Sounds that the paper scores of each model (CLIPSonic section 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a network is trained.

    Steps, batch, learning rate and decay of the average default to the paper's (CLIPSonic section
    3); all that makes a training the paper's is in ``training/presets.py``.

    Args:
        steps: Optimizer steps in all (paper: 200k on MUSIC, 500k on VGGSound).
        batch_size: Clips a step, over all processes; a multiple of their number.
        micro_batch: Most clips a process computes at once; the rest of its share follows, before
            the weights move. None is all of them, and fewer once a GPU's memory has run out.
        lr: AdamW's learning rate.
        betas: AdamW's averaging; (0.8, 0.99) for a vocoder (Kong et al. 2020, HiFi-GAN), and
            (0.9, 0.99) in dalle2-pytorch's trainer of the prior.
        eps: AdamW's; 1e-6 in dalle2-pytorch's trainer of the prior.
        weight_decay: AdamW's; 0.06 for the prior.
        decayed: Which parameters decay: "matrices", those with two axes or more, as in
            dalle2-pytorch's trainer; or "all", as in BigVGAN's.
        warmup: Steps over which the learning rate rises from 0.
        lr_decay: What a step after the warm-up multiplies the learning rate by; 0.9999996 in the
            second version of BigVGAN.
        ema_decay: Of the averaged weights, which are the ones kept.
        ema_warmup: Let step n use at most the decay (1 + n) / (10 + n), so that an early average
            is not the random start; improved-diffusion does without.
        prior_dropout: Dropout in the prior's attention and feed-forward layers; 0.05 in LAION's
            configuration. The U-Net's is in its own configuration.
        clip_norm: Gradients are scaled down to this norm; None leaves them.
        precision: Of the forward pass; weights and averages stay float32.
        compile: Compile the networks (torch.compile), which takes minutes at the first step and at
            the first look at held-out clips, and needs a C++ compiler. Changes nothing but rounding
            and the draws of dropout, so that either kind of run goes on from the other's.
        seed: Of everything random in the training.
        save_every: Steps between checkpoints.
        keep: Newest checkpoints kept, besides the best.
        log_every: Steps between lines of metrics.jsonl.
        validate_every: Steps between looks at held-out clips, where there are any.
        validate_batches: Batches of them a look.
        max_loss: A loss above it, or one that is no number, ends the training.
        publish: Which average becomes the model: the "last", or where clips are held out the one
            with the lowest loss on them, the "best".
        publish_dtype: Precision in which its weights are stored.
    """

    steps: int = 200_000
    batch_size: int = 32
    micro_batch: int | None = None
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decayed: Literal["matrices", "all"] = "matrices"
    warmup: int = 0
    lr_decay: float = 1.0
    ema_decay: float = 0.9999
    ema_warmup: bool = True
    prior_dropout: float = 0.0
    clip_norm: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    seed: int = 0
    save_every: int = 5000
    keep: int = 2
    log_every: int = 100
    validate_every: int = 5000
    validate_batches: int = 8
    max_loss: float = 1e4
    publish: Literal["best", "last"] = "best"
    publish_dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        check_fields(self, ranges.TRAIN)
        betas = tuple(ranges.BETA.check("betas", beta) for beta in self.betas)
        if len(betas) != 2:
            raise UsageError(f"betas are {shown(self.betas)}; they must be two numbers.")
        object.__setattr__(self, "betas", betas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a sound besides the weights; it travels in the sound file's metadata.

    Args:
        text: The text query, or None.
        image: The image query's path as given, or None.
        image_sha256: Digest of the image's bytes, so that ``--like`` can tell it is the same.
        negative: A text to steer away from, or None.
        negative_image: An image to steer away from, or None.
        negative_image_sha256: Digest of the negative image's bytes.
        mode: A row of ``modes.MODES``.
        model: Name of the model, or its folder as given.
        model_id: Digest of the weights files read, so that ``--like`` can tell they are the same.
        vocoder: A name of ``models.VOCODERS``; None leaves the choice to the model.
        guidance_scale: The paper's w, 0 to 100 (section 2, footnote 2).
        sampler: A name of ``diffusion.SAMPLERS``.
        steps: Steps of the sampler, 1 to 4000.
        seconds: Duration asked for, up to 600.
        seed: Seed of this one sample, 0 to 2**63 - 1.
        candidates: Embeddings the prior draws, 1 to 100, of which the nearest to the text is kept.
        device: Where it ran ("cpu", "cuda", "mps").
        dtype: Precision of the U-Net ("float32", "bfloat16", "float16").

    Raises:
        UsageError: A number is out of its range, :data:`ranges.RECIPE`, or a text is none.
    """

    text: str | None = None
    image: str | None = None
    image_sha256: str | None = None
    negative: str | None = None
    negative_image: str | None = None
    negative_image_sha256: str | None = None
    mode: str = "pd"
    model: str = "mini"
    model_id: str | None = None
    vocoder: str | None = None
    guidance_scale: float = 1.5
    sampler: str = "dpmpp"
    steps: int = DEFAULT_STEPS["dpmpp"]
    seconds: float = 4.0
    seed: int = 0
    candidates: int = 2
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_fields(self, ranges.RECIPE)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            optional = field.default is None
            if (
                field.name in ranges.RECIPE
                or isinstance(value, str)
                or (optional and value is None)
            ):
                continue
            raise UsageError(f"{field.name} is {shown(value)}; it must be text.")

    @property
    def query(self) -> Query:
        """What was asked.

        Raises:
            ValueError: Not exactly one of text and image is there.
        """
        return Query(text=self.text, image=None if self.image is None else Path(self.image))

    @property
    def negative_query(self) -> Query | None:
        """What to steer away from, or None.

        Raises:
            ValueError: It is both a text and an image.
        """
        if self.negative is None and self.negative_image is None:
            return None
        image = None if self.negative_image is None else Path(self.negative_image)
        return Query(text=self.negative, image=image)

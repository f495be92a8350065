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
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.ranges import check_fields, shown
from clipsonic_cli.types import Query

Prediction = Literal["eps", "x0", "v"]
Variance = Literal["learned_range", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSpec:
    """The one geometry that data, U-Net and vocoder share (CLIPSonic section 3; BigVGAN's mel)."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 2048  # FFT and window length in samples
    hop_length: int = 512  # samples a frame
    n_mels: int = 64  # Mel bands (F), lowest first
    f_min: float = 0.0  # lower edge of the first band in Hz
    f_max: float = 8000.0  # upper edge of the last band in Hz
    log_min: float = math.log(1e-5)
    """Natural log mapped to -1: ln 1e-5, BigVGAN's floor, exact silence."""
    log_max: float = 3.5  # natural log mapped to +1; 3.5 covers full-scale tones

    def frames(self, seconds: float) -> int:
        """Return the frames that hold a duration, rounded up."""
        return math.ceil(self.samples(seconds) / self.hop_length)

    def samples(self, seconds: float) -> int:
        """Return the audio samples of a duration, rounded to the nearest."""
        return round(seconds * self.sample_rate)

    def seconds(self, frames: int) -> float:
        """Return the duration of a number of frames."""
        return frames * self.hop_length / self.sample_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionConfig:
    """A diffusion process; the same type describes the U-Net's and the prior's.

    Raises:
        ValueError: A schedule that ends in pure noise with a prediction of eps, or with one step,
            which would be both its least noise and its most.
    """

    train_steps: int = 4000  # length of the training schedule (paper: 4000; prior: 1000)
    schedule: Literal["cosine", "cosine-zero-snr"] = "cosine"
    """Nichol & Dhariwal 2021, eq. 17 ("cosine"), or the same shifted so that nothing of the data is
    left at the last step ("cosine-zero-snr"): the pure noise that sampling starts from is then seen
    in training. Not in the paper; Lin et al. 2023, section 3.1."""
    prediction: Prediction = "eps"
    """What the network predicts; not "eps" where nothing of the data is left, as pure noise says
    nothing of how to take it away (Lin et al. 2023, section 3.2)."""
    variance: Variance = "learned_range"
    """Nichol & Dhariwal 2021, eq. 15, with twice the output channels ("learned_range"), or the
    posterior variance ("fixed")."""
    clip_x0: bool = True
    """Clamp the predicted x0 to [-1, 1] while sampling; the mel is bounded, embeddings are not."""

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
    """improved-diffusion's U-Net for 64 x 64 (its 3-block published configuration)."""

    channels: int = 128  # width of the first level, a multiple of 32
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    """Width of each level as a multiple of ``channels``."""
    num_res_blocks: int = 3  # residual blocks a level
    attention_downsample: tuple[int, ...] = (4, 8)
    """Downsampling factors at which attention is used (64/16 and 64/8)."""
    num_heads: int = 4
    dropout: float = 0.0
    cond_dim: int = 768  # D of the condition vector; ViT-L/14 has 768
    learn_variance: bool = True
    """Two output channels instead of one; agrees with DiffusionConfig.variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig(UNetConfig):
    """A U-Net that another has taught: it reads the guidance scale, and takes few calls."""

    learn_variance: bool = False  # its steps are deterministic
    max_guidance: float = 4.0  # it reads w from 0 up to this
    calls: int = 4
    """Network calls that it makes a mel in, a power of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorConfig:
    """dalle2-pytorch's prior network (CLIPSonic appendix A; LAION config)."""

    dim: int = 768  # embedding size D
    text_dim: int = 768  # size of the token encodings
    depth: int = 12
    dim_head: int = 64
    heads: int = 12
    ff_mult: int = 4  # feed-forward expansion
    max_text_len: int = 77  # text tokens L
    num_timesteps: int = 1000  # length of the timestep embedding table
    attention: Literal["cosine", "softmax_bias128"] = "cosine"
    """That of dalle2-pytorch since 1.4.3 ("cosine"), or what LAION's published prior was trained
    with ("softmax_bias128")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsConfig:
    """Sizes of the statistics of frame and text embeddings (``models/statistics.py``)."""

    dim: int = 768  # embedding size D
    kept: int = 4096  # frame embeddings that are stored (K), or centres of clusters of them
    count: int = 0  # frames that were summed
    texts: int = 0  # texts that were summed


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeConfig:
    """The denoiser of a diffusion bridge (``models/bridge.py``)."""

    dim: int = 768  # embedding size D
    width: int = 768
    depth: int = 4  # residual blocks
    time_dim: int = 128  # size of the embedding of time, even


@dataclass(frozen=True, slots=True, kw_only=True)
class VocoderConfig:
    """A BigVGAN generator (Lee et al. 2023) for 64 mels, hop 512; the default is the large one."""

    channels: int = 1536  # width after the first convolution; halves at every upsampling
    upsample_rates: tuple[int, ...] = (8, 4, 2, 2, 2, 2)  # their product is the hop length
    upsample_kernel_sizes: tuple[int, ...] = (16, 8, 4, 4, 4, 4)
    """Kernel of each transposed convolution, twice its rate."""
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    """Kernels of the AMP blocks run in parallel at each level."""
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    tanh_at_final: bool = True  # BigVGAN v1 ends in tanh; v2 clamps to [-1, 1]
    bias_at_final: bool = True  # bias of the last convolution (v1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VocosConfig:
    """A predictor of spectra at the mel's frame rate (``models/vocos.py``)."""

    kind: Literal["vocos"] = "vocos"
    """Tells it from a :class:`VocoderConfig`, which has no such field."""
    width: int = 512  # channels of the ConvNeXt blocks
    depth: int = 8  # ConvNeXt blocks
    ff_mult: int = 3  # expansion inside a block
    rounds: int = 60  # of Griffin-Lim from the predicted amplitude; 0 plays the predicted phase


STUDENT_CALLS = (16, 8, 4, 2, 1)
"""Numbers of network calls that a student can be trained for."""

UNET_SIZES: dict[str, UNetConfig] = {
    "large": UNetConfig(),  # 121 M parameters, improved-diffusion's, which the paper follows
    "base": UNetConfig(channels=64, num_res_blocks=2),  # 23 M
    "mini": UNetConfig(channels=32, num_res_blocks=2),  # 6 M; what two CPU cores can train
}
"""Sizes of the mel U-Net by name; ``cond_dim`` is the encoder's."""

STUDENT_SIZES: dict[str, StudentConfig] = {
    name: StudentConfig(**{**dataclasses.asdict(config), "learn_variance": False})
    for name, config in UNET_SIZES.items()
}
"""Sizes of a student by name, which are those of the U-Nets that teach them."""

PRIOR_SIZES: dict[str, PriorConfig] = {
    "large": PriorConfig(),  # the paper's
    "base": PriorConfig(depth=6, heads=8),
    "mini": PriorConfig(depth=4, heads=4),
}
"""Sizes of the diffusion prior by name; ``dim``, ``text_dim`` and ``max_text_len`` are CLIP's."""

BRIDGE_SIZES: dict[str, BridgeConfig] = {
    "large": BridgeConfig(),  # 12 M parameters
    "base": BridgeConfig(width=512),  # 6 M
    "mini": BridgeConfig(width=256, depth=2),  # 0.9 M for vectors of 256 numbers
}
"""Sizes of the diffusion bridge by name; ``dim`` is CLIP's."""

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

VOCOS_SIZES: dict[str, VocosConfig] = {
    "large": VocosConfig(),  # 14 M parameters, the backbone of Vocos
    "base": VocosConfig(width=384),  # 8 M
    "mini": VocosConfig(width=256),  # 4 M; 0.25 GFLOP for a second of sound, without the rounds
}
"""Sizes of the Vocos generator by name, for the default MelSpec."""

TRAINED_VOCODERS: dict[type, str] = {VocoderConfig: "bigvgan", VocosConfig: "vocos"}
"""The row of ``models.VOCODERS`` that each configuration describes."""

PRESETS = ("default", "paper")
"""Presets of ``clipsonic train``: what suits data and machine, or section 3 of the paper."""
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16")

TRAIN_FRAMES = 64
"""Frames of mel a U-Net sees in training where its file does not say (CLIPSonic section 3)."""
NATIVE_FRAMES = 128
"""Frames sampled in one piece: 4 s, as the paper does with a network trained on 64. A network that
was trained on more samples as many."""

DEFAULT_STEPS = {"dpmpp": 8, "unipc": 8, "ddim": 50, "ddpm": 1000}
"""Default steps of a sampler; 1000 is the paper's (CLIPSonic section 3)."""
DEFAULT_SAMPLER = "unipc"
"""In 8 steps at the timesteps chosen for mini it is as near to the solution as ``dpmpp`` in 25 that
are evenly spaced (``benchmarks/results/network_calls.md``)."""

PAPER_SAMPLING = {"sampler": "ddpm", "steps": 1000, "dtype": "float32", "seconds": 4.0}
"""How the paper's sounds were made (CLIPSonic section 3, appendix B); of the precision, which it
does not state, the default of improved-diffusion."""

PAPER_VOCODER = "bigvgan"
PAPER_CLIP_SECONDS = 10.0
"""Length of the sounds that the paper reconstructs (CLIPSonic appendix B)."""

PAPER_COUNT = 512
"""Sounds that the paper scores of each model (CLIPSonic section 3)."""


_RENAMED = {"guidance_scale": "guidance"}
"""Fields of recipes that 0.1.0 called otherwise."""
_ADDED = {"guidance_rule": "constant", "student": False}
"""Fields that recipes of 0.1.0 lack, and what their sounds were made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a sound besides the weights; it travels in the sound file's metadata.

    A number out of its range (:data:`ranges.RECIPE`), or a text of another type, is a UsageError.
    """

    text: str | None = None
    image: str | None = None  # path of the image query, as given
    image_sha256: str | None = None
    """Digest of the image's bytes, so that ``--like`` can tell whether it is the same."""
    negative: str | None = None  # a text to steer away from
    negative_image: str | None = None
    negative_image_sha256: str | None = None
    mode: str = "pd"  # a row of ``modes.MODES``
    model: str = "mini"  # name of the model, or its folder as given
    model_id: str | None = None
    """Digest of the weights files read, so that ``--like`` can tell whether they are the same."""
    vocoder: str | None = None  # a name of ``models.VOCODERS``; None leaves the choice to the model
    guidance: float = 1.5  # the paper's w, 0 to 100 (section 2, footnote 2)
    guidance_rule: str = "constant"  # a name of ``diffusion.GUIDANCE_RULES``
    sampler: str = DEFAULT_SAMPLER  # a name of ``diffusion.SAMPLERS``
    steps: int = DEFAULT_STEPS[DEFAULT_SAMPLER]
    student: bool = False
    """Whether the model's student makes the mel, in the steps of ddim that it was trained for."""
    seconds: float = 4.0  # duration, up to 600
    seed: int = 0
    candidates: int = 2
    """Embeddings the prior draws, 1 to 100, of which the nearest to the text is kept."""
    device: str = "cpu"
    """Where it ran ("cpu", "cuda", "mps")."""
    dtype: str = "float32"
    """Precision of the U-Net ("float32", "bfloat16", "float16")."""

    def __post_init__(self) -> None:
        check_fields(self, ranges.RECIPE)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "student":
                if not isinstance(value, bool):
                    raise UsageError(f"student is {shown(value)}; it must be True or False.")
                continue
            optional = field.default is None and value is None
            if field.name not in ranges.RECIPE and not optional and not isinstance(value, str):
                raise UsageError(f"{field.name} is {shown(value)}; it must be text.")

    @classmethod
    def from_json(cls, fields: object) -> "Recipe":
        """Read what ``dataclasses.asdict`` returned, also that of an older version.

        Raises:
            ValueError: A field is missing, unknown or of another type.
            UsageError: A number is out of its range.
        """
        if isinstance(fields, dict):
            fields = _ADDED | {_RENAMED.get(name, name): value for name, value in fields.items()}
        return from_dict(cls, fields, "recipe")

    @property
    def query(self) -> Query:
        """The text or image query; a ValueError where there is none, or both."""
        return Query(text=self.text, image=None if self.image is None else Path(self.image))

    @property
    def negative_query(self) -> Query | None:
        """What to steer away from, or None; a ValueError where it is both a text and an image."""
        if self.negative is None and self.negative_image is None:
            return None
        image = None if self.negative_image is None else Path(self.negative_image)
        return Query(text=self.negative, image=image)

    @property
    def scale(self) -> str:
        """The guidance scale for people, with the rule unless it is constant: "1.5 (interval)"."""
        rule = "" if self.guidance_rule == "constant" else f" ({self.guidance_rule})"
        return f"{self.guidance:g}{rule}"

    def validate(self) -> None:
        """Check that there is one query, and at most one negative; a ValueError if not."""
        if (self.text is None) == (self.image is None):
            raise ValueError("a recipe has either a text or an image")
        if self.negative is not None and self.negative_image is not None:
            raise ValueError("a recipe has either a negative text or a negative image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """What is done to a sound before it is written, in this order; by default nothing."""

    trim: bool = False
    """Remove silence at both ends: what is over 50 dB below the peak."""
    rate: int | None = None
    """Sample rate to convert to, in Hz, 8000 to 192000; no frequencies are added."""
    normalize: float | Literal["peak"] | None = None
    """Loudness to scale to, in LUFS, -60 to 0; or "peak" for a peak of -1 dBFS."""

    def __post_init__(self) -> None:
        if not isinstance(self.trim, bool):
            raise UsageError(f"`trim` is {shown(self.trim)}; it must be True or False.")
        names = ["rate"] if self.normalize == "peak" else list(ranges.FINISH)
        check_fields(self, {name: ranges.FINISH[name] for name in names}, "`{}`")
        if self.rate is not None and self.rate > 65_535 and self.rate % 10:
            raise UsageError(f"`rate` is {self.rate}; FLAC takes multiples of 10 above 65,535 Hz.")

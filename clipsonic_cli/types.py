"""Values that cross rooms, and the protocols the rooms agree on.

Shapes: B batch, D embedding, F mel bands, T frames, N audio samples, L text tokens.
Tensors are named here but torch is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import torch

Space = Literal["clip-image", "clip-text", "clap-text"]
Split = Literal["train", "valid", "test"]
Stage = Literal["unet", "prior", "vocoder"]
"""What ``clipsonic train`` trains at once."""

Report = Callable[[str, int, int], None]
"""Progress without Rich: ``report(stage, done, total)``."""


def silent(stage: str, done: int, total: int) -> None:
    """A :data:`Report` that shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a person asked for: a text or a picture, exactly one of them.

    Args:
        text: The words as typed.
        image: A picture file.

    Raises:
        ValueError: Both or none are given.
    """

    text: str | None = None
    image: Path | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.image is None):
            raise ValueError("a Query is either a text or an image")

    @property
    def kind(self) -> Literal["text", "image"]:
        """Which of the two it is."""
        return "image" if self.text is None else "text"

    @property
    def name(self) -> str:
        """A short name for file names and progress."""
        return self.image.stem if self.image is not None else str(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The vector the U-Net is conditioned on.

    Args:
        embed: (B, D) float32, each row of unit norm.
        space: Which distribution the rows lie in.
        encoder: Identity of the encoder that made them; the U-Net stores the one it was trained on.
    """

    embed: torch.Tensor
    space: Space
    encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file inside a shard, read where it lies and never unpacked.

    Args:
        shard: The tar file's path, or its address on the web.
        name: The file's name in there.
        offset: Bytes before its content.
        size: Bytes of its content.
    """

    shard: str
    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One piece of training material, as a reader lists it: nothing is decoded yet.

    Args:
        id: Its name within the data set, the same wherever that lies. Pieces of one video are
            called "VIDEO@START".
        media: The video, or a still picture.
        sound: Where the sound is, if not in ``media``.
        label: What is heard, in the data set's words; training needs none.
        split: None where the data set states none.
        start: Seconds of the video before the clip.
        seconds: Its length at most; None is to the end.
        problem: Why it cannot be used, where the reader saw that already.
    """

    id: str
    media: Path | Member
    sound: Path | Member | None = None
    label: str | None = None
    split: Split | None = None
    start: float = 0.0
    seconds: float | None = None
    problem: str | None = None

    @property
    def video(self) -> str:
        """What the clips of one video have in common; they share a split."""
        return self.id.rpartition("@")[0] or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Sound in memory.

    Args:
        samples: (N,) float32, mono; a generated sound may exceed [-1, 1], as its mel says.
        sample_rate: In Hz.
    """

    samples: torch.Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples.shape[-1] / self.sample_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a metric says of a set of sounds, with all that is needed to compare it with another.

    Args:
        metric: Which number this is: "fad", or another that the same metric gives along with it,
            as "fad-infinity".
        value: Finite.
        better: Which way is good.
        n: Sounds it is of.
        rows: Vectors the backbone gave for them, such as windows.
        against: Vectors they were compared with.
        backbone: Name of the network that heard the sounds.
        as_paper: Whether that is the metric's own network: the paper's, where the paper has the
            metric. Scores of another have another :attr:`label` and belong beside none of those.
        sample_rate: Of the sounds, in Hz; None where they differ, or where nothing was heard.
        seconds: Mean length of the sounds; None where nothing was heard.
        interval: 95 % confidence interval, by the chance of which sounds were scored: of the mean
            over sounds; of a distance at this number of sounds, bias and all. Scores of other
            sounds differ by their own chance as well. None for too few to tell.
        bias: How much of the value is to be expected of its finite number of sounds alone; None
            where that is 0 or cannot be told.
        notes: What a reader must know to trust it, one line each.
    """

    metric: str
    value: float
    better: Literal["lower", "higher"]
    n: int
    rows: int
    against: int
    backbone: str
    as_paper: bool
    sample_rate: int | None = None
    seconds: float | None = None
    interval: tuple[float, float] | None = None
    bias: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How it is shown: "fad", or "fad[mini]" where the backbone is not the usual one."""
        return self.metric if self.as_paper else f"{self.metric}[{self.backbone}]"


class Noise(Protocol):
    """Where randomness comes from: every sample of a batch owns a generator.

    ``shape[0]`` must be the number of samples; row i is drawn on the CPU from generator i, so that
    neither the batch size nor the device changes a sound.
    """

    def __call__(self, shape: Sequence[int], like: torch.Tensor | None = None) -> torch.Tensor:
        """Draws standard normal noise of the shape, on the device and in the dtype of ``like``."""
        ...


class Denoise(Protocol):
    """A network with condition and guidance already bound.

    Takes x_t (B, ...) and t (B,) int64 indices into the *training* schedule; gives the raw model
    output: eps, x0 or v, followed on axis 1 by variance logits where the config learns a variance.
    """

    def __call__(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Predicts at x_t and t."""
        ...


class Encoder(Protocol):
    """Turns queries into a condition; B queries give a (B, D) embedding of unit norm."""

    def __call__(
        self, queries: Sequence[Query], *, noise: Noise, report: Report = silent
    ) -> Condition:
        """Encodes queries of the one kind this encoder accepts."""
        ...


class Vocoder(Protocol):
    """Turns log-mel (B, 1, F, T) into waveform (B, hop_length * T) of the level that the mel says.

    It may exceed 1: what keeps a file from clipping is ``audio/level.py``, for every vocoder.
    """

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """Inverts natural-log mel."""
        ...


class VocoderNetwork(Vocoder, Protocol):
    """A row of ``models.VOCODERS``: a class of networks, with what it needs.

    It is built with ``spec``, the :class:`~clipsonic_cli.config.MelSpec` it reads; one that has a
    part also with ``config``, the part's configuration.
    """

    part: ClassVar[str | None]
    """The part of a model with its configuration and weights; None: it has nothing learned."""
    context: ClassVar[int | None]
    """Frames to either side that a sample depends on, at most; None: it depends on all."""


class Backbone(Protocol):
    """Hears sounds for a metric: numbers in which like sounds lie close together."""

    name: str
    """As in ``metrics.BACKBONES``."""

    @property
    def identity(self) -> str:
        """Changes with the weights, as vectors by others compare with none of these; or empty."""
        ...

    @property
    def dim(self) -> int:
        """Size D of the vectors."""
        ...

    def embed(self, samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Gives (W, D) float32 on the CPU for mono samples (N,); W is 0 for one too short."""
        ...


class TaggingBackbone(Backbone, Protocol):
    """A backbone whose network was trained to tell classes of sound apart."""

    def tag(self, rows: torch.Tensor) -> torch.Tensor:
        """Gives the probabilities (W, K) of its classes, float32 on the CPU, for rows (W, D)."""
        ...


class AudioTextBackbone(Backbone, Protocol):
    """A backbone that puts texts among the sounds; all its vectors have unit norm."""

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by before a softmax over texts, as learned."""
        ...

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Gives (M, D) float32 on the CPU for M texts."""
        ...

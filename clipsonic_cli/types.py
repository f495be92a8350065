"""Values shared by the packages, and the protocols between them.

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
Stage = Literal["unet", "student", "prior", "bridge", "vocoder"]
"""What one run of ``clipsonic train`` trains."""

Report = Callable[[str, int, int], None]
"""Progress without Rich: ``report(stage, done, total)``."""


def silent(stage: str, done: int, total: int) -> None:
    """A :data:`Report` that shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A text or an image, exactly one of them; else a ValueError."""

    text: str | None = None  # as typed
    image: Path | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.image is None):
            raise ValueError("a Query is either a text or an image")

    @property
    def kind(self) -> Literal["text", "image"]:
        """Which of the two it is."""
        return "image" if self.text is None else "text"

    @property
    def path(self) -> str | None:
        """The image's path as text."""
        return None if self.image is None else str(self.image)

    @property
    def name(self) -> str:
        """A short name for file names and progress."""
        return self.image.stem if self.image is not None else str(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The vectors the U-Net is conditioned on."""

    embed: torch.Tensor  # (B, D) float32, each row of unit norm
    space: Space
    encoder: str
    """Identity of the encoder that made them; the U-Net stores the one it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file inside a shard, read in place and never unpacked."""

    shard: str  # the tar file's path or web address
    name: str  # the file's name in the shard
    offset: int  # bytes before its content
    size: int  # bytes of its content


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip of a data set, as a reader lists it: nothing is decoded yet."""

    id: str
    """Its name within the data set, wherever that is stored. Clips of one video are called
    "VIDEO@START"."""
    media: Path | Member  # the video, or a still image
    sound: Path | Member | None = None  # the audio, if it is not in ``media``
    label: str | None = None  # the sound's class, in the data set's words; training needs none
    split: Split | None = None  # None where the data set states none
    start: float = 0.0  # seconds of the video before the clip
    seconds: float | None = None  # its length at most; None is to the end
    problem: str | None = None  # why it cannot be used, where the reader saw that already

    @property
    def video(self) -> str:
        """What the clips of one video have in common; they share a split."""
        return self.id.rpartition("@")[0] or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Audio in memory."""

    samples: torch.Tensor
    """(N,) float32, mono; a generated sound may exceed [-1, 1], as its mel says."""
    sample_rate: int  # in Hz

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples.shape[-1] / self.sample_rate


class Note(str):
    """A line that people must know of scores, with a short form and its importance.

    Reports have all notes, in full; a terminal has the short forms of the most important.
    """

    brief: str
    rank: Literal[1, 2, 3]
    """1 where numbers mislead without it, 2 for what differs from expectations, 3 for details."""

    def __new__(cls, text: str, brief: str = "", rank: Literal[1, 2, 3] = 2) -> Note:
        """Build a note; a short text is its own short form, and another Note stays as it is."""
        if isinstance(text, Note):
            return text
        note = super().__new__(cls, text)
        note.brief, note.rank = brief or text, rank
        return note

    def changed(self, change: Callable[[str], str]) -> Note:
        """Return the note with both forms changed."""
        return Note(change(str(self)), change(self.brief), self.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric's value for a set of sounds, with all that is needed to compare it with another."""

    metric: str
    """Which number this is: "fad", or another that the same metric gives along with it, as
    "fad-infinity"."""
    value: float  # finite
    better: Literal["lower", "higher"]
    n: int  # sounds scored
    rows: int  # vectors the backbone gave for them, such as windows
    against: int  # vectors they were compared with
    backbone: str  # name of the network that embedded the sounds
    as_paper: bool
    """Whether that is the metric's own network: the paper's, where the paper has the metric. Scores
    of another have another :attr:`label` and cannot be compared with it."""
    sample_rate: int | None = None
    """Sample rate of the sounds in Hz; None where they differ, or no audio was read."""
    seconds: float | None = None  # mean length of the sounds; None where no audio was read
    interval: tuple[float, float] | None = None
    """95 % confidence interval, by the chance of which sounds were scored: of the mean over sounds;
    of a distance at this number of sounds, bias and all. Scores of other sounds differ by their own
    chance as well. None for too few to tell."""
    bias: float | None = None
    """How much of the value is to be expected of its finite number of sounds alone; None where that
    is 0 or unknown."""
    notes: tuple[str, ...] = ()  # what a reader must know to trust it, one line each
    ranks: bool = True
    """Whether systems may be ordered by it; False where its network does not know the labels that
    sounds are compared with, or may not."""

    @property
    def label(self) -> str:
        """How it is shown: "fad", or "fad[mini]" where the backbone is not the usual one."""
        return self.metric if self.as_paper else f"{self.metric}[{self.backbone}]"


class Noise(Protocol):
    """A source of randomness: every sample of a batch has its own generator.

    ``shape[0]`` must be the number of samples; row i is drawn on the CPU from generator i, so that
    neither the batch size nor the device changes a sound.
    """

    def __call__(self, shape: Sequence[int], like: torch.Tensor | None = None) -> torch.Tensor:
        """Draw standard normal noise of the shape, on the device and in the dtype of ``like``."""
        ...


class Denoise(Protocol):
    """A network with condition and guidance already bound.

    Takes x_t (B, ...) and t (B,) int64 indices into the *training* schedule; returns the raw model
    output: eps, x0 or v, followed on axis 1 by variance logits where the config learns a variance.
    """

    def __call__(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Predict at x_t and t."""
        ...


class Encoder(Protocol):
    """Encodes B queries as a condition: (B, D) embeddings of unit norm."""

    def __call__(
        self, queries: Sequence[Query], *, noise: Noise, report: Report = silent
    ) -> Condition:
        """Encode queries of the one kind this encoder takes."""
        ...


class Vocoder(Protocol):
    """Turns log-mel (B, 1, F, T) into waveform (B, hop_length * T) of the level that the mel says.

    It may exceed 1: what keeps a file from clipping is ``audio/level.py``, for every vocoder.
    """

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """Invert natural-log mel."""
        ...


class VocoderNetwork(Vocoder, Protocol):
    """A row of ``models.VOCODERS``: a class of networks, with what it needs.

    It is built with ``spec``, the :class:`~clipsonic_cli.config.MelSpec` it reads; one that has a
    part also with ``config``, the part's configuration.
    """

    part: ClassVar[str | None]
    """The part of a model with its configuration and weights; None: it has nothing learned."""
    context: int
    """Frames to either side that a sample depends on, at most."""


class Backbone(Protocol):
    """Embeds audio for a metric; similar sounds have nearby embeddings."""

    name: str
    """Its key in ``metrics.BACKBONES``."""

    @property
    def identity(self) -> str:
        """Changes with the weights, as embeddings by others cannot be compared; or empty."""
        ...

    @property
    def dim(self) -> int:
        """Size D of the vectors."""
        ...

    def embed(self, samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return (W, D) float32 on the CPU for mono samples (N,); W is 0 for one too short."""
        ...


class TaggingBackbone(Backbone, Protocol):
    """A backbone whose network was trained to classify sounds."""

    def tag(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (W, K) of its classes, float32 on the CPU, for rows (W, D)."""
        ...


class AudioImageBackbone(Backbone, Protocol):
    """A backbone that embeds images in the same space."""

    def embed_images(self, images: Sequence[Path]) -> torch.Tensor:
        """Return (M, D) float32 on the CPU for M image files."""
        ...


class AudioTextBackbone(Backbone, Protocol):
    """A backbone that embeds texts in the same space; all its vectors have unit norm."""

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by before a softmax over texts, as learned."""
        ...

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Return (M, D) float32 on the CPU for M texts."""
        ...

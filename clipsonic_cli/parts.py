"""A model's networks, read when they are first needed and then kept.

Knows which class a part's file stands for and that parts must fit each other. Does not know what
is done with them (``pipeline.py``).
"""

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from clipsonic_cli.audio.griffin_lim import GriffinLim
from clipsonic_cli.config import (
    TRAIN_FRAMES,
    VOCODERS,
    MelSpec,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders import ENCODERS
from clipsonic_cli.encoders.clap import ClapModel, load_clap
from clipsonic_cli.encoders.clip import ClipModel, load_clip
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.clip import needs_torchvision
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.modes import Mode
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.assets import recorded_digest
from clipsonic_cli.store.compatibility import check_fits
from clipsonic_cli.store.home import NoHome, cache_home
from clipsonic_cli.types import Encoder, Vocoder

MAX_WINDOW = 16_384
"""Most frames a U-Net is trained on; beyond any use."""

T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)
Maker = Callable[..., Encoder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoiser:
    """A U-Net and what it was trained on.

    Args:
        unet: In evaluation mode, where and in which precision it runs.
        process: The process it was trained on.
        spec: The geometry of its mels.
        window: Frames it saw in training.
    """

    unet: UNet
    process: Process
    spec: MelSpec
    window: int


class Parts:
    """The networks of one model on one device.

    Args:
        folder: The model's files.
        device: Where networks run.
        dtype: Precision of the U-Net; all others are float32.
    """

    def __init__(
        self, folder: model_folders.ModelFolder, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.folder = folder
        self.device = device
        self.dtype = dtype
        self._kept: dict[tuple[str, str], Any] = {}

    def header(self, name: str) -> bundle.Header:
        """Gives what a part says about itself, without its weights."""
        return self._once("header", name, lambda: bundle.read_header(self.folder.part(name)))

    def identity(self, names: Sequence[str]) -> str:
        """Gives a digest, 16 hexadecimal digits, that changes with any byte of these parts."""

        def digest(name: str) -> str:
            path = self.folder.part(name)
            # What was downloaded was hashed then, and may be gigabytes.
            return (recorded_digest(path) or "")[:16] or bundle.identity(path)

        def of(name: str) -> str:
            return self._once("identity", name, lambda: digest(name))

        told = " ".join(f"{name}={of(name)}" for name in names)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def check(self, names: Sequence[str], mode: Mode) -> None:
        """Refuses parts that are not there, or would make noise instead of sound together.

        Raises:
            MissingWeights: One is not on this machine.
            BadBundle: Two disagree, or one is damaged.
        """
        self.folder.require(names)
        headers = {name: self.header(name) for name in names}
        priors: list[bundle.Header | None] = [h for h in headers.values() if h.kind == "prior"]
        for prior in priors or [None]:
            check_fits(
                unet=headers[mode.unet],
                vocoder=headers.get("vocoder"),
                clip=headers.get("clip"),
                clap=headers.get("clap"),
                prior=prior,
                trained_on=mode.trained_on,
            )

    def denoiser(self, name: str) -> Denoiser:
        """Gives a U-Net."""
        return self._once("denoiser", name, lambda: self._read_denoiser(name))

    def encoder(self, mode: Mode, *, candidates: int) -> Encoder:
        """Gives a mode's encoder, made of all the mode's parts but the U-Net.

        Args:
            mode: A row of ``modes.MODES``.
            candidates: Embeddings a prior draws for each text.
        """
        binders: dict[str, Callable[[Maker, str], Maker]] = {
            "clip": self._with_clip,
            "clap": self._with_clap,
            "prior": functools.partial(self._with_prior, candidates=candidates),
        }

        def make() -> Encoder:
            # The prior's encoder imports the prior, and that dalle2-pytorch.
            with needs_torchvision("dalle2-pytorch"):
                encoder: Maker = ENCODERS.load(mode.encoder)
            for name in mode.weights:
                if name != mode.unet:
                    encoder = binders[self.header(name).kind](encoder, name)
            return encoder()

        return self._once("encoder", f"{mode.encoder} {candidates}", make)

    def vocoder(self, name: str, spec: MelSpec) -> Vocoder:
        """Gives a vocoder of ``config.VOCODERS`` for mels of a geometry."""
        makers: dict[str, Callable[[], nn.Module]] = {
            "bigvgan": self._read_bigvgan,
            "griffin-lim": lambda: GriffinLim(spec),
        }
        return self._once("vocoder", f"{name} {spec}", lambda: makers[name]().to(self.device))

    def default_vocoder(self) -> tuple[str, str]:
        """Gives the name of the vocoder to use when none is asked for, and why it is this one.

        A vocoder's meta names as "default_vocoder" what scored better when the model was made.

        Raises:
            BadBundle: It names what is no vocoder, or the vocoder's file is damaged.
        """
        if not self.folder.has("vocoder"):
            return "griffin-lim", "this model has no trained vocoder, so expect a rough sound"
        meta = self.header("vocoder").meta
        name = meta.get("default_vocoder", "bigvgan")
        if name not in VOCODERS:
            raise BadBundle(
                f"The vocoder names {name!r} as the default; known: {', '.join(VOCODERS)}."
            )
        scored = "default_vocoder" in meta
        return name, "the model's default" + (", which scored better" if scored else "")

    def _with_clip(self, encoder: Maker, name: str) -> Maker:
        """Binds the CLIP an encoder is made of."""

        def make() -> ClipModel:
            with buildable(name):
                return load_clip(self._load(name)).to(self.device)

        return functools.partial(encoder, self._once("clip", name, make))

    def _with_clap(self, encoder: Maker, name: str) -> Maker:
        """Binds the CLAP an encoder is made of."""

        def make() -> ClapModel:
            return load_clap(self._load(name)).to(self.device)

        return functools.partial(encoder, self._once("clap", name, make))

    def _with_prior(self, encoder: Maker, name: str, *, candidates: int) -> Maker:
        """Binds the prior an encoder is made of."""
        from clipsonic_cli.models.prior import Prior  # takes seconds, and only text needs it

        part = self._load(name)
        config = cast(PriorConfig, part.header.config)
        fill(outline(name, lambda: Prior(config)), part.weights, name)  # before it takes memory
        prior = Prior(config)  # a buffer of it is in no file, so the outline cannot be used
        fill(prior, part.weights, name)
        prior.to(self.device, torch.float32)
        return functools.partial(
            encoder,
            prior,
            part.header.diffusion,
            identity=self.identity([name]),
            candidates=candidates,
            cache=_prior_cache(),
        )

    def _load(self, name: str) -> bundle.Bundle:
        """Reads a part."""
        return bundle.load(self.folder.part(name), kind=self.header(name).kind)

    def _read_denoiser(self, name: str) -> Denoiser:
        """Reads a U-Net and its process."""
        part = self._load(name)
        unet = outline(name, lambda: UNet(cast(UNetConfig, part.header.config)))
        fill(unet, part.weights, name)
        # Channels last: convolutions of the small model are 3 % faster on a CPU.
        unet.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert part.header.diffusion is not None  # a U-Net's header has both
        assert part.header.mel is not None
        return Denoiser(
            unet=unet,
            process=Process(part.header.diffusion),
            spec=part.header.mel,
            window=training_window(part.header),
        )

    def _read_bigvgan(self) -> nn.Module:
        """Reads the trained vocoder; always float32, as half precision is audible in a vocoder."""
        part = self._load("vocoder")
        config, spec = cast(VocoderConfig, part.header.config), part.header.mel
        assert spec is not None  # a vocoder's header has one
        vocoder = outline("vocoder", lambda: BigVGAN(config, spec))
        fill(vocoder, part.weights, "vocoder")
        return InPieces(vocoder.float())

    def _once(self, what: str, name: str, make: Callable[[], T]) -> T:
        """Makes something the first time it is asked for."""
        if (what, name) not in self._kept:
            self._kept[what, name] = make()
        kept: T = self._kept[what, name]
        return kept


class InPieces(nn.Module):
    """A vocoder that computes long mels in pieces, so that only its sound grows with them.

    Pieces overlap by more than the vocoder's receptive field, so that what is kept of each is what
    the vocoder gives for the whole, but for rounding. A mel of one piece is not touched.

    Args:
        vocoder: A convolutional network, such as BigVGAN; it sees less than ``margin`` frames to
            either side.
        frames: Frames kept of a piece; 512 are 16 s.
        margin: Frames more on either side.
    """

    def __init__(self, vocoder: nn.Module, *, frames: int = 512, margin: int = 32) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.frames = frames
        self.margin = margin

    def forward(self, mel: Tensor) -> Tensor:
        """Gives (B, hop_length * T) for a natural-log mel (B, 1, F, T)."""
        total = mel.shape[-1]
        pieces = []
        for start in range(0, total, self.frames):
            left = max(start - self.margin, 0)
            waveform = self.vocoder(mel[..., left : start + self.frames + self.margin])
            hop = waveform.shape[-1] // (min(start + self.frames + self.margin, total) - left)
            pieces.append(waveform[:, (start - left) * hop :][:, : self.frames * hop])
        return torch.cat(pieces, dim=-1)


def training_window(header: bundle.Header) -> int:
    """Return the frames of mel a U-Net saw in training: as its file says, or the paper's.

    Raises:
        BadBundle: Its file says what no window is.
    """
    settings = header.meta.get("settings")
    window = settings.get("window", TRAIN_FRAMES) if isinstance(settings, dict) else TRAIN_FRAMES
    if type(window) is not int or not 1 <= window <= MAX_WINDOW:
        raise BadBundle(
            f"The U-Net says that it was trained on {window!r:.40} frames; allowed: 1 to "
            f"{MAX_WINDOW}."
        )
    return window


@contextmanager
def buildable(name: str) -> Iterator[None]:
    """Turns what a network says of a configuration that makes no sense into a :class:`BadBundle`.

    Args:
        name: The part whose configuration it is.
    """
    try:
        yield
    except (ValueError, LookupError, ArithmeticError) as error:
        raise BadBundle(f"'{name}' describes a network that cannot be built: {error}.") from None


def outline(name: str, make: Callable[[], N]) -> N:
    """Makes a network without memory for its weights, which :func:`fill` gives it.

    Only for networks whose every buffer is in their files.

    Args:
        name: The part it is of, for messages.
        make: Builds the network.

    Raises:
        BadBundle: Its configuration describes no network.
    """
    with buildable(name), torch.device("meta"):
        try:
            return make()
        except RuntimeError as error:  # here it cannot be for want of memory
            raise ValueError(error) from None


def fill(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Gives a network its weights, all of them and no others, and sets it to evaluation.

    Raises:
        BadBundle: The weights are not those of the part's configuration.
    """
    try:
        network.load_state_dict(dict(weights), assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadBundle(f"The weights of '{name}' do not fit its configuration: {reason}") from None
    network.eval().requires_grad_(requires_grad=False)


def check_vocoder(name: str) -> str:
    """Gives the name back.

    Raises:
        UsageError: There is no such vocoder.
    """
    if name not in VOCODERS:
        raise unknown("vocoder", name, list(VOCODERS))
    return name


def _prior_cache() -> Path | None:
    """Return the folder of the vectors that the prior drew; None, with a warning, without a home.

    They are only wanted: what was drawn once is drawn again.
    """
    try:
        return cache_home() / "prior"
    except NoHome as error:
        warnings.warn(f"The prior's vectors are not kept for the next time. {error}", stacklevel=2)
        return None

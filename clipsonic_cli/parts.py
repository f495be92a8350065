"""A model's networks, loaded when they are first needed and then kept."""

import hashlib
import warnings
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch

from clipsonic_cli.config import (
    TRAINED_VOCODERS,
    MelSpec,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders import ENCODERS
from clipsonic_cli.encoders.bridge import entry_of, load_bridge
from clipsonic_cli.encoders.clap import load_clap
from clipsonic_cli.encoders.clip import ClipModel, load_clip, mini_tokenizer
from clipsonic_cli.encoders.prior import load_prior
from clipsonic_cli.encoders.tokenizers import TOKENIZER
from clipsonic_cli.encoders.transfer import load_statistics
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.models import VOCODERS, state_dict
from clipsonic_cli.models.clip import MINI
from clipsonic_cli.models.familiarity import Familiarity, Nearness
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.modes import Mode
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.assets import recorded_digest
from clipsonic_cli.store.compatibility import GIVING, check_fits
from clipsonic_cli.store.known import known_labels, vector_names
from clipsonic_cli.text import check_words, names_any
from clipsonic_cli.types import Encoder, Query, Vocoder

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoiser:
    """A U-Net and what it was trained on."""

    unet: UNet
    """In evaluation mode, where and in which precision it runs."""
    process: Process
    spec: MelSpec
    window: int
    """Frames of mel it saw in training."""


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
        self._kept: dict[tuple[Hashable, ...], Any] = {}

    def header(self, name: str) -> bundle.Header:
        """Return a part's header; reads no weights."""
        return self._once(("header", name), lambda: bundle.read_header(self.folder.part(name)))

    def identity(self, names: Sequence[str]) -> str:
        """Return a digest, 16 hexadecimal digits, that changes with any byte of these parts."""
        digests = " ".join(f"{name}={self._digest(name)}" for name in names)
        return hashlib.sha256(digests.encode()).hexdigest()[:16]

    def _digest(self, name: str) -> str:
        path = self.folder.part(name)
        # What was downloaded was hashed then, and may be gigabytes.
        return self._once(
            ("digest", name), lambda: (recorded_digest(path) or "")[:16] or bundle.identity(path)
        )

    def check(self, names: Sequence[str], mode: Mode) -> None:
        """Check that parts are on this machine and fit each other.

        Raises:
            MissingWeights: One is not on this machine.
            BadBundle: Two disagree, or one is damaged.
        """
        self.folder.require(names)
        headers = {name: self.header(name) for name in names}
        check_fits(
            unet=headers[mode.unet],
            vocoder=headers.get("vocoder"),
            clip=headers.get("clip"),
            clap=headers.get("clap"),
            sources=[h for h in headers.values() if isinstance(h.config, GIVING)],
            trained_on=mode.trained_on,
        )

    def check_vocoder(self, name: str) -> None:
        """Check that a vocoder, if it needs a part, is the one that this model has."""
        stem = VOCODERS.load(name).part
        if stem is None:
            return
        trained = TRAINED_VOCODERS[type(self.header(stem).config)]
        if trained != name:
            raise UsageError(
                f"The vocoder of this model is {trained}, not {name}. Choose `vocoder` {trained}, "
                "or griffin-lim, which needs no training."
            )

    def denoiser(self, name: str) -> Denoiser:
        """Return a U-Net and its process."""
        return self._once(("denoiser", name), lambda: self._load_denoiser(name))

    def encoder(self, mode: Mode, *, candidates: int) -> Encoder:
        """Return a mode's encoder, built of all the mode's parts but the U-Net.

        Args:
            mode: A row of ``modes.MODES``.
            candidates: Embeddings a prior draws for each text.
        """
        key = ("encoder", mode.encoder, candidates)
        return self._once(key, lambda: self._build_encoder(mode, candidates))

    def vocoder(self, name: str, spec: MelSpec) -> Vocoder:
        """Return a vocoder of ``VOCODERS``; one without a part reads mels of the geometry."""
        return self._once(("vocoder", name, spec), lambda: self._load_vocoder(name, spec))

    def check_text(self, text: str, mode: Mode) -> None:
        """Check that a mode's CLIP knows a word of a text; loads its tokenizer alone.

        Only mini's has words of which it knows no piece (see ``encoders.clip.word_pieces``).
        """
        if "clip" not in mode.weights or not self._has_mini():
            return
        path = self.folder.part("clip")
        tokenize = self._once(
            ("tokenize",), lambda: mini_tokenizer(bundle.load(path, kind="clip", only=TOKENIZER))
        )
        with warnings.catch_warnings():  # of a text that is cut, which follow when it is encoded
            warnings.simplefilter("ignore")
            tokenize([check_words(text)])

    def _has_mini(self) -> bool:
        """Return whether the model's CLIP is mini's."""
        config = self.header("clip").config
        return isinstance(config, dict) and config.get("architecture") == MINI

    def nearness(self, query: Query, mode: Mode) -> Nearness | None:
        """Return the sounds that a query is nearest to, by its CLIP vector before any prior.

        None where the model lists no sounds, or has another CLIP than mini's and no vectors of
        their names: to embed them would take seconds.
        """
        if "clip" not in mode.weights:
            return None
        statistics = self._statistics_of(mode)
        stored = vector_names(statistics)
        if not stored and not self._has_mini():
            return None
        names = stored or known_labels(self.header(mode.unet), statistics)
        if not names:
            return None
        text, image = query.text, query.image
        if text and names_any(text, names):
            return Nearness(nearest={})
        clip: ClipModel = self._network("clip")
        with suppress(UsageError, BadBundle), warnings.catch_warnings():  # of a text that is cut
            warnings.simplefilter("ignore")
            familiarity = self._once(
                ("familiarity", mode.unet),
                lambda: self._familiarity(clip, names, statistics is not None),
            )
            embed = clip.embed_images([image]) if image else clip.embed_text([text or ""])[0]
            return familiarity(embed[0], mode.query)
        return None

    def _statistics_of(self, mode: Mode) -> bundle.Header | None:
        """Return the header of the statistics of the frames that a mode's U-Net was trained on."""
        if mode.trained_on != "clip-image" or not self.folder.has("statistics"):
            return None
        header = self.header("statistics")
        return header if header.encoder == self.header("clip").encoder else None

    def _familiarity(self, clip: ClipModel, names: list[str], has_frames: bool) -> Familiarity:
        """Return the sounds of these names, measured where there are frames of them."""
        statistics: Statistics | None = self._network("statistics") if has_frames else None
        texts = None if statistics is None else statistics.known
        if texts is None or len(texts) != len(names):
            texts = clip.embed_text([name.replace("_", " ") for name in names])[0]
        if statistics is None:
            return Familiarity.by_texts(names, texts)
        return Familiarity.measure(names, texts, statistics)

    def splits_words(self, text: str) -> bool:
        """Return whether mini's CLIP, if it is the model's, knows words only in pieces, two a word.

        Those of other languages are, which it places anywhere ("Hund" near a gunshot).
        """
        if not self._has_mini():
            return False
        clip: ClipModel = self._network("clip")
        with warnings.catch_warnings():  # of a text that is cut
            warnings.simplefilter("ignore")
            pieces = int((clip.tokenize([text]) != 0).sum()) - 2  # without those of start and end
        return pieces >= 2 * len(text.split())

    def default_vocoder(self) -> tuple[str, str]:
        """Return the vocoder to use where none is named, and why.

        A trained one is the default only where its part's meta says so ("default_vocoder"), as it
        scored better ("scores") or its maker chose it; else it is the one that needs no part.

        Raises:
            BadBundle: The meta names no vocoder, or the part's file is damaged.
        """
        parts = {name: VOCODERS.load(name).part for name in VOCODERS}
        plain = next(name for name, part in parts.items() if part is None)
        stem = next(part for part in parts.values() if part is not None)
        if not self.folder.has(stem):
            return plain, "this model has no trained vocoder, so expect a rough sound"
        header = self.header(stem)
        trained, meta = TRAINED_VOCODERS[type(header.config)], header.meta
        if "default_vocoder" not in meta:
            why = f"the default, as {trained} was not compared with it"
            return plain, f"{why}; `vocoder` {trained} plays it"
        name = meta["default_vocoder"]
        able = [row for row, part in parts.items() if part is None or row == trained]
        if name not in able:
            raise BadBundle(
                f"The vocoder names {name!r:.40} as the default; known: {', '.join(able)}."
            )
        return name, f"the model's default{', which scored better' if 'scores' in meta else ''}"

    def _build_encoder(self, mode: Mode, candidates: int) -> Encoder:
        build: Callable[..., Encoder] = ENCODERS.load(mode.encoder)
        arguments: dict[str, Any] = {}
        for name in mode.weights:
            if name == mode.unet:
                continue
            kind = self.header(name).kind
            arguments[kind] = self._network(name)
            if kind in ("prior", "bridge"):
                arguments["diffusion"] = self.header(name).diffusion
            if kind == "bridge":
                arguments["entry"] = entry_of(self.header(name))
            if kind == "prior":
                arguments["candidates"] = candidates
        return build(**arguments)

    def _network(self, name: str) -> Any:
        """Return what an encoder is built of, loaded the first time."""
        return self._once(("network", name), lambda: self._load_network(name))

    def _load_network(self, name: str) -> Any:
        """Load a CLIP, a CLAP, statistics, a bridge or a prior."""
        part = self._read(name)
        match part.header.kind:
            case "clip":
                return load_clip(part).to(self.device)
            case "clap":
                return load_clap(part).to(self.device)
            case "statistics":
                return load_statistics(part, name).to(self.device)
            case "bridge":
                return load_bridge(part, name).to(self.device)
            case _:
                return load_prior(part, name).to(self.device)

    def _load_denoiser(self, name: str) -> Denoiser:
        part = self._read(name)
        config = cast(UNetConfig, part.header.config)
        unet = state_dict.build(lambda: UNet(config), part.weights, name)
        # Channels last: convolutions of the small model are 3 % faster on a CPU.
        unet.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert part.header.diffusion is not None  # a U-Net's header has both
        assert part.header.mel is not None
        return Denoiser(
            unet=unet,
            process=Process(part.header.diffusion),
            spec=part.header.mel,
            window=bundle.training_window(part.header),
        )

    def _load_vocoder(self, name: str, spec: MelSpec) -> Vocoder:
        stem = VOCODERS.load(name).part
        if stem is None:
            return build_vocoder(name, spec, device=self.device)
        self.check_vocoder(name)
        part = self._read(stem)
        assert part.header.mel is not None  # a vocoder's header has one
        config = cast(VocoderConfig | VocosConfig, part.header.config)
        return build_vocoder(name, part.header.mel, config, part.weights, device=self.device)

    def _read(self, name: str) -> bundle.Bundle:
        return bundle.load(self.folder.part(name), kind=self.header(name).kind)

    def _once(self, key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """Return what was made for a key, making it the first time."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept

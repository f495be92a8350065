"""Read and write bundles: one safetensors file per part of a model, with a JSON header.

The header is one string under the key ``clipsonic`` of the file's safetensors metadata; the tensors
are the weights to sample from (EMA only), without training state. Reading executes nothing, and a
damaged file is always a :class:`BadBundle`. ``read_header`` does not import torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clipsonic_cli.atomic import written
from clipsonic_cli.config import (
    NATIVE_FRAMES,
    TRAIN_FRAMES,
    BridgeConfig,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    StatisticsConfig,
    StudentConfig,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)
from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.store.eight_bit import SCALES, unpacked
from clipsonic_cli.types import Space

if TYPE_CHECKING:
    import torch

Kind = Literal[
    "unet",
    "student",
    "prior",
    "bridge",
    "vocoder",
    "statistics",
    "clip",
    "clap",
    "vggish",
    "panns",
    "passt",
    "wav2clip",
    "audiobox",
    "listener",
]
Network = UNetConfig | StudentConfig | PriorConfig | BridgeConfig | VocoderConfig | VocosConfig
Config = Network | StatisticsConfig | dict[str, Any]

FORMAT = 1
KEY = "clipsonic"
MAX_HEADER = 8 << 20
"""Bytes of safetensors header, at most; the largest network here needs 0.1 MB."""

KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "unet": (UNetConfig, ("mel", "diffusion", "space", "encoder")),
    "student": (StudentConfig, ("mel", "diffusion", "space", "encoder")),
    "prior": (PriorConfig, ("diffusion", "space", "encoder")),
    "bridge": (BridgeConfig, ("diffusion", "space", "encoder")),
    "vocoder": (VocoderConfig | VocosConfig, ("mel",)),
    "statistics": (StatisticsConfig, ("space", "encoder")),
    "clip": (dict, ("encoder",)),  # open_clip's description of a model, an open set
    "clap": (dict, ("encoder",)),  # ClapConfig of models/clap.py
    "vggish": (dict, ()),  # empty: there is one VGGish
    "panns": (dict, ()),  # and one CNN14 of 16 kHz
    "passt": (dict, ()),  # and one PaSST-S of 10 s
    "wav2clip": (dict, ()),  # with the image tower of CLIP ViT-B/32
    "audiobox": (dict, ()),  # and one Audiobox Aesthetics
    "listener": (dict, ("mel", "encoder")),  # ListenerConfig of models/listener.py
}
"""Type of each kind's config, and the optional fields of a header that it must have."""
LARGEST: dict[str, int] = {
    **dict.fromkeys(("num_res_blocks", "window"), 16),
    **dict.fromkeys(("channel_mult", "attention_downsample", "depth", "ff_mult"), 128),
    **dict.fromkeys(("text_depth", "audio_depths"), 128),
    **dict.fromkeys(("n_mels", "resblock_kernel_sizes", "rounds"), 512),
    **dict.fromkeys(("max_guidance", "calls"), 128),
    **dict.fromkeys(("num_heads", "heads", "dim_head", "text_heads", "audio_heads"), 1024),
    **dict.fromkeys(("upsample_rates", "resblock_dilation_sizes"), 1024),
    "image_size": 2048,
    **dict.fromkeys(("channels", "cond_dim", "dim", "text_dim", "audio_dim", "width"), 8192),
    **dict.fromkeys(("max_text_len", "upsample_kernel_sizes"), 8192),
    **dict.fromkeys(("n_fft", "hop_length", "frames", "kept"), 16_384),
    **dict.fromkeys(("train_steps", "num_timesteps"), 100_000),
    **dict.fromkeys(("sample_rate", "vocab_size"), 400_000),
}
"""Largest value of each number, beyond any use, so that a damaged header cannot take all memory."""
MAX_ITEMS = 8
"""Items of a list in a header, such as the levels of a network, at most."""
MAX_LABELS = 1000
"""Labels of a U-Net that are read, at most."""
MAX_WINDOW = 16_384
"""Most frames a U-Net is trained on; beyond any use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Description of a part.

    Raises:
        ValueError: A field the kind needs is missing, a number is out of its range, or two fields
            contradict each other.
    """

    kind: Kind
    config: Config
    """The network's configuration; for a CLIP, CLAP or listener a dictionary."""
    mel: MelSpec | None = None
    """Geometry of the mel a U-Net generates, or a vocoder or listener reads."""
    diffusion: DiffusionConfig | None = None
    """The process a U-Net, a prior or a bridge was trained on."""
    space: Space | None = None
    """The embedding space of a U-Net's input, a prior's output, or the frames of a bridge or
    of statistics."""
    encoder: str | None = None
    """Identity of the encoder of that space; a CLIP's or CLAP's own."""
    meta: dict[str, Any] = field(default_factory=dict)
    """For people: training steps, data, licence, scores. JSON values."""

    def __post_init__(self) -> None:
        # Check the fields.
        config_type, needed = KINDS[self.kind]
        if not isinstance(self.config, config_type):
            raise ValueError(f"a {self.kind} has no config of type {type(self.config).__name__}")
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"a {self.kind} needs '{name}'")
        # Check ranges.
        config, mel, diffusion = self.config, self.mel, self.diffusion
        fields = dataclasses.asdict(self)  # a CLIP's or CLAP's config is a dictionary already
        for name, value in (fields["config"] | (fields["mel"] or {})).items():
            _check_size(name, value)
        if diffusion is not None:
            _check_size("train_steps", diffusion.train_steps)
        if mel is not None and not (
            0 <= mel.f_min < mel.f_max <= mel.sample_rate / 2 and 2 * mel.hop_length <= mel.n_fft
        ):
            raise ValueError(
                f"a mel from {mel.f_min} to {mel.f_max} Hz at {mel.sample_rate} Hz, with windows "
                f"of {mel.n_fft} every {mel.hop_length} samples, is impossible"
            )
        # Check that fields agree.
        if isinstance(config, UNetConfig) and mel is not None:
            halvings = len(config.channel_mult) - 1
            if mel.n_mels % (1 << halvings):
                raise ValueError(
                    f"n_mels {mel.n_mels} cannot be halved {halvings} times, once for each level"
                )
        if isinstance(config, UNetConfig) and diffusion is not None:
            learned = diffusion.variance == "learned_range"
            if config.learn_variance != learned:
                raise ValueError(
                    f"learn_variance {config.learn_variance} of the network contradicts variance "
                    f"'{diffusion.variance}' of the process"
                )
        if isinstance(config, PriorConfig) and diffusion is not None:
            steps = diffusion.train_steps
            if config.num_timesteps != steps:
                raise ValueError(
                    f"num_timesteps {config.num_timesteps} of the network contradicts train_steps "
                    f"{steps} of the process"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A part: its header and the network's state dict."""

    header: Header
    weights: Mapping[str, torch.Tensor]


def write(path: Path, bundle: Bundle) -> None:
    """Write a part atomically into an existing folder; tensors keep their dtype.

    Raises:
        ValueError: ``meta`` has a value that is not JSON.
        OSError: The file cannot be written, or the disk is full.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = json.dumps({"format": FORMAT, **dataclasses.asdict(bundle.header)}, allow_nan=False)
    weights: dict[str, torch.Tensor] = {}
    pointers: set[int] = set()
    for key, value in bundle.weights.items():
        dense = value.detach().cpu()
        storage = dense.untyped_storage()
        # safetensors refuses tensors that share memory; a copy of each would take gigabytes.
        if (
            not dense.is_contiguous()
            or storage.nbytes() != dense.nbytes
            or storage.data_ptr() in pointers
        ):
            dense = dense.clone(memory_format=torch.contiguous_format)
        pointers.add(dense.untyped_storage().data_ptr())
        weights[key] = dense
    try:
        with written(path) as temporary:
            save_file(weights, temporary, metadata={KEY: header})  # no copy in memory
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from None


def read_header(path: Path) -> Header:
    """Return a part's header without reading its tensors.

    Raises:
        MissingWeights: There is no such file.
        BadBundle: It is not a bundle, is damaged or of another format version, or describes a
            network this version does not know.
    """
    metadata = _read_metadata(path)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise BadBundle(
            f"{path} is a safetensors file without a '{KEY}' header: it is no part of a clipsonic "
            f"model; convert other weights first."
        )
    try:
        fields = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise BadBundle(f"{path} has a '{KEY}' header that is no JSON ({error}).") from None
    if not isinstance(fields, dict):
        raise BadBundle(f"{path} has a '{KEY}' header that is no JSON object.")
    version = fields.pop("format", None)
    if version != FORMAT or isinstance(version, bool):
        raise BadBundle(
            f"{path} is of format version {version!r}; this clipsonic reads {FORMAT}. "
            f"Get the model again, or the clipsonic that wrote it."
        )
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in get_args(Kind):
        raise BadBundle(f"{path} is of kind {kind!r}; known: {', '.join(get_args(Kind))}.")
    try:
        config = fields.get("config")
        fields["config"] = from_dict(_config_type(kind, config), config, "config")
        header: Header = from_dict(Header, fields, "header")
    except ValueError as error:
        raise BadBundle(f"{path} has a header this clipsonic cannot use: {error}.") from None
    return header


def _config_type(kind: str, config: object) -> Any:
    """Return the type of a kind's config; that of a vocoder which is no BigVGAN states a kind."""
    if kind == "vocoder":
        return VocosConfig if isinstance(config, dict) and "kind" in config else VocoderConfig
    return KINDS[kind][0]


def training_window(header: Header) -> int:
    """Return the frames of mel a U-Net saw in training: as its file says, or the paper's.

    A number out of its range is a BadBundle.
    """
    settings = header.meta.get("settings")
    window = settings.get("window", TRAIN_FRAMES) if isinstance(settings, dict) else TRAIN_FRAMES
    if type(window) is not int or not 1 <= window <= MAX_WINDOW:
        raise BadBundle(
            f"The U-Net says that it was trained on {window!r:.40} frames; allowed: 1 to "
            f"{MAX_WINDOW}."
        )
    return window


def labels_of(unet: Header) -> list[str]:
    """Return the labels that a U-Net was trained on, as far as its file lists them."""
    labels: Any = unet.meta.get("labels")
    if not isinstance(labels, list):
        data = unet.meta.get("data")
        labels = data.get("most_labels") if isinstance(data, dict) else None
    return [label for label in labels or () if isinstance(label, str)][:MAX_LABELS]


def native_seconds(unet: Header) -> float:
    """Return the longest sound that a U-Net makes in one piece, in seconds."""
    assert unet.mel is not None  # a U-Net's header has one
    return unet.mel.seconds(max(NATIVE_FRAMES, training_window(unet)))


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Yield a UTF-8 path to a file, which safetensors needs."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path


def load(path: Path, *, kind: Kind, only: str | None = None) -> Bundle:
    """Load a part of the kind expected, on the CPU, in the dtypes stored, or float32 for int8.

    ``only`` names the one tensor that is read, if there is such a one; None is all.

    Raises:
        MissingWeights: There is no such file.
        BadBundle: The file is damaged (see :func:`read_header`) or of another kind.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    header = read_header(path)
    if header.kind != kind:
        raise BadBundle(f"{path} holds a {header.kind}, not a {kind}.")
    try:
        with utf8_path(path) as plain:
            if only is None:
                weights = load_file(plain)
            else:
                with safe_open(plain, "pt") as file:
                    names = {only, only + SCALES} & {*file.keys()}
                    weights = {name: file.get_tensor(name) for name in names}
        return Bundle(header=header, weights=unpacked(weights))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadBundle(f"{path} is damaged ({error}). Get or write it again.") from None


def identity(path: Path) -> str:
    """Return a short digest of a file: the first 16 hexadecimal digits of its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _check_size(name: str, value: object) -> None:
    """Check that numbers, also in lists, are in 1 .. :data:`LARGEST`, and the lengths of lists."""
    if isinstance(value, list | tuple):
        least = 0 if name == "attention_downsample" else 1  # a U-Net needs none
        if not least <= len(value) <= MAX_ITEMS:
            raise ValueError(f"{name} has {len(value)} items, allowed: {least} to {MAX_ITEMS}")
        for item in value:
            _check_size(name, item)
    elif name in LARGEST and isinstance(value, int | float) and not 1 <= value <= LARGEST[name]:
        raise ValueError(f"{name} is {value}, allowed: 1 to {LARGEST[name]}")


def _read_metadata(path: Path) -> Any:
    """Read the ``__metadata__`` of a safetensors file, and check the file's length."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            raw = file.read(length) if length <= min(MAX_HEADER, size - 8) else b""
    except FileNotFoundError:
        raise MissingWeights(f"There is no weights file {path}.") from None
    except OSError as error:
        raise BadBundle(f"{path} cannot be read ({error.strerror}).") from None
    try:
        header = json.loads(raw)
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        end = 8 + length + max(ends, default=0)
        metadata = header.get("__metadata__")
    except (ValueError, RecursionError, AttributeError, TypeError, LookupError):
        raise BadBundle(
            f"{path} is no safetensors file ({size} bytes), or its header is damaged. "
            f"Pickled checkpoints (.pt, .ckpt) are not read."
        ) from None
    if end != size:
        raise BadBundle(f"{path} has {size} bytes, its header says {end}: get or write it again.")
    return metadata

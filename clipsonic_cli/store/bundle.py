"""Our checkpoint: one safetensors file a part, which describes itself in a JSON header.

The header is one string under the key ``clipsonic`` of the file's safetensors metadata; the tensors
are what is sampled from (EMA weights only), and training state never travels with them. Reading
executes nothing: there is no pickle, and a damaged file is a :class:`BadBundle`, whatever the
damage.

Knows: what a part says about itself and which parts fit together. Does not know: networks, and
where files lie (``store/model_folders.py``). ``read_header`` does not import torch.
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
from clipsonic_cli.config import DiffusionConfig, MelSpec, PriorConfig, UNetConfig, VocoderConfig
from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.types import Space

if TYPE_CHECKING:
    import torch

Kind = Literal["unet", "prior", "vocoder", "clip", "clap", "vggish", "panns", "listener"]
Config = UNetConfig | PriorConfig | VocoderConfig | dict[str, Any]

FORMAT = 1
KEY = "clipsonic"
MAX_HEADER = 8 << 20
"""Bytes of safetensors header read at most; the largest network here needs 0.1 MB."""

CONFIGS: dict[str, type[Any]] = {
    "unet": UNetConfig,
    "prior": PriorConfig,
    "vocoder": VocoderConfig,
    "clip": dict,  # open_clip's own description of a model, which is an open set
    "clap": dict,  # ClapConfig, which models/clap.py knows
    "vggish": dict,  # empty: there is one VGGish
    "panns": dict,  # and one CNN14 of 16 kHz
    "listener": dict,  # ListenerConfig, which models/listener.py knows
}
LARGEST: dict[str, int] = {
    name: largest
    for largest, names in (
        (16, "num_res_blocks window"),
        (128, "channel_mult attention_downsample depth ff_mult text_depth audio_depths"),
        (512, "n_mels resblock_kernel_sizes"),
        (1024, "num_heads heads dim_head upsample_rates resblock_dilation_sizes"),
        (1024, "text_heads audio_heads"),
        (2048, "image_size"),
        (8192, "channels cond_dim dim text_dim audio_dim max_text_len upsample_kernel_sizes"),
        (16_384, "n_fft hop_length frames"),
        (100_000, "train_steps num_timesteps"),
        (400_000, "sample_rate vocab_size"),
    )
    for name in names.split()
}
"""Sizes beyond any use: they keep a damaged header from asking for all memory. The least is 1."""
MAX_ITEMS = 8
"""Most levels of a network, or of what else a header lists."""
NEEDS: dict[str, tuple[str, ...]] = {
    "unet": ("mel", "diffusion", "space", "encoder"),
    "prior": ("diffusion", "space", "encoder"),
    "vocoder": ("mel",),
    "clip": ("encoder",),
    "clap": ("encoder",),
    "vggish": (),
    "panns": (),
    "listener": ("mel", "encoder"),
}
"""Which of the optional fields of a header each kind must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a part says about itself.

    Args:
        kind: Which network the weights belong to.
        config: Its configuration; for a CLIP, CLAP or listener a dictionary.
        mel: The geometry of the mel a U-Net makes, or a vocoder or listener reads.
        diffusion: The process a U-Net or a prior was trained on.
        space: Where the vectors lie that a U-Net reads or a prior gives.
        encoder: Identity of the encoder whose vectors these are; a CLIP's or CLAP's own.
        meta: What people want to know: training steps, data, licence, scores. JSON values.

    Raises:
        ValueError: A field the kind needs is missing, a number is out of its range, or two fields
            contradict each other.
    """

    kind: Kind
    config: Config
    mel: MelSpec | None = None
    diffusion: DiffusionConfig | None = None
    space: Space | None = None
    encoder: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.config, CONFIGS[self.kind]):
            raise ValueError(f"a {self.kind} has no config of type {type(self.config).__name__}")
        for name in NEEDS[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"a {self.kind} needs '{name}'")
        described = dataclasses.asdict(self)  # a CLIP's or CLAP's config is a dictionary already
        for name, value in (described["config"] | (described["mel"] or {})).items():
            _check_size(name, value)
        if self.diffusion is not None:
            _check_size("train_steps", self.diffusion.train_steps)
        if (mel := self.mel) is not None and not (
            0 <= mel.f_min < mel.f_max <= mel.sample_rate / 2 and 2 * mel.hop_length <= mel.n_fft
        ):
            raise ValueError(
                f"a mel from {mel.f_min} to {mel.f_max} Hz at {mel.sample_rate} Hz, with windows "
                f"of {mel.n_fft} every {mel.hop_length} samples, cannot be"
            )
        match self.config, self.mel:
            case UNetConfig(channel_mult=levels), MelSpec(n_mels=bands) if bands % (
                1 << (len(levels) - 1)
            ):
                raise ValueError(
                    f"n_mels {bands} cannot be halved {len(levels) - 1} times, once for each level"
                )
        match self.config, self.diffusion:
            case UNetConfig(learn_variance=learns), DiffusionConfig(variance=variance) if (
                learns != (variance == "learned_range")
            ):
                raise ValueError(
                    f"learn_variance {learns} of the network contradicts variance '{variance}' "
                    f"of the process"
                )
            case PriorConfig(num_timesteps=known), DiffusionConfig(train_steps=steps) if (
                known != steps
            ):
                raise ValueError(
                    f"num_timesteps {known} of the network contradicts train_steps {steps} "
                    f"of the process"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A part: its header and its tensors.

    Args:
        header: What it is.
        weights: The network's state dict.
    """

    header: Header
    weights: Mapping[str, torch.Tensor]


def write(path: Path, bundle: Bundle) -> None:
    """Write a part under a temporary name and renames it, so that no reader sees half a file.

    Args:
        path: Where to; its folder must exist.
        bundle: What to write. Tensors keep their dtype and are stored on no device.

    Raises:
        ValueError: ``meta`` holds something that JSON does not.
        OSError: The disk refuses, or is full.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    described = {"format": FORMAT, **dataclasses.asdict(bundle.header)}
    text = json.dumps(described, allow_nan=False)
    weights: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for key, value in bundle.weights.items():
        dense = value.detach().cpu()
        storage = dense.untyped_storage()
        # safetensors refuses tensors that share memory; a copy of each would take gigabytes.
        if (
            not dense.is_contiguous()
            or storage.nbytes() != dense.nbytes
            or storage.data_ptr() in taken
        ):
            dense = dense.clone(memory_format=torch.contiguous_format)
        taken.add(dense.untyped_storage().data_ptr())
        weights[key] = dense
    try:
        with written(path) as temporary:
            save_file(weights, temporary, metadata={KEY: text})  # as it is: no copy in memory
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from None


def read_header(path: Path) -> Header:
    """Return a part's header without reading its tensors.

    Raises:
        MissingWeights: There is no such file.
        BadBundle: It is no safetensors file, not one of ours, of another format version, cut
            short, or describes a network this version does not know.
    """
    metadata = _read_metadata(path)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise BadBundle(
            f"{path} is a safetensors file without a '{KEY}' header: it is no part of a clipsonic "
            f"model; foreign weights are converted first."
        )
    try:
        described = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise BadBundle(f"{path} has a '{KEY}' header that is no JSON ({error}).") from None
    if not isinstance(described, dict):
        raise BadBundle(f"{path} has a '{KEY}' header that is no JSON object.")
    version = described.pop("format", None)
    if version != FORMAT or isinstance(version, bool):
        raise BadBundle(
            f"{path} is of format version {version!r}; this clipsonic reads {FORMAT}. "
            f"Get the model again, or the clipsonic that wrote it."
        )
    kind = described.get("kind")
    if not isinstance(kind, str) or kind not in get_args(Kind):
        raise BadBundle(f"{path} is of kind {kind!r}; known: {', '.join(get_args(Kind))}.")
    try:
        described["config"] = from_dict(CONFIGS[kind], described.get("config"), "config")
        header: Header = from_dict(Header, described, "header")
    except ValueError as error:
        raise BadBundle(f"{path} has a header this clipsonic cannot use: {error}.") from None
    return header


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Open a file by a path that safetensors takes, which is to be UTF-8; that of most files is."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path


def load(path: Path, *, kind: Kind) -> Bundle:
    """Read a part.

    Args:
        path: The file.
        kind: What the caller expects.

    Returns:
        The header and the tensors, on the CPU, in the dtypes they were stored in.

    Raises:
        MissingWeights: There is no such file.
        BadBundle: The file is damaged (see :func:`read_header`) or of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(path)
    if header.kind != kind:
        raise BadBundle(f"{path} holds a {header.kind}, not a {kind}.")
    try:
        with utf8_path(path) as plain:
            weights = load_file(plain)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadBundle(f"{path} is damaged ({error}). Get or write it again.") from None
    return Bundle(header=header, weights=weights)


def identity(path: Path) -> str:
    """Return a short digest of a file: the first 16 hexadecimal digits of its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _check_size(name: str, value: object) -> None:
    """Refuses a number, or one in a list, beyond :data:`LARGEST`; or a list that is empty or long.

    Raises:
        ValueError: So it is; names the value and what is allowed.
    """
    if isinstance(value, list | tuple):
        least = 0 if name == "attention_downsample" else 1  # a U-Net may have none but its middle
        if not least <= len(value) <= MAX_ITEMS:
            raise ValueError(f"{name} has {len(value)} items, allowed: {least} to {MAX_ITEMS}")
        for item in value:
            _check_size(name, item)
    elif name in LARGEST and isinstance(value, int | float) and not 1 <= value <= LARGEST[name]:
        raise ValueError(f"{name} is {value}, allowed: 1 to {LARGEST[name]}")


def _read_metadata(path: Path) -> Any:
    """Return the ``__metadata__`` of a safetensors file whose length is as its header says."""
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

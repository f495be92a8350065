"""LAION's CLAP: sounds and texts as unit vectors of one space.

The network is transformers' ``ClapModel``, built offline from a configuration of ours; either
published form of its weights becomes ours here. Importing this imports no transformers, which takes
seconds and is optional.

Source: Wu et al. 2023 (CLAP); CLIPSonic section 3 uses its version ``630k-audioset-fusion``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clip import weights_digest
from clipsonic_cli.models.optional import import_transformers
from clipsonic_cli.models.state_dict import build, check_fit, outline

N_MELS = 64
PAD_ID = 1
"""RoBERTa's padding token."""
POSITIONS = 514
"""RoBERTa's, of which the first two are for padding."""
IMAGE = 256
"""The audio tower folds a mel of up to 1024 frames into a square of this many pixels a side."""
ADVICE = "The paper's is 630k-audioset-fusion (HTSAT-tiny)."
EPS = 1e-5
"""Epsilon of every layer norm, as LAION trained; transformers' for CLAP's texts is 1e-12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClapConfig:
    """What a CLAP bundle stores next to its weights; the defaults are the paper's CLAP.

    The audio tower is an HTSAT whose channels double from stage to stage, with "aff_2d" fusion;
    the text tower is a RoBERTa. Two linear layers with a ReLU follow each.

    Raises:
        ValueError: There are not four stages, or the text is longer than there are positions.
    """

    dim: int = 512  # size D of the shared space
    text_dim: int = 768  # width of the text tower
    text_depth: int = 12  # its layers
    text_heads: int = 12  # heads of each layer
    vocab_size: int = 50265  # word pieces
    max_text_len: int = 77  # tokens L, start and end included; at most 512
    audio_dim: int = 96  # channels of the audio tower's first stage
    audio_depths: tuple[int, ...] = (2, 2, 6, 2)  # blocks of each stage
    audio_heads: tuple[int, ...] = (4, 8, 16, 32)  # heads of each stage
    window: int = 8  # patches a side of an attention window

    def __post_init__(self) -> None:
        if len(self.audio_depths) != 4 or len(self.audio_heads) != 4:
            raise ValueError("the audio tower has four stages: audio_depths and audio_heads")
        if self.max_text_len > POSITIONS - PAD_ID - 1:
            raise ValueError(f"max_text_len is {self.max_text_len}, over {POSITIONS - PAD_ID - 1}")


class ClapNetwork(nn.Module):
    """CLAP around transformers' ``ClapModel``; every embedding has unit norm."""

    def __init__(self, config: ClapConfig) -> None:
        super().__init__()
        transformers = import_transformers()
        described = transformers.ClapConfig(
            text_config={
                "vocab_size": config.vocab_size,
                "hidden_size": config.text_dim,
                "num_hidden_layers": config.text_depth,
                "num_attention_heads": config.text_heads,
                "intermediate_size": 4 * config.text_dim,
                "max_position_embeddings": POSITIONS,
                "pad_token_id": PAD_ID,
                "layer_norm_eps": EPS,
            },
            audio_config={
                "num_mel_bins": N_MELS,
                "spec_size": IMAGE,
                "hidden_size": config.audio_dim << (len(config.audio_depths) - 1),
                "patch_embeds_hidden_size": config.audio_dim,
                "depths": list(config.audio_depths),
                "num_attention_heads": list(config.audio_heads),
                "window_size": config.window,
                "layer_norm_eps": EPS,
                "enable_fusion": True,
                "fusion_type": "aff_2d",
            },
            projection_dim=config.dim,
        )
        self.clap: Any = transformers.ClapModel(described)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Embed texts: (B, D) for RoBERTa's ids (B, L), padded with PAD_ID."""
        out = self.clap.get_text_features(input_ids=ids, attention_mask=ids != PAD_ID)
        return F.normalize(out.pooler_output, dim=-1)

    def encode_audio(self, mel: Tensor) -> Tensor:
        """Embed sounds: (B, D) for mels (B, 1, T, F) in dB, T up to 1024.

        CLAP was trained on four mels a sound: the whole, and three excerpts that are used only
        where a sound is marked as longer than 10 s. None is marked here, so the whole is enough.
        """
        longer = torch.zeros(len(mel), 1, dtype=torch.bool, device=mel.device)
        out = self.clap.get_audio_features(input_features=mel, is_longer=longer)
        return F.normalize(out.pooler_output, dim=-1)


def build_clap(config: ClapConfig, weights: Mapping[str, Tensor]) -> ClapNetwork:
    """Build a CLAP with weights of :func:`from_laion` or :func:`from_transformers`, in float32.

    Weights that do not fit are a BadBundle; see :func:`import_transformers` for its errors.
    """
    made = constants(config)
    missing = {name: made[leaf_of(name)] for name in _state(config) if leaf_of(name) in made}
    return build(lambda: ClapNetwork(config), {**weights, **missing}, "clap", advice=ADVICE)


def _state(config: ClapConfig) -> dict[str, Tensor]:
    """Return the network's state dict: names and shapes, no memory."""
    return outline(lambda: ClapNetwork(config), "clap").state_dict()


def constants(config: ClapConfig) -> dict[str, Tensor]:
    """Compute what a state dict holds though it is not learned, by the last part of its name."""
    side = torch.arange(config.window)
    row, column = (axis.flatten() for axis in torch.meshgrid(side, side, indexing="ij"))
    down, right = (axis[:, None] - axis + config.window - 1 for axis in (row, column))
    return {
        "position_ids": torch.arange(POSITIONS)[None],
        "token_type_ids": torch.zeros(1, POSITIONS, dtype=torch.long),
        "relative_position_index": down * (2 * config.window - 1) + right,  # (window^2, window^2)
        "num_batches_tracked": torch.zeros((), dtype=torch.long),
    }


def leaf_of(name: str) -> str:
    """Return the last part of a tensor's name."""
    return name.rpartition(".")[2]


CONSTANTS = tuple(constants(ClapConfig()))


def _checked(weights: Mapping[str, Tensor], config: ClapConfig) -> dict[str, Tensor]:
    """Return weights that are all of a network's and no others; BadBundle names what differs."""
    wanted = {n: tensor for n, tensor in _state(config).items() if leaf_of(n) not in CONSTANTS}
    return check_fit(weights, wanted, "These CLAP weights do not fit the network", ADVICE)


AUDIO = "clap.audio_model.audio_encoder."
BLOCK = r"^audio_branch\.(layers\.\d+\.blocks\.\d+)\."
LEFT_OUT = re.compile(
    r"(text|audio)_transform\..+"  # more layers, for a loss that is not CLAP's score
    r"|audio_branch\.(spectrogram|logmel)_extractor\..+"  # the mel: models/clap_mel.py
    r"|audio_branch\.(tscam_conv|head)\..+"  # AudioSet's classes
    r"|audio_branch\..+\.attn_mask"  # computed for every mel
    rf"|.+\.({'|'.join(CONSTANTS)})"
)
"""Names of LAION's tensors that are no weights of the network."""
RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (BLOCK + r"norm1\.", rf"{AUDIO}\1.layernorm_before."),
        (BLOCK + r"norm2\.", rf"{AUDIO}\1.layernorm_after."),
        (BLOCK + r"attn\.proj\.", rf"{AUDIO}\1.attention.output.dense."),
        (BLOCK + r"attn\.", rf"{AUDIO}\1.attention.self."),
        (BLOCK + r"mlp\.fc1\.", rf"{AUDIO}\1.intermediate.dense."),
        (BLOCK + r"mlp\.fc2\.", rf"{AUDIO}\1.output.dense."),
        (r"^audio_branch\.bn0\.", f"{AUDIO}batch_norm."),
        (r"^audio_branch\.", AUDIO),
        (r"^text_branch\.", "clap.text_model."),
        (r"^(audio|text)_projection\.0\.", r"clap.\1_projection.linear1."),
        (r"^(audio|text)_projection\.2\.", r"clap.\1_projection.linear2."),
        (r"^(logit_scale_[at])$", r"clap.\1"),
    )
)
"""Beginnings of LAION's names and of ours; the first that matches is taken, and a name that none
matches stays as it is, which the network lacks."""


def from_laion(checkpoint: Any, config: ClapConfig | None = None) -> dict[str, Tensor]:
    """Convert LAION's own checkpoint to weights of :class:`ClapNetwork`.

    Args:
        checkpoint: Contents of ``630k-audioset-fusion-best.pt``: a dictionary of which only
            "state_dict" is read, its names beginning with "module.".
        config: The network's sizes; None for the paper's.

    Raises:
        BadBundle: It is no such checkpoint, or a tensor is missing, unexpected or of another shape.
        ClipsonicError: transformers is missing.
    """
    state = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors_of(state).items():
        bare = name.removeprefix("module.")
        if LEFT_OUT.fullmatch(bare):
            continue
        ours = next((old.sub(new, bare) for old, new in RENAMED if old.match(bare)), bare)
        if ".self.qkv." in ours:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                weights[ours.replace(".qkv.", f".{part}.")] = third
        else:
            weights[ours] = tensor
    return _checked(weights, config or ClapConfig())


def from_transformers(state: Any, config: ClapConfig | None = None) -> dict[str, Tensor]:
    """Convert the state dict of ``laion/clap-htsat-fused``; see :func:`from_laion`."""
    weights = {
        f"clap.{name}": tensor
        for name, tensor in tensors_of(state).items()
        if leaf_of(name) not in CONSTANTS
    }
    return _checked(weights, config or ClapConfig())


def tensors_of(state: Any) -> dict[str, Tensor]:
    """Return a copy of a state dict; a BadBundle if it is none."""
    pairs = state.items() if isinstance(state, Mapping) else ()
    if not pairs or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in pairs):
        raise BadBundle("This is no checkpoint of CLAP: it holds no state dict where one belongs.")
    return dict(pairs)


def clap_identity(tensors: Mapping[str, Tensor]) -> str:
    """Return a name that changes with any stored weight, such as "clap-0123abcd".

    Both published forms of one CLAP have the same, as their weights are the same.
    """
    return f"clap-{weights_digest(tensors)}"

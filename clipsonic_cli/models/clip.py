"""The two CLIP networks: pixels and token ids to unit vectors of one space.

``mini`` is this project's own: EfficientNet-Lite0 and MiniLM-L6 as towers, each with a projection.
Any other architecture is one of open_clip's that has the text tower of OpenAI's CLIP and its byte
pair tokens (the paper's is ``ViT-L-14-quickgelu``). Those with a text tower or a tokenizer of their
own (SigLIP, CoCa, CLIPA, multilingual ones) are errors: open_clip would download parts of them, or
their token encodings are not where this module reads them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.ranges import round_up

MINI = "mini"
PAPER = "ViT-L-14-quickgelu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipConfig:
    """What a CLIP bundle stores next to its weights; the defaults are the paper's."""

    architecture: str = PAPER  # "mini", or open_clip's name ("-quickgelu" for OpenAI's weights)
    dim: int = 768  # size D of the shared space
    text_dim: int = 768  # size of the token encodings
    max_text_len: int = 77  # tokens L, start and end included
    vocab_size: int = 49408  # word pieces (mini only; open_clip's are the architecture's)
    image_size: int = 224  # pixels a side
    # Mean and standard deviation of each colour, of pixels in [0, 1].
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does ("same"): the odd pixel goes right and below."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(cin, cout, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max(round_up(n, stride) - stride + kernel - n, 0) for n in x.shape[-2:]]
        top, left = (p // 2 for p in pads)
        padded = F.pad(x, (left, pads[1] - left, top, pads[0] - top))
        out: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return out


class InvertedResidual(nn.Module):
    """MobileNetV2's block without squeeze-and-excitation: widen, filter each channel, narrow."""

    def __init__(self, cin: int, cout: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = cin * expand
        self.expand = SameConv(cin, wide, 1) if expand > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, cout, 1)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, H, W)."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        narrow: Tensor = self.project(F.relu6(self.depthwise(h)))
        return x + narrow if self.residual else narrow


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its pooled features; batch norm is folded into the convolutions.

    Source: Tan & Le 2019 (EfficientNet); "lite" has ReLU6 and no squeeze-and-excitation.
    """

    features = 1280

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        cin = 32
        for expand, kernel, stride, cout, repeats in (
            (1, 3, 1, 16, 1),
            (6, 3, 2, 24, 2),
            (6, 5, 2, 40, 2),
            (6, 3, 2, 80, 3),
            (6, 5, 1, 112, 3),
            (6, 5, 2, 192, 4),
            (6, 3, 1, 320, 1),
        ):
            for i in range(repeats):
                blocks.append(InvertedResidual(cin, cout, expand, kernel, stride if i == 0 else 1))
                cin = cout
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv(cin, self.features, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features (B, 1280), in [0, 6], for pixels (B, 3, 224, 224)."""
        h = self.blocks(F.relu6(self.stem(pixels)))
        return F.relu6(self.head(h)).mean((2, 3))


class MiniLM(nn.Module):
    """MiniLM-L6: BERT of six layers of width 384; post-norm, exact GELU.

    The token-type embedding is part of the position embedding: there is only one type.

    Raises:
        ValueError: ``features``, another width than the published one, is no multiple of 12.

    Source: Wang et al. 2020 (MiniLM); Reimers & Gurevych 2019 (mean pooling).
    """

    heads = 12

    def __init__(self, vocab_size: int, max_text_len: int, features: int = 384) -> None:
        super().__init__()
        if features % self.heads:
            raise ValueError(f"text_dim {features} is no multiple of {self.heads} heads")
        self.features = features
        self.words = nn.Embedding(vocab_size, features)
        self.positions = nn.Parameter(torch.zeros(max_text_len, features))
        self.norm = nn.LayerNorm(features, eps=1e-12)
        layer = nn.TransformerEncoderLayer(
            features,
            nhead=self.heads,
            dim_feedforward=4 * features,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=1e-12,
            batch_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, num_layers=6, enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return token encodings (B, L, C) for ids (B, L); zeros for padding, which is id 0."""
        longest = int((ids != 0).sum(1).max())  # columns of nothing but padding cost nothing
        padding = ids[:, :longest] == 0
        h = self.norm(self.words(ids[:, :longest]) + self.positions[:longest])
        h = self.layers(h, src_key_padding_mask=padding).masked_fill(padding[..., None], 0.0)
        return F.pad(h, (0, 0, 0, ids.shape[1] - longest))  # (B, L, C)


class MiniClip(nn.Module):
    """The embedded model's CLIP: two pretrained towers, each with a learned projection."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.image = EfficientNetLite0()
        self.text = MiniLM(config.vocab_size, config.max_text_len, config.text_dim)
        self.image_projection = nn.Sequential(
            nn.Linear(self.image.features, 2 * config.dim),
            nn.GELU(),
            nn.Linear(2 * config.dim, config.dim),
        )
        self.text_projection = nn.Linear(self.text.features, config.dim)

    def project_image(self, features: Tensor) -> Tensor:
        """Return unit vectors (B, D) for pooled image features (B, 1280)."""
        return F.normalize(self.image_projection(features), dim=-1)

    def project_text(self, features: Tensor) -> Tensor:
        """Return unit vectors (B, D) for pooled text features (B, C)."""
        return F.normalize(self.text_projection(features), dim=-1)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return (B, D) for normalised pixels (B, 3, 224, 224)."""
        return self.project_image(self.image(pixels))

    def encode_text(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, D) and encodings (B, L, C) for ids (B, L)."""
        encodings = self.text(ids)
        return self.project_text(mean_pool(encodings, ids)), encodings


def mean_pool(encodings: Tensor, ids: Tensor) -> Tensor:
    """Average encodings (B, L, C), zero at padding, over the tokens of ids (B, L): (B, C)."""
    return encodings.sum(1) / (ids != 0).sum(1, keepdim=True)


class OpenClip(nn.Module):
    """One of open_clip's CLIPs; the paper's is OpenAI's ViT-L/14.

    Raises:
        ClipsonicError: open_clip cannot be imported.
        BadBundle: open_clip does not know the architecture, or its text tower or tokenizer is not
            OpenAI's.

    Source: Radford et al. 2021; CLIPSonic section 3 and appendix A.
    """

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        open_clip = import_open_clip()
        if config.architecture not in open_clip.list_models():
            raise BadBundle(
                f"open_clip {open_clip.__version__} does not know the CLIP architecture "
                f"'{config.architecture}'. Use a bundle made for '{PAPER}' or '{MINI}'."
            )
        if not has_openais_text(open_clip.get_model_config(config.architecture)):
            raise BadBundle(
                f"The CLIP architecture '{config.architecture}' has a text tower or tokenizer of "
                f"its own, which cannot be used. Use a bundle made for '{PAPER}' or '{MINI}'."
            )
        device = torch.empty(0).device  # open_clip asks for it, whatever the context says
        self.clip = open_clip.create_model(config.architecture, pretrained=None, device=device)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return (B, D) for normalised pixels (B, 3, 224, 224)."""
        embed: Tensor = self.clip.encode_image(pixels, normalize=True)
        return embed

    def encode_text(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, D) and encodings (B, 77, C), after the last norm, before the projection."""
        seen: list[Tensor] = []
        hook = self.clip.ln_final.register_forward_hook(lambda _, __, out: seen.append(out))
        try:
            embed = self.clip.encode_text(ids, normalize=True)
        finally:
            hook.remove()
        end = ids.argmax(1, keepdim=True)  # the end-of-text token has the highest id
        after = torch.arange(ids.shape[1], device=ids.device) > end  # (B, L)
        return embed, seen[0].masked_fill(after[..., None], 0.0)


ClipNetwork = MiniClip | OpenClip
"""Both embed with unit norm, and return token encodings that are zero after the end."""


def has_openais_text(described: Mapping[str, Any]) -> bool:
    """Return whether open_clip builds its ``CLIP`` with OpenAI's tokenizer for a configuration."""
    other_class = described.get("custom_text") or "multimodal_cfg" in described
    text = described["text_cfg"]
    # Either is downloaded when it is built.
    from_hub = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    return not (other_class or from_hub)


def build_clip(config: ClipConfig) -> ClipNetwork:
    """Build the network a config names, with random weights, in evaluation mode."""
    network = MiniClip(config) if config.architecture == MINI else OpenClip(config)
    return network.eval().requires_grad_(requires_grad=False)


def from_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of open_clip's to weights of :class:`OpenClip`.

    OpenAI's archive carries three numbers that are no weights.
    """
    numbers = ("input_resolution", "context_length", "vocab_size")
    return {f"clip.{name}": weight for name, weight in state.items() if name not in numbers}


def clip_identity(architecture: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a name that changes with any stored weight, such as "mini-clip-0123abcd"."""
    return f"{architecture}-clip-{weights_digest(tensors)}"


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return 8 hexadecimal digits that change with any weight's name, number or precision."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]

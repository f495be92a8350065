"""Audiobox Aesthetics: scores of sounds as people would give them, on four axes.

Source: Tjandra et al. 2025, "Meta Audiobox Aesthetics", section 4, and the authors' code; the
weights are the authors'.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import check_fit, outline
from clipsonic_cli.models.wavlm import POSITIONS, SAMPLE_RATE, WavLM

AXES = {
    "PQ": "production quality",
    "PC": "production complexity",
    "CE": "content enjoyment",
    "CU": "content usefulness",
}
"""What is scored, from 1 to 10, in the paper's order."""
SAMPLES = 10 * SAMPLE_RATE
"""Samples of an input."""
HIDDEN = 4
"""Hidden layers of the head of an axis."""
PUBLISHED: Mapping[str, Any] = {
    "proj_num_layer": HIDDEN + 1,
    "proj_ln": True,
    "proj_act_fn": "gelu",
    "proj_dropout": 0.0,
    "nth_layer": 13,
    "use_weighted_layer_sum": True,
    "normalize_embed": True,
    "output_dim": 1,
}
"""The configuration next to the weights, as far as it decides the network."""
POSITION = "wavlm_model.encoder.pos_conv.0.weight"
UNUSED = "wavlm_model.mask_emb"
"""A weight that only the training of WavLM needs."""


class Audiobox(nn.Module):
    """WavLM, of whose layers each axis has weights of its own, and a head for each axis."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int = 512, dim: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        self.wavlm_model = WavLM(channels, dim, depth, heads)
        self.layer_weights = nn.ParameterDict({a: torch.zeros(depth + 1) for a in AXES})
        self.proj_layer = nn.ModuleDict({axis: _head(dim) for axis in AXES})
        self.register_buffer("mean", torch.zeros(len(AXES)))
        self.register_buffer("std", torch.ones(len(AXES)))

    def forward(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Compute scores (B, 4) in the order of :data:`AXES`.

        Args:
            samples: (B, 160000) at 16 kHz, filled up with zeros.
            lengths: (B,) int64, how many samples of each are its sound.
        """
        if samples.ndim != 2 or samples.shape[1] != SAMPLES:
            raise ValueError(f"need samples (B, {SAMPLES}), got {tuple(samples.shape)}")
        outputs, counts = self.wavlm_model(samples, lengths)
        share = counts / counts.sum(1, keepdim=True)  # (B, T)
        # Average over time first, which changes nothing but needs less memory.
        pooled = torch.stack([torch.einsum("btd,bt->bd", h, share) for h in outputs], 1)
        scores = []
        for axis in AXES:
            weights = self.layer_weights[axis].softmax(0)
            embeds = F.normalize(torch.einsum("bld,l->bd", pooled, weights), dim=1)
            scores.append(self.proj_layer[axis](embeds))
        return torch.cat(scores, 1) * self.std + self.mean


def _head(dim: int) -> nn.Sequential:
    """Build the head of an axis."""
    layers: list[nn.Module] = []
    for _ in range(HIDDEN):
        layers += [nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(dim, 1))


def from_audiobox(checkpoint: object, described: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert the published files (``model.safetensors``, ``config.json``) to :class:`Audiobox`'s.

    Args:
        checkpoint: The weights; one that only WavLM's training needs is left out.
        described: The JSON, which has mean and deviation of people's scores on each axis.

    Raises:
        BadBundle: A tensor is missing, unexpected, of another shape or not finite, or the
            configuration is another; the message names it.
    """
    for name, value in PUBLISHED.items():
        if described.get(name) != value:
            raise BadBundle(
                f"The config.json of this Audiobox Aesthetics has {name} "
                f"{described.get(name)!r:.40}, and {value!r} is known. Get it again."
            )
    scale = _scale(described.get("target_transform"))
    ours = outline(Audiobox, "Audiobox Aesthetics").state_dict()
    position = ours.pop(POSITION)
    published = {name: weight for name, weight in ours.items() if name not in ("mean", "std")}
    published |= {
        f"{POSITION}_g": torch.empty(1, 1, POSITIONS),
        f"{POSITION}_v": position,
        UNUSED: torch.empty(len(position)),
    }
    weights = check_fit(checkpoint, published, "These are not Audiobox Aesthetics' weights")
    if strange := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise BadBundle(f"The weights {strange[0]} of Audiobox Aesthetics are not finite.")
    del weights[UNUSED]
    gain, direction = (weights.pop(f"{POSITION}_{end}").double() for end in "gv")
    norm = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
    weights[POSITION] = (gain * direction / norm).float()
    return weights | scale


def _scale(described: object) -> dict[str, Tensor]:
    """Return mean and deviation (4,) of the scores that the network was trained on."""
    values: dict[str, list[float]] = {"mean": [], "std": []}
    for axis in AXES:
        of_axis = described.get(axis) if isinstance(described, Mapping) else None
        for name, numbers in values.items():
            number = of_axis.get(name) if isinstance(of_axis, Mapping) else None
            if not isinstance(number, float) or not math.isfinite(number) or number <= 0:
                raise BadBundle(
                    f"The config.json of Audiobox Aesthetics has no {name} of {axis}. Get it again."
                )
            numbers.append(number)
    return {name: torch.tensor(numbers) for name, numbers in values.items()}

"""PaSST-S: log-mels of 10 s to 768 numbers, and to the classes of AudioSet.

Source: Koutini et al. 2022, "Efficient training of audio transformers with patchout", section 2;
the weights are the authors'.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import check_fit, outline

SPEC = MelSpec(sample_rate=32_000, n_fft=1024, hop_length=320, n_mels=128, f_min=0, f_max=15_000)
"""Frames and filters of the mels it was trained on; its window is :data:`WINDOW`."""
WINDOW = 800
"""Samples of a symmetric Hann window in the middle of a frame."""
SAMPLES = 10 * SPEC.sample_rate
"""Samples of an input."""
FRAMES = SAMPLES // SPEC.hop_length
PATCH, STRIDE = 16, 10
"""Size of a patch and the step to the next, in bands and in frames."""
GRID = (12, 99)
"""Patches over frequency and over time."""
DIM = 768
"""Size of the embedding of a sound."""
CLASSES = 527
"""Classes of AudioSet."""
PRE_EMPHASIS = 0.97
LOG_OFFSET = 1e-5
MEAN, SCALE = -4.5, 5.0


class Attention(nn.Module):
    """Self-attention with biases."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, N, D) to the same."""
        q, k, v = self.qkv(h).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, N, D / H)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and two linear layers, each on normalized inputs and added to them."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, N, D) to the same."""
        h = h + self.attn(self.norm1(h))
        changed: Tensor = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(h))))
        return h + changed


class Passt(nn.Module):
    """The network in evaluation: without the patchout and the masks of its training."""

    def __init__(self, dim: int = DIM, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, dim, PATCH, STRIDE)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, dim))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, dim, GRID[0], 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, dim, 1, GRID[1]))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, CLASSES))
        self.head_dist = nn.Linear(dim, CLASSES)  # published, and used in training alone

    def forward(self, mels: Tensor) -> Tensor:
        """Return embeddings (B, 768), the mean of both tokens, for mels (B, 1, 128, 1000)."""
        if mels.ndim != 4 or mels.shape[1:] != (1, SPEC.n_mels, FRAMES):
            raise ValueError(f"need mels (B, 1, {SPEC.n_mels}, {FRAMES}), got {tuple(mels.shape)}")
        patches = self.patch_embed["proj"](mels) + self.time_new_pos_embed + self.freq_new_pos_embed
        tokens = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        tokens = tokens.expand(len(mels), -1, -1)
        h = self.blocks(torch.cat([tokens, patches.flatten(2).transpose(1, 2)], 1))
        embeds: Tensor = self.norm(h[:, :2]).mean(1)
        return embeds

    def classify(self, embeds: Tensor) -> Tensor:
        """Return logits (B, 527) of AudioSet's classes for embeddings (B, 768).

        The network was trained with a sigmoid for each; the field compares sounds by their softmax.
        """
        logits: Tensor = self.head(embeds)
        return logits


def from_passt(checkpoint: object) -> dict[str, Tensor]:
    """Convert the published file (``passt-s-f128-p16-s10-ap.476-swa.pt``) to :class:`Passt`'s.

    Raises:
        BadBundle: A tensor is missing, unexpected, of another shape or not finite; the message
            names it.
    """
    wanted = outline(Passt, "PaSST").state_dict()
    weights = check_fit(checkpoint, wanted, "These are not PaSST-S's weights")
    if strange := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise BadBundle(f"The weights {strange[0]} of this PaSST are not finite. Get it again.")
    return weights


def mel_filters() -> Tensor:
    """Return triangular filters (128, 513), evenly spaced in mel and of height 1.

    Source:
        Kaldi's filter banks, as the authors' code has them: the last bin is in none.
    """

    def mel(hz: Tensor) -> Tensor:
        return 1127 * (1 + hz / 700).log()

    bins = SPEC.n_fft // 2 + 1
    at = mel(torch.arange(bins, dtype=torch.float64) * SPEC.sample_rate / SPEC.n_fft)
    low, high = mel(torch.tensor([SPEC.f_min, SPEC.f_max], dtype=torch.float64)).tolist()
    step = (high - low) / (SPEC.n_mels + 1)
    centres = low + step * torch.arange(1, SPEC.n_mels + 1, dtype=torch.float64)
    triangles: Tensor = 1 - (at - centres[:, None]).abs() / step
    return triangles.clamp(min=0)


def log_mel(samples: Tensor, filters: Tensor) -> Tensor:
    """Compute the mel that PaSST takes.

    Args:
        samples: (320000,) at 32 kHz.
        filters: What :func:`mel_filters` returns.

    Returns:
        (1, 1, 128, 1000) float32, frequency before time; silence is -1.40.

    Source:
        Koutini et al. 2022, section 3.1, and the authors' code: differences of neighbouring samples
        (pre-emphasis), powers of centred frames whose ends are reflected, their logarithm.
    """
    samples = samples.double()
    stft = torch.stft(
        samples[1:] - PRE_EMPHASIS * samples[:-1],
        SPEC.n_fft,
        SPEC.hop_length,
        WINDOW,
        window=torch.hann_window(WINDOW, periodic=False, dtype=torch.float64),
        pad_mode="reflect",
        return_complex=True,
    )  # (513, T)
    power = torch.view_as_real(stft).square().sum(-1)
    mels = (filters @ power + LOG_OFFSET).log()
    return ((mels - MEAN) / SCALE).float()[None, None]

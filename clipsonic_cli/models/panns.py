"""CNN14 of PANNs: log-mels of sounds to 2048 numbers each, and to the classes of AudioSet.

Source: Kong et al. 2020, "PANNs", Table I; the weights are the authors'.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import check_fit, outline

SPEC = MelSpec(sample_rate=16_000, n_fft=512, hop_length=160, n_mels=64, f_min=50.0, f_max=8000.0)
"""Frames and filters of the mels it was trained on, which are in dB of power."""
DIM = 2048
"""Size of the embedding of a sound."""
CLASSES = 527
"""Classes of AudioSet."""
WIDTHS = (64, 128, 256, 512, 1024, 2048)
"""Channels of the blocks; all but the last halve time and frequency."""
FEWEST_FRAMES = 2 ** (len(WIDTHS) - 1)
POWER_FLOOR = 1e-10
"""-100 dB, which is silence."""
FRONT_END = {
    "spectrogram_extractor.stft.conv_real.weight": (257, 1, 512),
    "spectrogram_extractor.stft.conv_imag.weight": (257, 1, 512),
    "logmel_extractor.melW": (257, 64),
}
"""Constants that the published file holds next to the weights: those of its mel."""


class Block(nn.Module):
    """Two convolutions, each normalized and rectified, and a mean over ``pool`` x ``pool``."""

    def __init__(self, narrow: int, wide: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.pool = pool

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, narrow, T, F) to (B, wide, T // pool, F // pool)."""
        h = F.relu(self.bn1(self.conv1(h)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.avg_pool2d(h, self.pool)


class Cnn14(nn.Module):
    """The network in evaluation: without the dropout and the masks of its training."""

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(SPEC.n_mels)  # of each band
        narrow = (1, *WIDTHS)
        for i, wide in enumerate(WIDTHS):
            pool = 2 if wide != WIDTHS[-1] else 1
            self.add_module(f"conv_block{i + 1}", Block(narrow[i], wide, pool))
        self.fc1 = nn.Linear(DIM, DIM)
        self.fc_audioset = nn.Linear(DIM, CLASSES)

    def forward(self, mels: Tensor) -> Tensor:
        """Return embeddings (B, 2048) for mels (B, 1, T, 64) in dB, T of 32 or more.

        They are rectified, as in the Frechet distances of the field.
        """
        if mels.ndim != 4 or (mels.shape[1], mels.shape[3]) != (1, SPEC.n_mels):
            raise ValueError(f"need mels (B, 1, T, {SPEC.n_mels}), got {tuple(mels.shape)}")
        if mels.shape[2] < FEWEST_FRAMES:
            raise ValueError(f"need {FEWEST_FRAMES} frames or more, got {mels.shape[2]}")
        h = self.bn0(mels.transpose(1, 3)).transpose(1, 3)
        for i in range(len(WIDTHS)):
            h = self.get_submodule(f"conv_block{i + 1}")(h)
        h = h.mean(3)  # (B, 2048, T // 32)
        return F.relu(self.fc1(h.amax(2) + h.mean(2)))

    def classify(self, embeds: Tensor) -> Tensor:
        """Return logits (B, 527) of AudioSet's classes for embeddings (B, 2048).

        The network was trained with a sigmoid for each; the field compares sounds by their softmax.
        """
        logits: Tensor = self.fc_audioset(embeds)
        return logits


def from_panns(checkpoint: Mapping[str, Any], mel_filters: Tensor) -> dict[str, Tensor]:
    """Convert the published file (``Cnn14_16k_mAP=0.438.pth``) to weights of :class:`Cnn14`.

    Args:
        checkpoint: "model", and where the training was.
        mel_filters: (64, 257), those of :data:`SPEC` as computed here. The file holds its own, and
            they must be the same.

    Raises:
        BadBundle: A tensor is missing, unexpected or of another shape, or the network was trained
            on other mels; the message names it.
    """
    weights = checkpoint.get("model") if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping):
        raise BadBundle("This is no checkpoint of PANNs (it has no 'model').")
    network = outline(Cnn14, "CNN14").state_dict()
    wanted = network | {name: torch.empty(shape) for name, shape in FRONT_END.items()}
    weights = check_fit(weights, wanted, "These are not CNN14's weights")
    if strange := [name for name, weight in weights.items() if not weight.float().isfinite().all()]:
        raise BadBundle(f"The weights {strange[0]} of this CNN14 are not finite. Get it again.")
    theirs = weights["logmel_extractor.melW"].float().T
    difference = float((theirs - mel_filters).abs().max())
    if difference > 1e-3 * float(mel_filters.max()):
        raise BadBundle(
            "This CNN14 reads other mels than are computed here (filters differ by "
            f"{difference:.2g}). Get the one of 16 kHz."
        )
    return {name: weights[name] for name in network}


def log_mel(samples: Tensor, mel_filters: Tensor) -> Tensor:
    """Compute the mel that CNN14 takes.

    Args:
        samples: (N,) at 16 kHz, more than 256 of them.
        mel_filters: (64, 257), those of :data:`SPEC`.

    Returns:
        (1, 1, T, 64) float32 in dB, time before frequency, T = N // 160 + 1; silence is -100.

    Source:
        Kong et al. 2020, section II-A, and the authors' code for 16 kHz: centred frames whose ends
        are reflected, under a periodic Hann window; powers under Slaney's triangles.
    """
    stft = torch.stft(
        samples.double(),
        SPEC.n_fft,
        SPEC.hop_length,
        window=torch.hann_window(SPEC.n_fft, dtype=torch.float64),
        pad_mode="reflect",
        return_complex=True,
    )  # (257, T)
    power = torch.view_as_real(stft).square().sum(-1)
    mels = power.T @ mel_filters.T.double()  # (T, 64)
    return 10 * mels.clamp(min=POWER_FLOOR).log10().float()[None, None]

"""Wav2CLIP: sounds into the space of CLIP ViT-B/32, next to that CLIP's image tower.

Source: Wu et al. 2022, "Wav2CLIP", section 2, and the authors' code; the weights are the authors',
those of the image tower OpenAI's.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clip import ClipConfig
from clipsonic_cli.models.openai_clip import from_openai
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.models.state_dict import check_fit, outline

SAMPLE_RATE = 16_000
N_FFT, HOP_LENGTH = 512, 353
LEAST_SAMPLES = N_FFT // 2 + 1
"""Shortest input, as its ends are reflected."""
LOG_OFFSET = 1e-7
DIM = 512
"""Size of the shared space."""
WIDTHS = (64, 128, 256, 512)
"""Channels of the levels of two blocks; all but the first halve time and frequency."""
CLIP = ClipConfig(architecture="ViT-B-32-quickgelu", dim=DIM, text_dim=512)
PUBLISHED = {
    "encoder.": "audio_encoder.",
    "transform.": "audio_transform.sequential.",
    "visual.": "clip.visual.",
}
"""How the names of weights begin: ours, and the publishers'."""
WINDOW = "audio_encoder.spectrogram.window"
"""A constant that the published file holds next to the weights."""


class Block(nn.Module):
    """Two convolutions, each normalized, and what they are added to."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            shortcut = nn.Conv2d(narrow, wide, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(wide))

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, narrow, F, T) to (B, wide, ceil(F / stride), ceil(T / stride))."""
        changed = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(h)))))
        return F.relu(changed + self.downsample(h))


class ResNet18(nn.Module):
    """ResNet-18 of one input channel, up to its pooled features (He et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, WIDTHS[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        narrow = WIDTHS[0]
        for i, wide in enumerate(WIDTHS, 1):
            blocks = Block(narrow, wide, stride=2 if i > 1 else 1), Block(wide, wide, stride=1)
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
            narrow = wide

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return features (B, 512) for spectrograms (B, 1, F, T)."""
        h = F.relu(self.bn1(self.conv1(spectrograms)))
        h = F.max_pool2d(h, 3, 2, padding=1)
        for i in range(len(WIDTHS)):
            h = self.get_submodule(f"layer{i + 1}")(h)
        return h.mean((2, 3))


class Wav2Clip(nn.Module):
    """Both towers; ``architecture`` is open_clip's name of the CLIP."""

    def __init__(self, architecture: str = CLIP.architecture) -> None:
        super().__init__()
        self.encoder = ResNet18()
        # note: an Identity where the training had dropout, for the published names.
        hidden = nn.Linear(WIDTHS[-1], DIM), nn.ReLU(), nn.Identity()
        self.transform = nn.Sequential(*hidden, nn.Linear(DIM, DIM))
        device = torch.empty(0).device  # open_clip asks for it, whatever the context says
        clip = import_open_clip().create_model(architecture, pretrained=None, device=device)
        self.visual = clip.visual

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return embeddings (B, 512) for spectrograms (B, 1, 257, T) of :func:`spectrogram`."""
        embeds: Tensor = self.transform(self.encoder(spectrograms))
        return embeds

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, 512) for normalized pixels (B, 3, 224, 224)."""
        return F.normalize(self.visual(pixels), dim=-1)


def from_wav2clip(
    checkpoint: object, described: Mapping[str, Any], clip: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Convert the published files to weights of :class:`Wav2Clip`.

    Args:
        checkpoint: ``Wav2CLIP.pt``; what only its training needed is left out.
        described: The JSON next to CLIP's weights.
        clip: ViT-B/32's, as open_clip has them.

    Raises:
        BadBundle: A tensor is missing, unexpected, of another shape or not finite, or the CLIP is
            another; the message names it.
        ClipsonicError: open_clip cannot be imported.
    """
    if not isinstance(checkpoint, Mapping):
        raise BadBundle("This is no checkpoint of Wav2CLIP (it holds no weights).")
    network = outline(Wav2Clip, "Wav2CLIP").state_dict()
    names: dict[str, str] = {}  # the publishers' by ours
    for ours, theirs in PUBLISHED.items():
        names |= {n: theirs + n.removeprefix(ours) for n in network if n.startswith(ours)}
    # Check either file.
    of_audio = tuple(PUBLISHED.values())[:2]
    audio = {name: w for name, w in checkpoint.items() if str(name).startswith(of_audio)}
    wanted = {names[n]: w for n, w in network.items() if names[n].startswith(of_audio)}
    wanted[WINDOW] = torch.empty(N_FFT)
    audio = check_fit(audio, wanted, "These are not Wav2CLIP's weights")
    _, images = from_openai(described, clip, CLIP.architecture)
    # Join them.
    weights = {name: (audio | images)[names[name]] for name in network}
    if strange := [names[n] for n, w in weights.items() if not w.float().isfinite().all()]:
        raise BadBundle(f"The weights {strange[0]} of this Wav2CLIP are not finite. Get it again.")
    return weights


def spectrogram(samples: Tensor) -> Tensor:
    """Compute what Wav2CLIP reads: log-powers of mean 0 and deviation 1 over the whole sound.

    (The authors' code takes mean and deviation over all sounds of a batch.)

    Args:
        samples: (N,) at 16 kHz, 257 of them or more.

    Returns:
        (1, 1, 257, T) float32, frequency before time, T = N // 353 + 1; silence is 0.
    """
    stft = torch.stft(
        samples.double(),
        N_FFT,
        HOP_LENGTH,
        window=torch.hann_window(N_FFT, dtype=torch.float64),
        pad_mode="reflect",
        return_complex=True,
    )  # (257, T)
    logs = (torch.view_as_real(stft).square().sum(-1) + LOG_OFFSET).log()
    return ((logs - logs.mean()) / (logs.std() + 1e-9)).float()[None, None]

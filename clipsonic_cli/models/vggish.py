"""VGGish: log-mel windows of 0.96 s to 128 numbers each, which the Frechet audio distance compares.

Source: Hershey et al. 2017; the published weights are those of AudioSet's VGGish carried over to
PyTorch by torchvggish.
"""

import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import check_fit

WINDOW = (96, 64)
"""Frames of 10 ms, and mel bands, of a window."""
DIM = 128
"""Size of a window's embedding."""
SAMPLE_RATE = 16_000
FRAME_LENGTH, HOP_LENGTH = 400, 160  # 25 and 10 ms
N_FFT = 512
F_MIN, F_MAX = 125.0, 7500.0
LOG_OFFSET = 0.01
WINDOW_HOP = WINDOW[0] * HOP_LENGTH
"""Samples from one window to the next: 0.96 s."""
WINDOW_SAMPLES = WINDOW_HOP - HOP_LENGTH + FRAME_LENGTH
"""Samples of a window: 0.975 s, as its last frame is longer than the step to it."""
BATCH = 16
"""Windows computed at once."""
WIDTHS = ((64,), (128,), (256, 256), (512, 512))
"""Channels of the convolutions between one pooling and the next."""


class VGGish(nn.Module):
    """The convolutional network up to its last linear layer, without its rectification.

    Distances are measured before it, as frechet-audio-distance does by default: after it most of
    the 128 numbers are 0.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for level in WIDTHS:
            for width in level:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        pooled = 2 ** len(WIDTHS)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * (WINDOW[0] // pooled) * (WINDOW[1] // pooled), 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, DIM),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return embeddings (B, 128), of either sign, for natural-log mels (B, 1, 96, 64)."""
        if windows.ndim != 4 or windows.shape[1:] != (1, *WINDOW):
            raise ValueError(f"need windows (B, 1, 96, 64), got {tuple(windows.shape)}")
        h = self.features(windows)  # (B, 512, 6, 4)
        # TensorFlow keeps channels last, and the weights of the linear layer are in its order.
        embed: Tensor = self.embeddings(h.permute(0, 2, 3, 1).flatten(1))
        return embed


def vggish_pca(params: Mapping[str, object]) -> tuple[Tensor, Tensor]:
    """Check VGGish's principal components (``vggish_pca_params-970ea276.pth``).

    AudioSet's released features are ``components @ (embed - means)``, rounded to 8 bits; the
    Frechet audio distance uses neither.

    Args:
        params: ``pca_eigen_vectors`` (128, 128) and ``pca_means`` (128,) or (128, 1), tensors or
            NumPy arrays: the published file holds arrays.

    Returns:
        The components (128, 128), a row each, and the means (128,), float32.

    Raises:
        BadBundle: One is missing, unexpected, of another shape or not of numbers.
    """
    wanted = {"pca_eigen_vectors": torch.empty(DIM, DIM), "pca_means": torch.empty(DIM)}
    try:
        seen: dict[str, Tensor] = {
            name: torch.as_tensor(value, dtype=torch.float32) for name, value in params.items()
        }
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise BadBundle(f"VGGish's principal components are no numbers ({error}).") from None
    if seen.get("pca_means", wanted["pca_means"]).shape == (DIM, 1):
        seen["pca_means"] = seen["pca_means"].flatten()
    check_fit(seen, wanted, "These are not VGGish's principal components")
    return seen["pca_eigen_vectors"], seen["pca_means"]


def log_mel_windows(samples: Tensor) -> Tensor:
    """Compute the mels that VGGish takes: ln(mel + 0.01) of magnitudes, in windows.

    Args:
        samples: (N,) at 16 kHz.

    Returns:
        (W, 1, 96, 64) float32, time before frequency; W is 0 for a sound under 0.975 s.

    Source: Hershey et al. 2017, section 3, and AudioSet's code as torchvggish carries it over.
    """
    mels = [torch.empty(0, *WINDOW)]
    if len(samples) >= WINDOW_SAMPLES:
        windows = samples.unfold(0, WINDOW_SAMPLES, WINDOW_HOP)  # (W, 15600)
        # In batches, as double precision is large.
        mels += [_log_mel(batch) for batch in torch.split(windows, BATCH)]
    return torch.cat(mels).unsqueeze(1)


def _log_mel(windows: Tensor) -> Tensor:
    """Compute the mels (W, 96, 64) of windows (W, 15600), in double as the original does."""
    frames = windows.double().unfold(1, FRAME_LENGTH, HOP_LENGTH)  # (W, 96, 400)
    hann = torch.hann_window(FRAME_LENGTH, dtype=torch.float64)
    magnitude = torch.fft.rfft(frames * hann, N_FFT).abs()  # (W, 96, 257)
    mel: Tensor = magnitude @ mel_filters()  # (W, 96, 64)
    return (mel + LOG_OFFSET).log().float()


@functools.cache
def mel_filters() -> Tensor:
    """Compute triangles of height 1 that are straight over mel, not over Hz: (257, 64) float64.

    Source: Young et al., The HTK Book: mel = 1127 ln(1 + Hz / 700).
    """

    def mel(hz: Tensor) -> Tensor:
        return 1127 * (hz / 700).log1p()

    low, high = mel(torch.tensor([F_MIN, F_MAX], dtype=torch.float64)).tolist()
    corners = torch.linspace(low, high, WINDOW[1] + 2, dtype=torch.float64)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]  # (64,) each
    bins = mel(torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64))[:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)

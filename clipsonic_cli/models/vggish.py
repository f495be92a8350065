"""VGGish: log-mel windows of 0.96 s to 128 numbers each, which the Frechet audio distance compares.

Source: Hershey et al. 2017; the published weights are those of AudioSet's VGGish carried over to
PyTorch by torchvggish.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import check_fit

WINDOW = (96, 64)
"""Frames of 10 ms, and mel bands, of a window."""
DIM = 128
"""Size of a window's embedding."""
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
        """Embed windows.

        Args:
            windows: (B, 1, 96, 64) natural-log mels, time before frequency.

        Returns:
            (B, 128), of either sign.

        Raises:
            ValueError: The windows have another shape.
        """
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
        BadBundle: One is missing, of another shape or not of numbers, or there is something else.
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

"""Sounds to VGGish features, as the Frechet audio distance of the paper pools them.

Knows: the mel VGGish listens to, and where its weights lie. Does not know: the network
(``models/vggish.py``), and what is done with the features (``frechet.py``).
"""

import functools

import torch
from torch import Tensor

from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import DIM, WINDOW, VGGish
from clipsonic_cli.store import bundle
from clipsonic_cli.store.assets import file_of
from clipsonic_cli.store.manifest import find

SAMPLE_RATE = 16_000
FRAME_LENGTH, HOP_LENGTH = 400, 160  # 25 and 10 ms
N_FFT = 512
FRAMES, N_MELS = WINDOW
F_MIN, F_MAX = 125.0, 7500.0
LOG_OFFSET = 0.01
WINDOW_HOP = FRAMES * HOP_LENGTH
"""Samples from one window to the next: 0.96 s."""
WINDOW_SAMPLES = WINDOW_HOP - HOP_LENGTH + FRAME_LENGTH
"""Samples that a window needs: 0.975 s, as its last frame is longer than the step to it."""
BATCH = 16
"""Windows that go through the network at once."""


class VGGishBackbone:
    """VGGish as the backbone of a Frechet distance: 128 numbers for every 0.96 s of sound.

    Args:
        network: The weights at work, in evaluation mode, on the device where it is to run.
        identity: Of the file they are of; empty where they are of none.
    """

    name = "vggish"
    dim = DIM

    def __init__(self, network: VGGish, identity: str = "") -> None:
        self.network, self.identity = network, identity

    @classmethod
    def load(cls, device: torch.device) -> "VGGishBackbone":
        """Reads the published weights that lie on this machine.

        Raises:
            MissingWeights: They do not; names the command that gets them.
            BadBundle: Their file is damaged.
        """
        path = file_of(find(cls.name))
        weights = bundle.load(path, kind="vggish").weights
        network = build(VGGish, weights, "VGGish", device=device)
        return cls(network, bundle.identity(path))

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives the features of every whole window of a sound.

        Windows follow each other without overlap; what is left after the last whole one is not
        heard. A sound under 0.975 s has none and adds nothing to a set. That is torchvggish's
        front end; frechet-audio-distance, which runs the network on none, fails there and silently
        leaves out this sound and all that follow.

        Args:
            samples: (N,) mono, about in [-1, 1].
            sample_rate: In Hz; others than 16 kHz are resampled by soxr at its high quality.

        Returns:
            (W, 128) float32 on the CPU, before the last rectification; W is
            floor((N - 240) / 15360) for N >= 240 samples at 16 kHz: 4 for 4.096 s, 10 for 10 s.

        Raises:
            ValueError: The samples are not (N,) or not finite, or there is no such sample rate.
        """
        windows = log_mel_windows(samples, sample_rate)
        device = next(self.network.parameters()).device
        rows = [torch.empty(0, DIM)]
        with torch.inference_mode():
            for some in torch.split(windows, BATCH):
                rows.append(self.network(some.to(device)).float().cpu())
        return torch.cat(rows).clone()


def log_mel_windows(samples: Tensor, sample_rate: int) -> Tensor:
    """Gives what VGGish listens to.

    Frames of 25 ms every 10 ms under a periodic Hann window, magnitudes of 512 bins, and
    ln(mel + 0.01).

    Args:
        samples: (N,) mono, about in [-1, 1].
        sample_rate: In Hz; resampled to 16 kHz where it is another.

    Returns:
        (W, 1, 96, 64) float32, time before frequency; W is 0 for a sound under 0.975 s.

    Raises:
        ValueError: The samples are not (N,) or not finite, or there is no such sample rate.

    Source:
        Hershey et al. 2017, section 3, and AudioSet's code as torchvggish carries it over.
    """
    samples = at_rate(samples, sample_rate, SAMPLE_RATE)
    mels = [torch.empty(0, *WINDOW)]
    if len(samples) >= WINDOW_SAMPLES:
        windows = samples.unfold(0, WINDOW_SAMPLES, WINDOW_HOP)  # (W, 15600)
        mels += [
            _log_mel(some) for some in torch.split(windows, BATCH)
        ]  # double precision is large
    return torch.cat(mels).unsqueeze(1)


@functools.cache
def mel_filters() -> Tensor:
    """Gives triangles of height 1 that are straight over mel, not over Hz: (257, 64) float64.

    Source:
        Young et al., The HTK Book: mel = 1127 ln(1 + Hz / 700).
    """

    def mel(hz: Tensor) -> Tensor:
        return 1127 * (hz / 700).log1p()

    low, high = mel(torch.tensor([F_MIN, F_MAX], dtype=torch.float64)).tolist()
    corners = torch.linspace(low, high, N_MELS + 2, dtype=torch.float64)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]  # (64,) each
    bins = mel(torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64))[:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)


def _log_mel(windows: Tensor) -> Tensor:
    """Gives the mels (W, 96, 64) of windows (W, 15600), computed in double as the original does."""
    frames = windows.double().unfold(1, FRAME_LENGTH, HOP_LENGTH)  # (W, 96, 400)
    hann = torch.hann_window(FRAME_LENGTH, dtype=torch.float64)
    magnitude = torch.fft.rfft(frames * hann, N_FFT).abs()  # (W, 96, 257)
    mel: Tensor = magnitude @ mel_filters()  # (W, 96, 64)
    return (mel + LOG_OFFSET).log().float()

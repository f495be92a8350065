"""PANNs as a backbone that also tags, for the Frechet distance and the divergence of later papers.

Knows: the mel CNN14 listens to, how a sound longer than AudioSet's is heard, and where its weights
lie. Does not know: the network (``models/panns.py``), and what is done with the features.
"""

import functools
import math

import torch
from torch import Tensor

from clipsonic_cli.audio import mel
from clipsonic_cli.metrics.windows import at_rate, spread
from clipsonic_cli.models.panns import DIM, FEWEST_FRAMES, SPEC, Cnn14
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store import bundle
from clipsonic_cli.store.assets import file_of
from clipsonic_cli.store.manifest import find

POWER_FLOOR = 1e-10
"""-100 dB, which is silence."""
MOST_SAMPLES = 10 * SPEC.sample_rate
"""Samples heard at once: clips of AudioSet last 10 s."""
LEAST_SAMPLES = (FEWEST_FRAMES - 1) * SPEC.hop_length
"""0.31 s, of which the network makes one place."""


class PannsBackbone:
    """CNN14 of PANNs at 16 kHz: a vector of 2048 numbers a sound, or one for every 10 s of it.

    Args:
        network: The weights at work, in evaluation mode, on the device where it is to run.
        identity: Of the file they are of; empty where they are of none.
    """

    name = "panns"
    dim = DIM

    def __init__(self, network: Cnn14, identity: str = "") -> None:
        self.network, self.identity = network, identity

    @classmethod
    def load(cls, device: torch.device) -> "PannsBackbone":
        """Reads the published weights that lie on this machine.

        Raises:
            MissingWeights: They do not; names the command that gets them.
            BadBundle: Their file is damaged.
        """
        path = file_of(find(cls.name))
        weights = bundle.load(path, kind="panns").weights
        network = build(Cnn14, weights, "CNN14", device=device)
        return cls(network, bundle.identity(path))

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives the features of a sound.

        A sound of up to 10 s is heard at once; of a longer one, as many windows of 10 s as cover
        it, evenly spread. (AudioLDM's evaluation, which is later papers', hears longer ones at once
        too, and follows those under 2 s by silence.)

        Args:
            samples: (N,) mono, about in [-1, 1].
            sample_rate: In Hz; others than 16 kHz are resampled by soxr at its high quality.

        Returns:
            (W, 2048) float32 on the CPU, none negative; W is 1 up to 10 s, and 0 for a sound under
            0.31 s.

        Raises:
            ValueError: The samples are not (N,) or not finite, or there is no such sample rate.

        Source:
            Liu et al. 2023 (AudioLDM).
        """
        samples = at_rate(samples, sample_rate, SPEC.sample_rate)
        if len(samples) < LEAST_SAMPLES:
            return torch.empty(0, DIM)
        # Less than half a frame more, as resampling may leave, is no reason for another window.
        count = max(math.ceil((len(samples) - SPEC.hop_length // 2) / MOST_SAMPLES), 1)
        windows = spread(samples, min(len(samples), MOST_SAMPLES), count)
        device = self.network.fc1.weight.device
        with torch.inference_mode():
            rows = [self.network(log_mel(window).to(device)).float().cpu() for window in windows]
        return torch.cat(rows).clone()

    def tag(self, rows: Tensor) -> Tensor:
        """Gives the network's opinion of what sounds are, as the field compares it.

        Args:
            rows: (W, 2048), of :meth:`embed`.

        Returns:
            (W, 527) float32 on the CPU: the softmax over the classes of AudioSet.

        Source:
            Liu et al. 2023 (AudioLDM).
        """
        with torch.inference_mode():
            logits = self.network.classify(rows.to(self.network.fc1.weight.device))
        return logits.softmax(1).cpu().clone()


def log_mel(samples: Tensor) -> Tensor:
    """Gives what CNN14 listens to.

    Args:
        samples: (N,) at 16 kHz, more than 256 of them.

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
    mels = power.T @ mel_filters().double()  # (T, 64)
    return 10 * mels.clamp(min=POWER_FLOOR).log10().float()[None, None]


@functools.cache
def mel_filters() -> Tensor:
    """Gives the triangles under which CNN14 hears: (257, 64) float32, of unit area over Hz."""
    return mel.mel_filters(SPEC).T.contiguous()

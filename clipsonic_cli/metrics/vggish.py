"""VGGish as a backbone, for the Frechet audio distance of the paper."""

import torch
from torch import Tensor

from clipsonic_cli.metrics.windows import at_rate
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import BATCH, DIM, SAMPLE_RATE, VGGish, log_mel_windows
from clipsonic_cli.store import bundle
from clipsonic_cli.store.assets import file_of
from clipsonic_cli.store.manifest import find


class VGGishBackbone:
    """VGGish: 128 numbers for every 0.96 s of sound.

    Args:
        network: In evaluation mode, on its device.
        identity: Identity of its file; empty without one.
    """

    name = "vggish"
    dim = DIM

    def __init__(self, network: VGGish, identity: str = "") -> None:
        self.network, self.identity = network, identity

    @classmethod
    def load(cls, device: torch.device) -> "VGGishBackbone":
        """Load the published weights that were downloaded.

        Raises:
            MissingWeights: They were not; names the command that gets them.
            BadBundle: Their file is damaged.
        """
        path = file_of(find(cls.name))
        weights = bundle.load(path, kind="vggish").weights
        network = build(VGGish, weights, "VGGish", device=device)
        return cls(network, bundle.identity(path))

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Compute the features of every whole window of a sound.

        Windows do not overlap, and what is left after the last is not used. A sound under 0.975 s
        has none and adds nothing to a set. That is torchvggish's front end; frechet-audio-distance
        fails on a sound without windows, and silently leaves out this one and all that follow.

        Args:
            samples: (N,) mono, about in [-1, 1].
            sample_rate: In Hz; resampled to 16 kHz.

        Returns:
            (W, 128) float32 on the CPU, before the last rectification; W is
            floor((N - 240) / 15360) for N >= 240 samples at 16 kHz: 4 for 4.096 s, 10 for 10 s.

        Raises:
            ValueError: The samples are not (N,) or not finite, or there is no such sample rate.
        """
        windows = log_mel_windows(at_rate(samples, sample_rate, SAMPLE_RATE))
        device = next(self.network.parameters()).device
        rows = [torch.empty(0, DIM)]
        with torch.inference_mode():
            for batch in torch.split(windows, BATCH):
                rows.append(self.network(batch.to(device)).float().cpu())
        return torch.cat(rows).clone()

"""Texts to CLIP-*image* space by the diffusion bridge, which knows frames alone."""

import torch
from torch import Tensor

from clipsonic_cli.config import BridgeConfig, DiffusionConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.encoders.transfer import TransferEncoder
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bridge import SCALE, Bridge
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store.bundle import Bundle, Header

ENTRY = 600
"""Step of 1000 at which texts enter where a bridge names none: that of COCO in Lee et al. 2025."""
KEY = "entry"
"""Key of that step in the meta of a bridge."""
STEPS = 12
"""Deterministic steps from there to a frame's vector."""


class BridgeEncoder(TransferEncoder):
    """Puts a text's vector in where a noisy frame would be, and denoises it: mode ``db``.

    Deterministic; some milliseconds a text.

    Args:
        clip: The CLIP whose frames the bridge was trained on.
        bridge: The network, in evaluation mode.
        diffusion: The process it was trained on.
        entry: Steps of the process that are denoised; none at 0, where only the mean is shifted.

    Raises:
        ValueError: The bridge is of vectors of another size.

    Source: Lee et al. 2025 (Diffusion Bridge), from texts to frames.
    """

    def __init__(
        self, clip: ClipModel, bridge: Bridge, diffusion: DiffusionConfig, *, entry: int = ENTRY
    ) -> None:
        super().__init__(clip, "the bridge is", bridge.config.dim)
        self.bridge, self.process, self.entry = bridge, Process(diffusion), entry

    @torch.no_grad()
    def move(self, embed: Tensor) -> Tensor:
        """Move text vectors (B, D) to where frames are; both on the CPU."""
        bridge = self.bridge
        x_T = bridge.enter(embed.to(bridge.text_mean.device), bridge.text_mean)  # noqa: N806
        return bridge.leave(self._denoise(x_T)).cpu()

    def _denoise(self, x_T: Tensor) -> Tensor:  # noqa: N803
        """Denoise from the entry on, with what the network reads scaled at every step.

        The prediction grows with its input, so that scaling x_t changes no direction: that is the
        released code's scaling of x_t itself.
        """
        steps = min(STEPS, self.entry)
        if not steps:
            return x_T
        return ddim.sample(
            lambda x_t, t: x_t.norm(dim=-1, keepdim=True) / SCALE * self.bridge(x_t, t),
            x_T,
            [number * self.entry // steps - 1 for number in range(steps, 0, -1)],
            self.process,
            noise=SeededNoise([]),  # deterministic sampling draws none
        )


def load_bridge(bundle: Bundle, name: str) -> Bridge:
    """Build the bridge of a bundle, in float32; a BadBundle where it is damaged or no bridge."""
    config = bundle.header.config
    if not isinstance(config, BridgeConfig):
        raise BadBundle(f"A bridge is needed, this bundle holds a {bundle.header.kind}.")
    return build(lambda: Bridge(config), bundle.weights, name)


def entry_of(header: Header) -> int:
    """Return the step at which texts enter a bridge; a BadBundle where it is none of its process.

    Without one in its meta it is as far as :data:`ENTRY` of 1000.
    """
    assert header.diffusion is not None  # a bridge's header has one
    last = header.diffusion.train_steps
    entry = header.meta.get(KEY, ENTRY * last // 1000)
    if type(entry) is not int or not 0 <= entry <= last:
        raise BadBundle(f"The bridge names {entry!r:.40} as its entry; allowed: 0 to {last}.")
    return entry

"""Where texts enter a bridge."""

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import BridgeConfig, DiffusionConfig
from clipsonic_cli.encoders.bridge import BridgeEncoder
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.store import bundle
from clipsonic_cli.training.bridge import TENTHS, choose_entry

PROCESS = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)


class FromStep(Bridge):
    """Keeps what it reads up to a step; beyond, everything becomes one vector."""

    def __init__(self, dim, last):
        super().__init__(BridgeConfig(dim=dim, width=8, depth=1, time_dim=8))
        self.last_step = last

    def forward(self, x_t, t):
        kept = 5 * F.normalize(x_t, dim=1)
        return torch.where(t[:, None] < self.last_step, kept, torch.ones_like(kept))


@pytest.mark.parametrize("last", [300, 500])
def test_texts_enter_where_they_become_most_like_frames(micro, last):
    clip = load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))
    texts, _ = clip.embed_text(["a dog", "a cat", "rain", "a bell"])
    bridge = FromStep(clip.dim, last)
    bridge.text_mean = texts.mean(0)
    frames = bridge.leave(bridge.enter(texts, bridge.text_mean))
    encoder = BridgeEncoder(clip, bridge, PROCESS)
    meta = choose_entry(encoder, texts, frames)
    assert meta["entry"] == encoder.entry <= last
    assert list(meta["cosines"]) == [str(100 * tenths) for tenths in TENTHS]
    assert meta["cosines"][str(last)] > meta["cosines"][str(last + 200)]

"""Sounds longer than a window, by the model inside the package, as they sound."""

import pytest
import torch

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import Recipe

LABELS = ("violin", "piano", "rooster", "cow", "helicopter", "harp", "flute", "bell")
HOP = 64
"""Frames between the beginnings of windows."""
NEAR = 20
"""Frames to either side that a border is compared with."""


def mels(monkeypatch, labels, **how):
    """Returns the mels (B, F, T) that the vocoder is given."""
    sonic = ClipSonic.load("mini", device="cpu", dtype="float32")
    seen = []

    def vocode(mel):
        seen.append(mel.squeeze(1))
        return torch.zeros(len(mel), mel.shape[-1] * 512)

    monkeypatch.setattr(sonic.parts, "vocoder", lambda *_: vocode)
    recipes = [Recipe(text=f"a photo of {x}", seed=n, **how) for n, x in enumerate(labels)]
    list(sonic.generate(recipes, batch_size=4))
    return torch.cat(seen)


def ranks(mel):
    """Return the rank of a border's step among its 40 neighbours', 0 to 1, for all borders."""
    steps = mel.diff(dim=-1).abs().mean(dim=1)  # (B, T - 1); steps[:, f - 1] leads to frame f
    found = []
    for border in range(HOP, mel.shape[-1] - NEAR, HOP):
        near = torch.cat(
            [steps[:, border - 1 - NEAR : border - 1], steps[:, border : border + NEAR]], dim=1
        )
        found.append((near < steps[:, border - 1 : border]).float().mean(dim=1))
    return torch.stack(found)


def test_a_long_sound_steps_no_farther_where_windows_meet_than_elsewhere(monkeypatch):
    mel = mels(monkeypatch, LABELS[:4], seconds=6.1, steps=5, guidance=1.0)
    assert 0.2 < ranks(mel).mean() < 0.7  # 8 borders; 0.8 where windows count alike


@pytest.mark.slow
def test_many_long_sounds_step_no_farther_where_windows_meet_than_elsewhere(monkeypatch):
    mel = mels(monkeypatch, LABELS * 2, seconds=10.0, steps=10)
    assert 0.35 < ranks(mel).mean() < 0.6  # 64 borders

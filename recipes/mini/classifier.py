"""An independent judge: names the label of a sound, trained on real clips only.

It reads finished waveforms (16 kHz) through the log-mel definition of the paper and never sees a
generated sound while it is trained. Its accuracy on real held-out clips is the ceiling against
which generated sounds are counted.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.config import MelSpec

FRAMES = 128
EPOCHS = 16


class Classifier(nn.Module):
    """A small residual-free convolutional network over a 4-second normalised log-mel.

    Args:
        labels: Number of labels.
        width: Channels of the first layer.
    """

    def __init__(self, labels: int, width: int = 32) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )

        self.layers = nn.Sequential(
            layer(1, width),
            layer(width, 2 * width),
            layer(2 * width, 4 * width),
            layer(4 * width, 4 * width),
        )
        self.head = nn.Linear(8 * width, labels)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Return logits (B, labels) for normalised log-mel (B, 1, F, T)."""
        x = self.layers(mel)  # (B, 4 width, F / 16, T / 16)
        x = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=3).mean(dim=2)], dim=1)
        logits: torch.Tensor = self.head(F.dropout(x, 0.3, self.training))
        return logits


def mel_of(waveforms: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Return normalised log-mel (B, 1, F, 128) of waveforms (B, N), each scaled to peak 0.95."""
    peak = waveforms.abs().amax(dim=1, keepdim=True).clamp_min(1e-5)
    with torch.inference_mode():
        mel = normalize(LogMel(spec)(waveforms * (0.95 / peak)), spec)
    return F.pad(mel, (0, max(0, FRAMES - mel.shape[-1])), value=-1.0)[..., :FRAMES].clone()


def _augment(mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rolls in time, changes the level, masks a band and adds noise, so that it generalises."""
    out = mel.clone()
    for row in out:
        row.copy_(row.roll(int(torch.randint(FRAMES, (), generator=generator)), dims=-1))
        row.add_(0.15 * float(torch.randn((), generator=generator)))
        width = int(torch.randint(1, 10, (), generator=generator))
        low = int(torch.randint(64 - width, (), generator=generator))
        row[:, low : low + width] = -1.0
    noise = torch.randn(out.shape, generator=generator)
    scale = 0.1 * torch.rand((len(out), 1, 1, 1), generator=generator)
    return (out + scale * noise).clamp(-1, 1)


def train(
    mels: torch.Tensor, targets: torch.Tensor, labels: int, *, epochs: int = EPOCHS, seed: int = 0
) -> Classifier:
    """Train on real clips.

    Args:
        mels: (n, 1, F, 128) normalised log-mel.
        targets: (n,) int64 label indices.
        labels: Number of labels.
        epochs: Passes over the clips.
        seed: Seed of the initial weights and the order.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = Classifier(labels).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(mels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(mels), generator=generator)
        for rows in order[: len(order) // 64 * 64].view(-1, 64):
            batch = _augment(mels[rows], generator).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(batch), targets[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def predict(model: Classifier, mels: torch.Tensor, batch: int = 64) -> torch.Tensor:
    """Return the label index of each mel (n, 1, F, 128): (n,) int64."""
    return torch.cat([model(rows).argmax(dim=1) for rows in torch.split(mels, batch)])


def read_clips(root: Path, paths: Sequence[str], spec: MelSpec) -> torch.Tensor:
    """Read audio files of one length and return their normalised log-mel (n, 1, F, 128)."""
    from clipsonic_cli.audio.files import read

    rows = [read(root / path, spec.sample_rate) for path in paths]
    return torch.cat([mel_of(torch.stack(rows[i : i + 64]), spec) for i in range(0, len(rows), 64)])

"""What the two denoisers are trained to lower: the mel U-Net and the diffusion prior.

Knows: windows, dropping the condition, noising. Does not know: the loop (``trainer.py``) and where
clips come from.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clipsonic_cli.diffusion.loss import hybrid_loss
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.training.batches import Batch, crop, random_starts
from clipsonic_cli.training.trainer import Turn

if TYPE_CHECKING:
    from clipsonic_cli.models.prior import Prior  # its dalle2-pytorch is not needed for a U-Net


class UNetObjective:
    """The hybrid loss of the mel U-Net under classifier-free guidance.

    A batch holds ``mel`` (B, 1, F, T) normalised, T >= window, and ``embed`` (B, D) of unit norm.

    Args:
        unet: The network.
        process: The diffusion process.
        window: Frames a clip is cropped to (paper: 64, which is 2 s).
        cond_drop: Share of clips whose condition is replaced by ``null_cond``.

    Source: CLIPSonic sections 2 and 3; Nichol & Dhariwal 2021, section 3.1; Ho & Salimans 2022.
    """

    def __init__(
        self, unet: UNet, process: Process, *, window: int = 64, cond_drop: float = 0.1
    ) -> None:
        self.networks: Mapping[str, nn.Module] = {"unet": unet}
        self.unet, self.process = unet, process
        self.window, self.cond_drop = window, cond_drop

    def turns(self, batch: Batch, _step: int, generator: torch.Generator) -> Iterator[Turn]:
        """Gives the loss of a batch."""
        mel, embed = batch["mel"], batch["embed"]
        x_0 = crop(mel, random_starts(mel, self.window, generator), self.window)  # (B, 1, F, T)
        t, eps = draw(self.process, x_0, generator)
        keep = torch.rand(len(x_0), 1, generator=generator) >= self.cond_drop
        cond = torch.where(keep.to(embed.device), embed, self.unet.null_cond)  # (B, D)
        x_t = self.process.q_sample(x_0, t, eps)
        time = self.process.network_time(t).to(x_0.device)
        output = self.unet(x_t, time, cond)
        loss = hybrid_loss(self.process, output.float(), x_0, x_t, t, eps)  # (B,)
        yield Turn(network="unet", loss=loss.mean())


class PriorObjective:
    """Mean squared error of the image embedding the prior predicts, at the scale of unit variance.

    A batch holds ``embed`` (B, D) picture embeddings and ``text_embed`` (B, D), both of unit norm,
    and ``text_encodings`` (B, L, text_dim).

    Args:
        prior: The network.
        process: The diffusion process; it predicts x0.
        cond_drop: Share of clips whose two text inputs are both replaced by the learned null.

    Source: CLIPSonic appendix A; Ramesh et al. 2022, section 2.2.
    """

    def __init__(self, prior: "Prior", process: Process, *, cond_drop: float = 0.1) -> None:
        self.networks: Mapping[str, nn.Module] = {"prior": prior}
        self.prior, self.process, self.cond_drop = prior, process, cond_drop

    def turns(self, batch: Batch, _step: int, generator: torch.Generator) -> Iterator[Turn]:
        """Gives the loss of a batch."""
        x_0 = batch["embed"] * batch["embed"].shape[-1] ** 0.5  # (B, D), about unit variance
        t, eps = draw(self.process, x_0, generator)
        keep = torch.rand(len(x_0), generator=generator) >= self.cond_drop
        output = self.prior(
            self.process.q_sample(x_0, t, eps),
            t.to(x_0.device),
            batch["text_embed"],
            batch["text_encodings"],
            keep=keep.to(x_0.device),
        )
        loss = (output.float() - self.process.target(x_0, t, eps)).square().mean()
        yield Turn(network="prior", loss=loss)


def draw(process: Process, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws a uniform training step (B,), on the CPU, and noise like x_0 for every sample."""
    t = torch.randint(process.config.train_steps, (len(x_0),), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    return t, eps.to(x_0)

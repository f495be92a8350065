"""The training objectives of the two denoisers: the mel U-Net and the diffusion prior."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.diffusion.loss import hybrid_loss
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.batches import Batch, crop, random_starts
from clipsonic_cli.trainer.objective import Loss

if TYPE_CHECKING:
    from clipsonic_cli.models.prior import Prior  # its dalle2-pytorch is not needed for a U-Net

QUARTERS = 4


class UNetObjective:
    """The hybrid loss of the mel U-Net under classifier-free guidance.

    A batch holds ``mel`` (B, 1, F, T) normalised, T >= window, and ``embed`` (B, D) of unit norm.

    Args:
        unet: The network.
        process: The diffusion process.
        window: Frames a clip is cropped to (paper: 64, which is 2 s).
        cond_drop: Share of clips whose condition is replaced by ``null_cond``.
        cond_noise: Standard deviation of normal noise added to every number of the condition,
            which is then brought back to unit norm; against the gap between images and texts.
            Not in the paper; CapDec's is 0.126, the root of 0.016.
        min_snr: Bound of the weight of the squared error (``diffusion/loss.py``). Not in the paper.

    Source: CLIPSonic sections 2 and 3; Nichol & Dhariwal 2021, section 3.1; Ho & Salimans 2022;
        ``cond_noise``: Nukrai et al. 2022 (CapDec), section 3; ``min_snr``: Hang et al. 2023.
    """

    main = criterion = "unet"

    def __init__(
        self,
        unet: UNet,
        process: Process,
        *,
        window: int = 64,
        cond_drop: float = 0.1,
        cond_noise: float = 0.0,
        min_snr: float | None = None,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"unet": unet}
        self.unet, self.process = unet, process
        self.window, self.cond_drop = window, cond_drop
        self.cond_noise, self.min_snr = cond_noise, min_snr

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw window, time, noise, and whether the condition is kept."""
        starts = random_starts(batch["mel"], self.window, generator)
        x_0 = crop(batch["mel"], starts, self.window)  # (B, 1, F, T)
        embed = batch["embed"]
        if self.cond_noise:
            noise = torch.randn(embed.shape, generator=generator)
            embed = F.normalize(embed + self.cond_noise * noise, dim=-1)
        drawn = draw(self.process, x_0, self.cond_drop, generator)
        return {"clip": batch["clip"], "embed": embed, **drawn}

    def turns(self, _step: int) -> Sequence[str]:
        """Return the U-Net's name."""
        return ("unet",)

    def loss(self, _network: str, batch: Batch, _step: int) -> Loss:
        """Compute the loss of a batch, and those of the quarters of the schedule."""
        x_0, t, eps, embed = batch["x_0"], batch["t"], batch["eps"], batch["embed"]
        cond = torch.where(batch["keep"][:, None] > 0, embed, self.unet.null_cond)  # (B, D)
        x_t = self.process.q_sample(x_0, t, eps)
        time = self.process.network_time(t).to(x_0.device)
        output = self.networks["unet"](x_t, time, cond).float()
        losses = hybrid_loss(self.process, output, x_0, x_t, t, eps, min_snr=self.min_snr)  # (B,)
        return Loss(mean=losses.mean(), parts=quarters("unet", losses, t, self.process))


class PriorObjective:
    """Mean squared error of the image embedding the prior predicts, at the scale of unit variance.

    A batch holds ``embed`` (B, D) image embeddings and ``text_embed`` (B, D), both of unit norm,
    and ``text_encodings`` (B, L, text_dim).

    Args:
        prior: The network.
        process: The diffusion process; it predicts x0.
        cond_drop: Share of clips whose two text inputs are both replaced by the learned null.
        min_snr: Bound of the weight of the squared error (``diffusion/loss.py``). Not in the paper.

    Source: CLIPSonic appendix A; Ramesh et al. 2022, section 2.2; ``min_snr``: Hang et al. 2023.
    """

    main = criterion = "prior"

    def __init__(
        self,
        prior: "Prior",
        process: Process,
        *,
        cond_drop: float = 0.1,
        min_snr: float | None = None,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"prior": prior}
        self.process, self.cond_drop, self.min_snr = process, cond_drop, min_snr

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw time, noise, and whether the texts are kept."""
        x_0 = batch["embed"] * batch["embed"].shape[-1] ** 0.5  # (B, D), about unit variance
        texts = {name: batch[name] for name in ("clip", "text_embed", "text_encodings")}
        return {**texts, **draw(self.process, x_0, self.cond_drop, generator)}

    def turns(self, _step: int) -> Sequence[str]:
        """Return the prior's name."""
        return ("prior",)

    def loss(self, _network: str, batch: Batch, _step: int) -> Loss:
        """Compute the loss of a batch, and those of the quarters of the schedule."""
        x_0, t, eps = batch["x_0"], batch["t"], batch["eps"]
        x_t = self.process.q_sample(x_0, t, eps)
        output = self.networks["prior"](
            x_t,
            t.to(x_0.device),
            batch["text_embed"],
            batch["text_encodings"],
            keep=batch["keep"] > 0,
        ).float()
        losses = hybrid_loss(self.process, output, x_0, x_t, t, eps, min_snr=self.min_snr)  # (B,)
        return Loss(mean=losses.mean(), parts=quarters("prior", losses, t, self.process))


def draw(process: Process, x_0: Tensor, drop: float, generator: torch.Generator) -> Batch:
    """Draw a uniform diffusion step and noise for every sample, and drop some conditions.

    Returns:
        ``x_0`` as given, ``t`` (B,) int64, ``eps`` like x_0 and ``keep`` (B,), 1.0 or 0.0.
    """
    t = torch.randint(process.config.train_steps, (len(x_0),), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    keep = torch.rand(len(x_0), generator=generator) >= drop
    return {"x_0": x_0, "t": t, "eps": eps, "keep": keep.float()}


def quarters(name: str, losses: Tensor, t: Tensor, process: Process) -> dict[str, Tensor]:
    """Sort losses (B,) by the quarter of the schedule, least noise first, that their t is in."""
    quarter = t * QUARTERS // process.config.train_steps
    losses = losses.detach()
    # The rows are found on the CPU, where t is: a mask on a GPU would be waited for.
    return {
        f"{name}_quarter_{i + 1}": losses[(quarter == i).nonzero().flatten()]
        for i in range(QUARTERS)
    }

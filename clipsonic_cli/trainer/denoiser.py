"""The training objectives of the denoisers: the mel U-Net, the diffusion prior and the bridge."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.diffusion.loss import hybrid_loss
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.batches import Batch, crop, random_starts
from clipsonic_cli.trainer.objective import Loss

QUARTERS = 4


def deviation_for(cosine: float, dim: int) -> float:
    """Compute the deviation of normal noise that turns unit vectors by a mean cosine.

    The noise is nearly at a right angle to the vector and ``deviation * sqrt(dim)`` long, so that
    the cosine is 1 / sqrt(1 + deviation^2 dim), up to c (1 - c^2) (3 c^2 - 1) / (4 dim).
    """
    return math.sqrt((cosine**-2 - 1) / dim)


def cosine_for(deviation: float, dim: int) -> float:
    """Compute the mean cosine by which noise turns unit vectors, inverse to the above."""
    return 1 / math.sqrt(1 + deviation**2 * dim)


class Denoiser(ABC):
    """The hybrid loss of one network under classifier-free guidance.

    Args:
        cond_drop: Share of clips whose condition is replaced by a learned null.
        min_snr: Bound of the weight of the squared error (``diffusion/loss.py``). Not in the paper.

    Source: Nichol & Dhariwal 2021, section 3.1; Ho & Salimans 2022; ``min_snr``: Hang et al. 2023.
    """

    main: str

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        *,
        cond_drop: float = 0.1,
        min_snr: float | None = None,
    ) -> None:
        self.networks = {self.main: network}
        self.process, self.cond_drop, self.min_snr = process, cond_drop, min_snr

    @abstractmethod
    def predict(self, x_t: Tensor, batch: Batch) -> Tensor:
        """Compute the network's output from noised data and the rest of a drawn batch."""

    def noise(self, x_0: Tensor, generator: torch.Generator) -> Batch:
        """Draw uniform diffusion steps ``t`` (B,) int64, ``eps``, and ``keep`` (B,), 1.0 or 0.0."""
        t = torch.randint(self.process.config.train_steps, (len(x_0),), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator)
        keep = torch.rand(len(x_0), generator=generator) >= self.cond_drop
        return {"x_0": x_0, "t": t, "eps": eps, "keep": keep.float()}

    def turns(self, _step: int) -> Sequence[str]:
        """Return the network's name."""
        return (self.main,)

    def loss(self, _network: str, batch: Batch, _step: int, /) -> Loss:
        """Compute the loss of a batch, and those of the quarters of the schedule."""
        x_0, t, eps = batch["x_0"], batch["t"], batch["eps"]
        x_t = self.process.q_sample(x_0, t, eps)
        output = self.predict(x_t, batch).float()
        losses = hybrid_loss(self.process, output, x_0, x_t, t, eps, min_snr=self.min_snr)  # (B,)
        quarter = t * QUARTERS // self.process.config.train_steps  # least noise first
        # The rows are found on the CPU, where t is: a mask on a GPU would be waited for.
        parts = {
            f"{self.main}_quarter_{i + 1}": losses.detach()[(quarter == i).nonzero().flatten()]
            for i in range(QUARTERS)
        }
        return Loss(mean=losses.mean(), parts=parts)


class UNetObjective(Denoiser):
    """The objective of the mel U-Net.

    A batch holds ``mel`` (B, 1, F, T) normalised, T >= window, and ``embed`` (B, D) of unit norm.

    Args:
        window: Frames a clip is cropped to (paper: 64, which is 2 s).
        cond_cosine: Mean cosine of the condition with itself after normal noise, which is brought
            back to unit norm; against the gap between images and texts. 1 adds none. Not in the
            paper.

    Source: CLIPSonic sections 2 and 3; ``cond_cosine``: Nukrai et al. 2022 (CapDec), section 3,
        whose noise of deviation 0.126 in 512 dimensions is a cosine of 0.33.
    """

    main = criterion = "unet"

    def __init__(
        self,
        unet: UNet,
        process: Process,
        *,
        window: int = 64,
        cond_drop: float = 0.1,
        cond_cosine: float = 1.0,
        min_snr: float | None = None,
    ) -> None:
        super().__init__(unet, process, cond_drop=cond_drop, min_snr=min_snr)
        self.unet, self.window, self.cond_cosine = unet, window, cond_cosine

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw window, time, noise, and whether the condition is kept."""
        starts = random_starts(batch["mel"], self.window, generator)
        x_0 = crop(batch["mel"], starts, self.window)  # (B, 1, F, T)
        embed = batch["embed"]
        if self.cond_cosine < 1:
            noise = torch.randn(embed.shape, generator=generator)
            deviation = deviation_for(self.cond_cosine, embed.shape[-1])
            embed = F.normalize(embed + deviation * noise, dim=-1)
        return {"clip": batch["clip"], "embed": embed, **self.noise(x_0, generator)}

    def predict(self, x_t: Tensor, batch: Batch) -> Tensor:
        """Compute the U-Net's output."""
        kept = batch["keep"][:, None] > 0
        cond = torch.where(kept, batch["embed"], self.unet.null_cond)  # (B, D)
        time = self.process.network_time(batch["t"]).to(x_t.device)
        output: Tensor = self.networks["unet"](x_t, time, cond)
        return output


class PriorObjective(Denoiser):
    """Mean squared error of the image embedding the prior predicts, at the scale of unit variance.

    A batch holds ``embed`` (B, D) image embeddings and ``text_embed`` (B, D), both of unit norm,
    and ``text_encodings`` (B, L, text_dim). The process predicts x0.

    Source: CLIPSonic appendix A; Ramesh et al. 2022, section 2.2.
    """

    main = criterion = "prior"

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw time, noise, and whether both text inputs are kept."""
        x_0 = batch["embed"] * batch["embed"].shape[-1] ** 0.5  # (B, D), about unit variance
        texts = {name: batch[name] for name in ("clip", "text_embed", "text_encodings")}
        return {**texts, **self.noise(x_0, generator)}

    def predict(self, x_t: Tensor, batch: Batch) -> Tensor:
        """Compute the prior's x_0."""
        time, texts = batch["t"].to(x_t.device), (batch["text_embed"], batch["text_encodings"])
        output: Tensor = self.networks["prior"](x_t, time, *texts, keep=batch["keep"] > 0)
        return output


class BridgeObjective(Denoiser):
    """Mean squared error of the frame embedding that the diffusion bridge predicts.

    A batch holds ``embed`` (B, D) image embeddings of unit norm. The process predicts x0.

    Source: Lee et al. 2025, who weight the error by the ratio of signal to noise; all steps weigh
    the same here, as texts enter where there is much noise.
    """

    main = criterion = "bridge"

    def __init__(self, bridge: Bridge, process: Process) -> None:
        super().__init__(bridge, process, cond_drop=0.0)
        self.bridge = bridge

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw time and noise."""
        return {"clip": batch["clip"], **self.noise(batch["embed"], generator)}

    def loss(self, network: str, batch: Batch, step: int, /) -> Loss:
        """Compute the loss of a batch, whose embeddings are centred first."""
        x_0 = self.bridge.enter(batch["x_0"], self.bridge.frame_mean)
        return super().loss(network, {**batch, "x_0": x_0}, step)

    def predict(self, x_t: Tensor, batch: Batch) -> Tensor:
        """Compute the bridge's x_0."""
        output: Tensor = self.networks["bridge"](x_t, batch["t"].to(x_t.device))
        return output

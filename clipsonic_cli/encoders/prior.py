"""Texts to CLIP-*image* space by the diffusion prior, for U-Nets that were trained on images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import inner_timesteps, spaced_timesteps
from clipsonic_cli.encoders.clip import ClipModel, texts_of
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.types import Condition, Noise, Query, Report, silent

GRIDS = {"cosine": spaced_timesteps, "softmax_bias128": inner_timesteps}
"""Which steps are visited, by the prior's attention: LAION's as by the package it was made with."""


class PriorEncoder:
    """Draws image embeddings for a text and keeps the one nearest to it.

    Stochastic implicit sampling without guidance, as the paper's prior is used.

    Args:
        clip: The CLIP the prior was trained on.
        prior: The network, in evaluation mode.
        diffusion: The process it was trained on.
        steps: Sampling steps.
        candidates: Embeddings drawn a text (K).

    Raises:
        ValueError: ``candidates`` is not positive, or the two networks differ in D.
        UsageError: ``steps`` is not in 1 .. ``diffusion.train_steps``.

    Source: CLIPSonic section 3 and appendix A; Ramesh et al. 2022, section 2.2.
    """

    def __init__(
        self,
        clip: ClipModel,
        prior: CachedPrior,
        diffusion: DiffusionConfig,
        *,
        steps: int = 64,
        candidates: int = 2,
    ) -> None:
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1: {candidates}")
        if clip.dim != prior.config.dim:
            raise ValueError(f"the prior gives {prior.config.dim} numbers, CLIP has {clip.dim}")
        self.clip = clip
        self.prior = prior
        self.process = Process(diffusion)
        self.timesteps = GRIDS[prior.config.attention](diffusion.train_steps, steps)
        self.candidates = candidates

    @torch.inference_mode()
    def __call__(
        self, queries: Sequence[Query], *, noise: Noise, report: Report = silent
    ) -> Condition:
        """Return (B, D) of unit norm for B text queries; an image is a ValueError.

        ``report`` gets ``("prior", done, total)`` after every step.
        """
        on_cpu, encodings = self.clip.embed_text(texts_of(queries))
        device, count = next(self.prior.parameters()).device, self.candidates
        # (B, steps, K, D): where sampling starts, and what each step but the last adds.
        drawn = noise((len(on_cpu), len(self.timesteps), count, self.clip.dim)).to(device)
        draws = iter(drawn.unbind(1))  # each (B, K, D)
        text_embed = on_cpu.to(device)
        text = self.prior.read(text_embed, encodings.to(device)).repeat(count)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = self.prior(x_t.flatten(0, 1), t.repeat_interleave(count), text)
            return x_0.view_as(x_t)

        x_0 = ddim.sample(
            denoise,
            next(draws),
            self.timesteps,
            self.process,
            noise=lambda shape, like=None: next(draws),  # noqa: ARG005 -- the protocol's names
            report=lambda _, done, total: report("prior", done, total),
            eta=1.0,
        )
        embeds = F.normalize(x_0, dim=-1)  # (B, K, D)
        nearest = (embeds @ text_embed[:, :, None])[..., 0].argmax(1)  # (B,)
        embed = embeds[torch.arange(len(on_cpu), device=device), nearest].float().cpu()
        return Condition(embed=embed, space="clip-image", encoder=self.clip.identity)


def load_prior(bundle: Bundle, name: str) -> CachedPrior:
    """Build the prior of a bundle, in float32; a BadBundle where it is damaged or no prior."""
    config = bundle.header.config
    if not isinstance(config, PriorConfig):
        raise BadBundle(f"A prior's bundle is needed, this one holds a {bundle.header.kind}.")
    return build(lambda: CachedPrior(config), bundle.weights, name)

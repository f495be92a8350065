"""Texts to CLIP-*image* space by the diffusion prior: what lets a text query a U-Net of pictures.

Knows: how candidates are drawn and which is kept. Does not know: the prior's layers.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.encoders.clip import Clip, texts_of
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.types import Condition, Noise, Query, Report, silent


class PriorEncoder:
    """Draws image embeddings for a text and keeps the one nearest to it.

    Stochastic implicit sampling without guidance, as the paper's prior is used.

    Args:
        clip: The CLIP the prior was trained on.
        prior: The network, in evaluation mode.
        diffusion: The process it was trained on.
        identity: Name of the prior's weights; part of a cached embedding's name.
        steps: Steps of sampling.
        candidates: Embeddings drawn a text (K).
        cache: Folder to keep embeddings in, one file of D numbers each; None keeps them in memory
            only. What was drawn once, from the same weights, text and noise, is not drawn again.

    Raises:
        ValueError: ``candidates`` is not positive, or the two networks differ in D.
        UsageError: ``steps`` is not in 1 .. ``diffusion.train_steps``.

    Source:
        CLIPSonic section 3 and appendix A; Ramesh et al. 2022, section 2.2.
    """

    def __init__(
        self,
        clip: Clip,
        prior: Prior,
        diffusion: DiffusionConfig,
        *,
        identity: str,
        steps: int = 64,
        candidates: int = 2,
        cache: Path | None = None,
    ) -> None:
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1: {candidates}")
        if clip.dim != prior.config.dim:
            raise ValueError(f"the prior gives {prior.config.dim} numbers, CLIP has {clip.dim}")
        self.clip = clip
        self.prior = prior
        self.process = Process(diffusion)
        self.timesteps = spaced_timesteps(diffusion.train_steps, steps)
        self.candidates = candidates
        self.cache = cache
        self._weights = f"{clip.identity} {identity}"
        self._memory: dict[str, Tensor] = {}

    def __call__(
        self, queries: Sequence[Query], *, noise: Noise, report: Report = silent
    ) -> Condition:
        """Gives (B, D) of unit norm for B text queries.

        Args:
            queries: Texts.
            noise: Drawn from once, whether or not the answer is cached, so that what is drawn
                after it does not depend on the cache.
            report: Told after every step as ``("prior", done, total)``.

        Raises:
            ValueError: A query is a picture.
            UsageError: A text has no words.
        """
        texts = texts_of(queries)
        # (B, steps, K, D): where sampling starts, and what each step but the last adds.
        drawn = noise((len(texts), len(self.timesteps), self.candidates, self.clip.dim)).cpu()
        keys = [self._key(text, row) for text, row in zip(texts, drawn, strict=True)]
        missing = [i for i, key in enumerate(keys) if self._recall(key) is None]
        if missing:
            made = self._sample([texts[i] for i in missing], drawn[missing], report)
            for i, embed in zip(missing, made, strict=True):
                self._keep(keys[i], embed)
        embed = torch.stack([self._memory[key] for key in keys])
        return Condition(embed=embed, space="clip-image", encoder=self.clip.identity)

    @torch.inference_mode()
    def _sample(self, texts: list[str], drawn: Tensor, report: Report) -> Tensor:
        """Gives the nearest candidates (B, D) for noise (B, steps, K, D)."""
        device = next(self.prior.parameters()).device
        on_cpu, encodings = self.clip.embed_text(texts)
        text_embed = on_cpu.to(device).repeat_interleave(self.candidates, 0)  # (B K, D)
        encodings = encodings.to(device).repeat_interleave(self.candidates, 0)  # (B K, L, C)
        rest = iter(drawn.to(device).unbind(1))  # each (B, K, D)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            t = t.repeat_interleave(self.candidates)
            x_0: Tensor = self.prior(x_t.flatten(0, 1), t, text_embed, encodings)
            return x_0.view_as(x_t)

        x_0 = ddim.sample(
            denoise,
            next(rest),
            self.timesteps,
            self.process,
            noise=lambda shape, like=None: next(rest),  # noqa: ARG005 -- the protocol's names
            report=lambda _, done, total: report("prior", done, total),
            eta=1.0,
        )
        embeds = F.normalize(x_0, dim=-1)  # (B, K, D)
        nearest = (embeds @ on_cpu.to(device)[:, :, None])[..., 0].argmax(1)  # (B,)
        return embeds[torch.arange(len(texts), device=device), nearest].float().cpu()

    def _key(self, text: str, drawn: Tensor) -> str:
        digest = hashlib.sha256(f"{self._weights} {self.timesteps} {text}".encode())
        digest.update(drawn.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _recall(self, key: str) -> Tensor | None:
        file = self.cache / f"{key}.npy" if self.cache is not None else None
        if key not in self._memory and file is not None and file.exists():
            try:
                embed = torch.from_numpy(np.load(file, allow_pickle=False))
            except (OSError, ValueError, EOFError):
                return None  # a damaged file is drawn and written again
            if embed.shape == (self.clip.dim,) and embed.dtype == torch.float32:
                self._memory[key] = embed
        return self._memory.get(key)

    def _keep(self, key: str, embed: Tensor) -> None:
        self._memory[key] = embed.clone()
        if self.cache is not None:
            self.cache.mkdir(parents=True, exist_ok=True)
            temporary = self.cache / f".{key}.{os.getpid()}.part"
            with temporary.open("wb") as file:
                np.save(file, embed.numpy())
            temporary.replace(self.cache / f"{key}.npy")

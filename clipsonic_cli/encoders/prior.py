"""Texts to CLIP-*image* space by the diffusion prior, for U-Nets that were trained on images."""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import inner_timesteps, spaced_timesteps
from clipsonic_cli.encoders.clip import ClipModel, texts_of
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.store.home import REMEDY
from clipsonic_cli.types import Condition, Noise, Query, Report, silent

GRIDS = {"cosine": spaced_timesteps, "softmax_bias128": inner_timesteps}
"""Which steps are visited, by the prior's attention: LAION's as by the package it was made with."""
MAX_KEPT = 10_000
"""Newest embeddings kept on disk; 1 to 3 kB each."""
MAX_VECTOR = 1 << 20
"""Most bytes of a kept vector."""


class PriorEncoder:
    """Draws image embeddings for a text and keeps the one nearest to it.

    Stochastic implicit sampling without guidance, as the paper's prior is used.

    Args:
        clip: The CLIP the prior was trained on.
        prior: The network, in evaluation mode.
        diffusion: The process it was trained on.
        identity: Name of the prior's weights; part of a cached embedding's name.
        steps: Sampling steps.
        candidates: Embeddings drawn a text (K).
        cache: Folder for embeddings, a file of D numbers each; None keeps them in memory only. What
            was drawn once, from the same weights, text and noise on the same kind of device, is not
            drawn again. A folder that cannot be written is a ``UserWarning``.

    Raises:
        ValueError: ``candidates`` is not positive, or the two networks differ in D.
        UsageError: ``steps`` is not in 1 .. ``diffusion.train_steps``.

    Source: CLIPSonic section 3 and appendix A; Ramesh et al. 2022, section 2.2.
    """

    def __init__(
        self,
        clip: ClipModel,
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
        self.timesteps = GRIDS[prior.config.attention](diffusion.train_steps, steps)
        self.candidates = candidates
        self.cache = cache
        self._weights = f"{clip.identity} {identity}"
        self._memory: dict[str, Tensor] = {}
        if cache is not None:
            _prune(cache)

    def __call__(
        self, queries: Sequence[Query], *, noise: Noise, report: Report = silent
    ) -> Condition:
        """Return (B, D) of unit norm for B text queries; an image is a ValueError.

        Noise is drawn once, whether or not the answer is cached, so that what is drawn after it
        does not depend on the cache. ``report`` gets ``("prior", done, total)`` after every step.
        """
        texts = texts_of(queries)
        # (B, steps, K, D): where sampling starts, and what each step but the last adds.
        drawn = noise((len(texts), len(self.timesteps), self.candidates, self.clip.dim)).cpu()
        keys = [self._key(text, row) for text, row in zip(texts, drawn, strict=True)]
        missing = [i for i, key in enumerate(keys) if self._recall(key) is None]
        cached = [text for i, text in enumerate(texts) if i not in missing]
        if cached:
            self.clip.tokenize(cached)  # warns of a text that is cut, as drawing does
        if missing:
            sampled = self._sample([texts[i] for i in missing], drawn[missing], report)
            for i, embed in zip(missing, sampled, strict=True):
                self._memory[keys[i]] = embed.clone()
            if len(missing) == 1:  # others of a batch change an embedding by rounding
                self._keep(keys[missing[0]])
        embed = torch.stack([self._memory[key] for key in keys])
        return Condition(embed=embed, space="clip-image", encoder=self.clip.identity)

    @torch.inference_mode()
    def _sample(self, texts: list[str], drawn: Tensor, report: Report) -> Tensor:
        """Return the nearest candidates (B, D) for noise (B, steps, K, D)."""
        device = next(self.prior.parameters()).device
        on_cpu, encodings = self.clip.embed_text(texts)
        text_embed = on_cpu.to(device).repeat_interleave(self.candidates, 0)  # (B K, D)
        encodings = encodings.to(device).repeat_interleave(self.candidates, 0)  # (B K, L, C)
        draws = iter(drawn.to(device).unbind(1))  # each (B, K, D)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            t = t.repeat_interleave(self.candidates)
            x_0: Tensor = self.prior(x_t.flatten(0, 1), t, text_embed, encodings)
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
        nearest = (embeds @ on_cpu.to(device)[:, :, None])[..., 0].argmax(1)  # (B,)
        return embeds[torch.arange(len(texts), device=device), nearest].float().cpu()

    def _key(self, text: str, drawn: Tensor) -> str:
        device = next(self.prior.parameters()).device.type
        made_by = f"{self._weights} {self.timesteps} {device} {torch.__version__}"
        digest = hashlib.sha256(f"{made_by} {text}".encode())
        digest.update(drawn.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _recall(self, key: str) -> Tensor | None:
        if key not in self._memory and self.cache is not None:
            try:
                stored = bounded.read_bytes(self.cache / f"{key}.npy", MAX_VECTOR)
            except OSError:
                return None
            # By its own bytes, as NumPy's parser of headers raises what it likes and allocates
            # what they say.
            numbers = 4 * self.clip.dim
            if stored[:-numbers] == _stored(torch.zeros(self.clip.dim))[:-numbers]:
                embed = np.frombuffer(stored[-numbers:], np.float32)
                self._memory[key] = torch.from_numpy(embed.copy())
            # Else it is damaged, and drawn and written again.
        return self._memory.get(key)

    def _keep(self, key: str) -> None:
        if self.cache is None:
            return
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with written(self.cache / f"{key}.npy") as temporary, temporary.open("wb") as file:
                file.write(_stored(self._memory[key]))
        except OSError as error:
            reason = error.strerror or error
            warnings.warn(
                f"The prior's vectors cannot be kept for the next time in '{self.cache}' "
                f"({reason}). {REMEDY}",
                stacklevel=3,
            )
            self.cache = None


def _stored(embed: Tensor) -> bytes:
    """Return the .npy file of a vector."""
    file = io.BytesIO()
    np.save(file, embed.numpy())
    return file.getvalue()


def load_prior(bundle: Bundle, name: str) -> Prior:
    """Build the prior of a bundle, in float32; a BadBundle where it is damaged or no prior."""
    config = bundle.header.config
    if not isinstance(config, PriorConfig):
        raise BadBundle(f"A prior's bundle is needed, this one holds a {bundle.header.kind}.")
    return build(lambda: Prior(config), bundle.weights, name)


def _prune(folder: Path) -> None:
    """Delete the oldest files of a folder beyond :data:`MAX_KEPT`, as far as permitted."""
    with contextlib.suppress(OSError):
        files = list(folder.iterdir())
        if len(files) > MAX_KEPT:
            for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)[:-MAX_KEPT]:
                file.unlink(missing_ok=True)

"""Figure 2 of the paper: encode the query, sample a mel, vocode it.

A mode is a row of ``modes.MODES``; there is no branch on modes here. Knows what decides a sound
and how it travels inside a file. Does not know the command line.
"""

import functools
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from clipsonic_cli import __version__, ranges
from clipsonic_cli.audio import level
from clipsonic_cli.audio.mel import denormalize, onset
from clipsonic_cli.audio.tags import read_texts
from clipsonic_cli.config import DEFAULT_STEPS, Recipe
from clipsonic_cli.device import choose_device, choose_dtype
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.guidance import guided, windowed
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.images import check_image
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.modes import MODES, mode_for, negative_mode_for, query_of
from clipsonic_cli.parts import Parts
from clipsonic_cli.ranges import shown
from clipsonic_cli.registry import unknown
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.text import printable
from clipsonic_cli.types import Query, Report, Waveform, silent

NATIVE_FRAMES = 128
"""Frames sampled in one piece: 4 s, as the paper does with a network trained on 64. A network that
was trained on more gets as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound(Waveform):
    """A waveform and how it came to be.

    Args:
        recipe: Complete: made alone (``batch_size=1``) on the same machine, by the same PyTorch
            with as many threads, the same recipe gives the same samples; else they differ by
            rounding.
    """

    recipe: Recipe

    @property
    def gain(self) -> float:
        """What :meth:`write` multiplies the samples by so that no player clips: 1.0 for most.

        An Ogg file may take a little less; ``audio.level.read_gain`` reads what a file has.
        """
        return level.peak_guard(self.samples)[1]

    def write(
        self, path: str | Path, *, subtype: str | None = None, overwrite: bool = False
    ) -> Path:
        """Write a sound file that carries its recipe; :func:`read_recipe` returns it.

        A sound that peaks above 0.98 is scaled to that, in every format; the file says by how much,
        and ``clipsonic eval`` hears it as it was made.

        Args:
            path: Ends in .wav, .flac or .ogg.
            subtype: "pcm16", "pcm24" or "float"; None is the first that the format has.
            overwrite: Replace a file that is there.

        Returns:
            The path.

        Raises:
            UsageError: The file cannot go there.
            ClipsonicError: Writing failed; nothing is left behind.
        """
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"The path is {shown(path)}; it must be a str or a Path.")
        told = {"clipsonic": __version__, "recipe": asdict(self.recipe)}
        level.write(
            Path(path),
            self.samples,
            self.sample_rate,
            told,
            subtype=subtype,
            metadata={
                "title": printable(self.recipe.query.name),
                "software": f"clipsonic {__version__}",
            },
            overwrite=overwrite,
        )
        return Path(path)


def read_recipe(path: Path) -> Recipe:
    """Read the recipe that a sound file carries, also one that was converted since.

    Raises:
        UsageError: The file is missing, not sound, not made by clipsonic, or converted by a program
            that leaves texts out.
    """
    why = "another program may have taken it out; give the file as clipsonic wrote it"
    for text in read_texts(path):
        if not text.lstrip().startswith("{"):
            continue
        try:
            told = json.loads(text)
            recipe = from_dict(Recipe, told["recipe"], "recipe")
            recipe.validate()
        except (UsageError, ValueError, TypeError, LookupError, RecursionError) as error:
            why = f"what looks like one cannot be used: {error}".rstrip(".")
        else:
            return recipe
    raise UsageError(f"'{path}' carries no recipe of clipsonic ({why}).")


class ClipSonic:
    """A model ready to make sound; :meth:`load` finds one by name.

    Args:
        parts: The model's networks.
        vocoder: "bigvgan", "griffin-lim", or None for the model's default.
        model: What recipes call the model; None is its folder's name.

    Attributes:
        vocoder: The vocoder of recipes that name none.
        vocoder_reason: Why it is this one, in words.
    """

    def __init__(
        self, parts: Parts, *, vocoder: str | None = None, model: str | None = None
    ) -> None:
        self.parts = parts
        self.model = model or parts.folder.name
        self.vocoder, self.vocoder_reason = (
            parts.default_vocoder() if vocoder is None else (VOCODERS.check(vocoder), "requested")
        )

    @classmethod
    def load(
        cls,
        model: str | Path = "mini",
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        vocoder: str | None = None,
    ) -> Self:
        """Finds a model and chooses where it runs; weights are read when they are first needed.

        Args:
            model: A name or a folder.
            device: "auto", "cpu", "cuda" or "mps"; or such a torch.device.
            dtype: "auto", "float32", "bfloat16" or "float16"; or such a torch.dtype.
            vocoder: "bigvgan", "griffin-lim", or None for the model's default.

        Raises:
            UsageError: A name is unknown, the device is not there, or cannot run the dtype.
            BadBundle: The vocoder's file is damaged.
        """
        place, folder = choose_device(str(device)), model_folders.find(model)
        parts = Parts(folder, place, choose_dtype(str(dtype).removeprefix("torch."), place))
        # Recipes travel: a folder is told as given, not with where it lies on this machine.
        told = folder.name if folder.name in model_folders.names() else str(model)
        return cls(parts, vocoder=vocoder, model=told)

    def __call__(
        self,
        query: str | Path,
        *,
        mode: str | None = None,
        guidance_scale: float = 1.5,
        sampler: str = "dpmpp",
        steps: int | None = None,
        seconds: float = 4.0,
        seed: int | None = None,
        negative: str | Path | None = None,
        report: Report = silent,
    ) -> Sound:
        """Makes one sound from words or a picture; :meth:`generate` makes many.

        Args:
            query: Words; or the path of an image file, as a Path or a name such as "cat.jpg".
                Images in memory (PIL, arrays, tensors) have no name that a recipe could carry, and
                are refused.
            mode: A row of ``modes.MODES``; None is "pd" for words and "iq" for pictures.
            guidance_scale: The paper's w, 0 to 100: 0 ignores the query, 1 follows it, more
                exaggerates. This and all numbers may be NumPy's.
            sampler: A name of ``diffusion.SAMPLERS``.
            steps: Steps of the sampler; None is its row of ``config.DEFAULT_STEPS``.
            seconds: Duration, 0.001 to 600, exact to the sample.
            seed: None draws one; the sound's recipe tells which.
            negative: Words or a picture to steer away from.
            report: Called as ``report(stage, done, total)``.

        Raises:
            UsageError: An argument is out of its range, or a picture cannot be used.
            MissingWeights: The model lacks a part that the mode needs.
        """
        for name, value in (("mode", mode), ("sampler", sampler)):
            if value is not None and not isinstance(value, str):
                raise UsageError(f"{name} is {shown(value)}; it must be the name of one (str).")
        asked = query_of(query)
        avoided = None if negative is None else query_of(negative)
        recipe = Recipe(
            text=asked.text,
            image=str(asked.image) if asked.image else None,
            negative=avoided.text if avoided else None,
            negative_image=str(avoided.image) if avoided and avoided.image else None,
            mode=mode_for(mode, asked.kind).name,
            guidance_scale=guidance_scale,
            sampler=sampler,
            steps=DEFAULT_STEPS[SAMPLERS.check(sampler)] if steps is None else steps,
            seconds=seconds,
            seed=secrets.randbits(32) if seed is None else seed,
        )
        return next(self.generate([recipe], report=report))

    def check(self, recipe: Recipe) -> Recipe:
        """Completes a recipe with what model and machine add; reads no weights.

        Returns:
            The recipe with model, vocoder, device, dtype and the digests of weights and pictures.

        Raises:
            UsageError: A name is unknown, the steps exceed the training schedule, a picture cannot
                be used, or the mode does not fit the query or the negative.
            MissingWeights: The model lacks a part; the message says how to get it.
            BadBundle: Parts of the model do not fit each other.
        """
        names = self.needs(recipe)
        self._check_sampling(recipe, names)
        return replace(
            recipe,
            image_sha256=_digest(recipe.query),
            negative_image_sha256=_digest(recipe.negative_query),
            model=self.model,
            model_id=self.parts.identity(names),
            vocoder=recipe.vocoder or self.vocoder,
            device=self.parts.device.type,
            dtype=str(self.parts.dtype).removeprefix("torch."),
        )

    def _check_sampling(self, recipe: Recipe, names: Sequence[str]) -> None:
        """Check a recipe's sampler and steps, and that the parts are present and fit together."""
        SAMPLERS.check(recipe.sampler)
        mode = MODES[recipe.mode]
        self.parts.check(names, mode)
        diffusion = self.parts.header(mode.unet).diffusion
        assert diffusion is not None  # a U-Net's header has one
        spaced_timesteps(diffusion.train_steps, recipe.steps)

    def needs(self, recipe: Recipe) -> list[str]:
        """Gives the names of the model's parts that a recipe needs.

        Raises:
            UsageError: The mode or vocoder is unknown, or does not fit query or negative.
        """
        mode, avoided = mode_for(recipe.mode, recipe.query.kind), recipe.negative_query
        names = set(mode.weights)
        if avoided is not None:
            names |= set(negative_mode_for(mode, avoided.kind).weights)
        return sorted(names | self.vocoder_parts(recipe.vocoder))

    def vocoder_parts(self, vocoder: str | None = None) -> set[str]:
        """Return the parts that a vocoder needs: one or none; None is the model's default."""
        part: str | None = VOCODERS.load(vocoder or self.vocoder).part
        return set() if part is None else {part}

    def prepare(self, recipe: Recipe) -> None:
        """Load the networks of a recipe now, instead of when :meth:`generate` needs them.

        Raises:
            UsageError: See :meth:`check`.
            MissingWeights: See :meth:`check`.
            BadBundle: See :meth:`check`; or the weights do not fit their configuration.
        """
        self.check(recipe)
        mode, avoided = MODES[recipe.mode], recipe.negative_query
        self.parts.encoder(mode, candidates=recipe.candidates)
        if avoided is not None:
            negative = negative_mode_for(mode, avoided.kind)
            self.parts.encoder(negative, candidates=recipe.candidates)
        self.parts.vocoder(recipe.vocoder or self.vocoder, self.parts.denoiser(mode.unet).spec)

    def generate(
        self, recipes: Iterable[Recipe], *, batch_size: int = 1, report: Report = silent
    ) -> Iterator[Sound]:
        """Makes the sounds of recipes, in their order.

        Args:
            recipes: Any number, none too; all are checked at once, before the first sound is made.
            batch_size: 1 to 1024. Neighbours that differ only in query and seed are computed
                together, as many as this. Every sample has its own noise, so a batch changes a
                sound by rounding only; 1 repeats bit for bit.
            report: Called with the stages "text", "prior" or "image", "sample" and "vocode".

        Raises:
            UsageError: See :meth:`check`.
            MissingWeights: See :meth:`check`.
            ClipsonicError: The networks gave what is no number.
        """
        size = ranges.BATCH.check("batch_size", batch_size)
        if isinstance(recipes, str | bytes | Recipe) or not isinstance(recipes, Iterable):
            raise UsageError(f"recipes are {shown(recipes)}; give a list of Recipe.")
        checked = []
        for position, recipe in enumerate(recipes):
            if not isinstance(recipe, Recipe):
                raise UsageError(
                    f"recipes[{position}] is {shown(recipe)}; give Recipe(text=...) or "
                    "Recipe(image=...)."
                )
            checked.append(self.check(recipe))
        return self._each(checked, size, report)

    def _each(self, checked: list[Recipe], batch_size: int, report: Report) -> Iterator[Sound]:
        """Yield the sounds of checked recipes, in their order."""
        each: dict[str, Any] = {"text": None, "image": None, "image_sha256": None, "seed": 0}
        for _, group in groupby(checked, key=lambda recipe: replace(recipe, **each)):
            alike = list(group)
            for start in range(0, len(alike), batch_size):
                yield from self._make(alike[start : start + batch_size], report)

    @torch.no_grad()
    def render(
        self, recipe: Recipe, embed: Tensor, seeds: Sequence[int], *, report: Report = silent
    ) -> list[Waveform]:
        """Make sounds from condition vectors, such as those of a data set's frames.

        The waveforms carry no recipe: none could repeat them without the vectors.

        Args:
            recipe: Mode, guidance, sampler, steps, seconds and vocoder of all sounds; without a
                query or a negative, which the vectors replace. Its seed is not used.
            embed: (B, D) of unit norm, in the space the mode's U-Net reads.
            seeds: B seeds, one for the noise of each sound.
            report: Called with the stages "sample" and "vocode".

        Raises:
            UsageError: A name is unknown, the steps exceed the training schedule, the recipe has
                a query or a negative, or the vectors are not B of D finite numbers.
            MissingWeights: The model lacks the mode's U-Net or the vocoder.
            BadBundle: They do not fit each other, or are damaged.
            ClipsonicError: The networks returned NaN or infinite values.
        """
        self._check_render(recipe, embed, seeds)
        cond = embed.to(self.parts.device, torch.float32)
        uncond = self.parts.denoiser(MODES[recipe.mode].unet).unet.null_cond[None].float()
        noise = SeededNoise(seeds)
        mel = self._sample(recipe, cond, uncond.to(self.parts.device), noise, report)
        waveforms, sample_rate = self._vocode(recipe, mel, report)
        return [Waveform(samples=each.clone(), sample_rate=sample_rate) for each in waveforms]

    def _check_render(self, recipe: Recipe, embed: Tensor, seeds: Sequence[int]) -> None:
        """Check the arguments of :meth:`render`; loads no weights."""
        queries = ("text", "image", "negative", "negative_image")
        if given := [name for name in queries if getattr(recipe, name) is not None]:
            raise UsageError(
                f"The recipe has {' and '.join(given)}, but render takes vectors instead of a "
                "query. Leave it out, or use generate."
            )
        if recipe.mode not in MODES:
            raise unknown("mode", recipe.mode, list(MODES))
        unet = MODES[recipe.mode].unet
        self._check_sampling(recipe, sorted({unet} | self.vocoder_parts(recipe.vocoder)))
        dim = getattr(self.parts.header(unet).config, "cond_dim", None)
        if embed.shape != (len(seeds), dim) or not embed.isfinite().all():
            raise UsageError(
                f"The vectors have the shape {tuple(embed.shape)}; {len(seeds)} seeds and mode "
                f"'{recipe.mode}' need ({len(seeds)}, {dim}), all finite."
            )

    @torch.no_grad()
    def _make(self, recipes: list[Recipe], report: Report) -> list[Sound]:
        """Runs the three stages for recipes that differ only in query and seed."""
        noise = SeededNoise([recipe.seed for recipe in recipes])
        cond, uncond = self._encode(recipes, noise, report)
        mel = self._sample(recipes[0], cond, uncond, noise, report)
        waveforms, sample_rate = self._vocode(recipes[0], mel, report)
        return [
            Sound(samples=waveform.clone(), sample_rate=sample_rate, recipe=recipe)
            for waveform, recipe in zip(waveforms, recipes, strict=True)
        ]

    def _encode(
        self, recipes: list[Recipe], noise: SeededNoise, report: Report
    ) -> tuple[Tensor, Tensor]:
        """Stage 1: queries to (B, D), and what guidance steers away from, (B, D) or (1, D)."""
        recipe = recipes[0]
        mode, avoided = MODES[recipe.mode], recipe.negative_query
        encode = self.parts.encoder(mode, candidates=recipe.candidates)
        cond = encode([recipe.query for recipe in recipes], noise=noise, report=report).embed
        if avoided is None:
            uncond = self.parts.denoiser(mode.unet).unet.null_cond[None].float()
        else:
            # Noise of its own, so that x_T does not depend on whether there is a negative.
            apart = SeededNoise([recipe.seed for recipe in recipes])
            mode = negative_mode_for(mode, avoided.kind)
            encode = self.parts.encoder(mode, candidates=recipe.candidates)
            uncond = encode([avoided] * len(recipes), noise=apart, report=report).embed
        return cond.to(self.parts.device), uncond.to(self.parts.device)

    def _sample(
        self, recipe: Recipe, cond: Tensor, uncond: Tensor, noise: SeededNoise, report: Report
    ) -> Tensor:
        """Stage 2: (B, D) to natural-log mel (B, 1, F, T).

        T is the sound's, or the training window's where that is longer, as the U-Net knows no
        shorter sounds; rounded up to what the U-Net takes.
        """
        denoiser = self.parts.denoiser(MODES[recipe.mode].unet)
        unet, process, spec = denoiser.unet, denoiser.process, denoiser.spec
        frames, piece = (
            unet.multiple * math.ceil(max(wanted, denoiser.window) / unet.multiple)
            for wanted in (spec.frames(recipe.seconds), NATIVE_FRAMES)
        )
        denoise = guided(
            lambda x_t, t, cond: unet(x_t, process.network_time(t), cond),
            cond,
            uncond,
            recipe.guidance_scale,
        )
        denoise = windowed(denoise, frames, piece, piece // 2)
        x_T = noise((len(cond), 1, spec.n_mels, frames), like=cond)  # noqa: N806
        timesteps = spaced_timesteps(process.config.train_steps, recipe.steps)
        sample = SAMPLERS.load(recipe.sampler)
        x_0 = sample(denoise, x_T, timesteps, process, noise=noise, report=report)
        return denormalize(x_0, spec)

    def _vocode(self, recipe: Recipe, mel: Tensor, report: Report) -> tuple[Tensor, int]:
        """Stage 3: natural-log mel (B, 1, F, T) to waveforms (B, N), N exactly as asked, and Hz.

        Of a training window that is longer than the sound, the part is kept that begins with the
        sound's onset: the samples that a longer sound of the same seed has there.
        """
        denoiser = self.parts.denoiser(MODES[recipe.mode].unet)
        spec, samples = denoiser.spec, denoiser.spec.samples(recipe.seconds)
        frames = spec.frames(recipe.seconds)
        vocode = self.parts.vocoder(recipe.vocoder or self.vocoder, spec)
        report("vocode", 0, 1)
        waveforms = vocode(mel).float().cpu()
        short = frames < denoiser.window
        starts = [spec.hop_length * onset(one, frames) if short else 0 for one in mel[:, 0].cpu()]
        waveforms = torch.stack(
            [wave[start : start + samples] for wave, start in zip(waveforms, starts, strict=True)]
        )
        report("vocode", 1, 1)
        if not waveforms.isfinite().all():
            raise ClipsonicError(
                "The model gave what is no number. Lower the guidance, or use dtype float32."
            )
        return waveforms, spec.sample_rate


def _digest(query: Query | None) -> str | None:
    """Gives the digest of a picture, once it is known to be one."""
    if query is None or query.image is None:
        return None
    if not query.image.is_file():
        check_image(query.image)  # says what is wrong
    stat = query.image.stat()
    return _digest_of(query.image, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=256)
def _digest_of(image: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - keys
    """Checks a picture and gives its digest, once for each state of the file."""
    check_image(image)
    return bundle.identity(image)

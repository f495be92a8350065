"""Figure 2 of the paper for any number of queries: check recipes, then run the three stages.

A mode is a row of ``modes.MODES``; there is no branch on modes here.
"""

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from clipsonic_cli import ranges, stages
from clipsonic_cli.config import DEFAULT_SAMPLER, DEFAULT_STEPS, Recipe
from clipsonic_cli.device import choose_device, choose_dtype
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.images import image_digest
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.modes import MODES, Kind, Mode, mode_for, negative_mode_for, query_of
from clipsonic_cli.parts import Parts
from clipsonic_cli.ranges import shown
from clipsonic_cli.registry import unknown
from clipsonic_cli.sampling import check_sampling, mode_of
from clipsonic_cli.sound import Sound
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.default_mode import default_mode
from clipsonic_cli.store.student import SAMPLER, student_calls
from clipsonic_cli.types import Report, VocoderNetwork, Waveform, silent

LOGGER = logging.getLogger(__name__)
PER_SAMPLE: dict[str, Any] = {"text": None, "image": None, "image_sha256": None, "seed": 0}
"""Fields in which recipes of one batch may differ."""


MOST_AT_ONCE, SECONDS_AT_ONCE = 4, 16
"""Sounds of a batch of no given size, which on a CPU took 0.90 of the time of one by one (8: 0.88);
and seconds of sound, which bound its memory."""


def batched(recipes: Iterable[Recipe], batch_size: int | None) -> Iterator[list[Recipe]]:
    """Yield recipes in the batches they are computed in, which differ in query and seed only.

    ``batch_size`` None is :data:`MOST_AT_ONCE`, or fewer where sounds are long.
    """
    for same, group in groupby(recipes, key=lambda recipe: replace(recipe, **PER_SAMPLE)):
        size = batch_size or max(1, min(MOST_AT_ONCE, int(SECONDS_AT_ONCE // same.seconds)))
        neighbours = list(group)
        for start in range(0, len(neighbours), size):
            yield neighbours[start : start + size]


class ClipSonic:
    """A model ready to make sounds; :meth:`load` finds one by name.

    Args:
        parts: The model's networks.
        vocoder: A name of ``models.VOCODERS``, or None for the model's default.
        model: What recipes call the model; None is its folder's name.

    Attributes:
        vocoder: The vocoder of recipes that name none.
        vocoder_reason: Why it is this one, for people.
        model_origin: What made the model the default, where none was named; None if nothing did.
    """

    def __init__(
        self, parts: Parts, *, vocoder: str | None = None, model: str | None = None
    ) -> None:
        self.parts = parts
        self.model = model or parts.folder.name
        self.model_origin: str | None = None
        if vocoder is None:
            self.vocoder, self.vocoder_reason = parts.default_vocoder()
        else:
            self.vocoder, self.vocoder_reason = VOCODERS.check(vocoder), "requested"

    def __repr__(self) -> str:
        return (
            f"ClipSonic(model={self.model!r}, device='{self.parts.device}', "
            f"dtype='{str(self.parts.dtype).removeprefix('torch.')}', vocoder={self.vocoder!r})"
        )

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        vocoder: str | None = None,
    ) -> Self:
        """Find a model and choose where it runs; weights are loaded when they are first needed.

        Args:
            model: A name or a folder; None is the default (``clipsonic models default``).
            device: "auto", "cpu", "cuda" or "mps"; or such a torch.device.
            dtype: "auto", "float32", "bfloat16" or "float16"; or such a torch.dtype.
            vocoder: A name of ``models.VOCODERS``, or None for the model's default.

        Raises:
            UsageError: A name is unknown, the device is not available, or cannot run the dtype.
            BadBundle: The vocoder's file is damaged.
        """
        model_origin = None
        if model is None:
            model, model_origin = model_folders.default()
        folder = model_folders.find(model)
        place = choose_device(str(device))
        parts = Parts(folder, place, choose_dtype(str(dtype).removeprefix("torch."), place))
        # Recipes travel: they name a folder as given, not by its place on this machine.
        name = folder.name if folder.name in model_folders.names() else str(model)
        sonic = cls(parts, vocoder=vocoder, model=name)
        sonic.model_origin = model_origin
        return sonic

    def __call__(
        self,
        query: str | Path,
        *,
        mode: str | None = None,
        guidance: float = 1.5,
        guidance_rule: str = "constant",
        sampler: str | None = None,
        steps: int | None = None,
        student: bool = False,
        seconds: float = 4.0,
        seed: int | None = None,
        negative: str | Path | None = None,
        report: Report = silent,
        guidance_scale: float | None = None,
    ) -> Sound:
        """Make one sound from a text or an image; :meth:`generate` makes many.

        Args:
            query: A text; or the path of an image file, as a Path or a name such as "cat.jpg".
                Images in memory (PIL, arrays, tensors) are errors, as no recipe could name them.
            mode: A row of ``modes.MODES``; None is the model's default for the kind of query.
            guidance: The paper's w, 0 to 100: 0 ignores the query, 1 follows it, more
                exaggerates. This and all numbers may be NumPy's.
            guidance_rule: A name of ``diffusion.GUIDANCE_RULES``.
            sampler: A name of ``diffusion.SAMPLERS``; None is ``config.DEFAULT_SAMPLER``, or
                the student's.
            steps: Steps of the sampler; None is its row of ``config.DEFAULT_STEPS``, or as many as
                the student was trained for.
            student: Whether the model's student makes the sound, in few calls.
            seconds: Duration, 0.001 to 600, exact to the sample.
            seed: None draws one, which the sound's recipe holds.
            negative: A text or image to steer away from.
            report: Called as ``report(stage, done, total)``.
            guidance_scale: What 0.1.0 called ``guidance``.

        Raises:
            UsageError: An argument is out of its range, or an image cannot be used.
            MissingWeights: The model lacks a part that the mode needs.
        """
        sampler = (SAMPLER if student else DEFAULT_SAMPLER) if sampler is None else sampler
        names = {"mode": mode, "guidance_rule": guidance_rule, "sampler": sampler}
        for name, value in names.items():
            if value is not None and not isinstance(value, str):
                raise UsageError(f"{name} is {shown(value)}; it must be the name of one (str).")
        if steps is None:
            SAMPLERS.check(sampler)
            steps = student_calls(self.parts.folder) if student else DEFAULT_STEPS[sampler]
        positive = query_of(query)
        negative_query = None if negative is None else query_of(negative)
        recipe = Recipe(
            text=positive.text,
            image=positive.path,
            negative=negative_query.text if negative_query else None,
            negative_image=negative_query.path if negative_query else None,
            mode=mode_for(mode or self.default_mode(positive.kind)[0], positive.kind).name,
            guidance=guidance if guidance_scale is None else guidance_scale,
            guidance_rule=guidance_rule,
            sampler=sampler,
            steps=steps,
            student=student,
            seconds=seconds,
            seed=secrets.randbits(32) if seed is None else seed,
        )
        return next(self.generate([recipe], report=report))

    def default_mode(self, kind: Kind) -> tuple[str, str]:
        """Return the model's mode for a kind of query, and why it is this one, for people."""
        return default_mode(self.parts.folder, kind)

    def _negative_mode(self, mode: Mode, kind: Kind) -> Mode:
        """Return the mode of a negative; see :func:`negative_mode_for`."""
        return negative_mode_for(mode, kind, self.default_mode(kind)[0])

    def check(self, recipe: Recipe) -> Recipe:
        """Complete a recipe with what model and machine add; loads no weights.

        Returns:
            The recipe with model, vocoder, device, dtype and the digests of weights and images.

        Raises:
            UsageError: A name is unknown, the steps exceed the training schedule, an image cannot
                be used, the model knows no word of a text, or the mode does not fit the query or
                the negative.
            MissingWeights: The model lacks a part; the message says how to get it.
            BadBundle: Parts of the model do not fit each other.
        """
        names = self.needs(recipe)
        self._check_sampling(recipe, names)
        self._check_texts(recipe)
        return replace(
            recipe,
            image_sha256=image_digest(recipe.image) if recipe.image else None,
            negative_image_sha256=(
                image_digest(recipe.negative_image) if recipe.negative_image else None
            ),
            model=self.model,
            model_id=self.parts.identity(names),
            vocoder=recipe.vocoder or self.vocoder,
            device=self.parts.device.type,
            dtype=str(self.parts.dtype).removeprefix("torch."),
        )

    def _check_texts(self, recipe: Recipe) -> None:
        """Check that the model knows a word of a recipe's text, and of its negative."""
        mode = mode_of(recipe)
        if recipe.text is not None:
            self.parts.check_text(recipe.text, mode)
        if recipe.negative is not None:
            self.parts.check_text(recipe.negative, self._negative_mode(mode, "text"))

    def _check_sampling(self, recipe: Recipe, names: Sequence[str]) -> None:
        """Check a recipe's names and steps, and that the parts are present and fit together."""
        mode = mode_of(recipe)
        self.parts.check(names, mode)
        self.parts.check_vocoder(recipe.vocoder or self.vocoder)
        check_sampling(recipe, self.parts.header(mode.unet))

    def needs(self, recipe: Recipe) -> list[str]:
        """Return the names of the model's parts that a recipe needs; see :meth:`check`."""
        mode_for(recipe.mode, recipe.query.kind)
        mode, negative = mode_of(recipe), recipe.negative_query
        names = set(mode.weights)
        if negative is not None:
            names |= set(self._negative_mode(mode, negative.kind).weights)
        return sorted(names | self.vocoder_parts(recipe.vocoder))

    def vocoder_parts(self, vocoder: str | None = None) -> set[str]:
        """Return the parts that a vocoder needs: one or none; None is the model's default."""
        network: VocoderNetwork = VOCODERS.load(vocoder or self.vocoder)
        return set() if network.part is None else {network.part}

    def native_seconds(self, mode: str) -> float:
        """Return the longest sound of a mode that is sampled in one piece, in seconds."""
        return bundle.native_seconds(self.parts.header(MODES[mode].unet))

    def prepare(self, recipe: Recipe) -> None:
        """Load the networks of a recipe now, instead of when :meth:`generate` needs them.

        Raises:
            UsageError, MissingWeights, BadBundle: See :meth:`check`; or weights are damaged.
        """
        self._check_sampling(recipe, self.needs(recipe))
        mode, negative = mode_of(recipe), recipe.negative_query
        modes = [mode] if negative is None else [mode, self._negative_mode(mode, negative.kind)]
        for row in modes:
            self.parts.encoder(row, candidates=recipe.candidates)
        self.parts.vocoder(recipe.vocoder or self.vocoder, self.parts.denoiser(mode.unet).spec)

    def generate(
        self, recipes: Iterable[Recipe], *, batch_size: int | None = 1, report: Report = silent
    ) -> Iterator[Sound]:
        """Make the sounds of recipes, in their order.

        Args:
            recipes: Any number, also none; all are checked before the first sound is made.
            batch_size: 1 to 1024. Neighbours that differ only in query and seed are computed
                together, as many as this; None is as many as are fast (see :func:`batched`). Every
                sample has its own noise, so a batch changes a sound by rounding only; 1 repeats
                bit for bit. Where a batch fails, its sounds are made one by one.
            report: Called with the stages "text", "prior" or "image", "sample" and "vocode".

        Raises:
            UsageError, MissingWeights, BadBundle: See :meth:`check`.
            ClipsonicError: The networks returned NaN or infinite values.
        """
        size = None if batch_size is None else ranges.BATCH.check("batch_size", batch_size)
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
        return self._generate(checked, size, report)

    def _generate(
        self, checked: list[Recipe], batch_size: int | None, report: Report
    ) -> Iterator[Sound]:
        for batch in batched(checked, batch_size):
            sounds: list[Sound] = []
            if len(batch) > 1:
                try:
                    sounds = self._generate_batch(batch, report)
                except torch.OutOfMemoryError:
                    LOGGER.warning(
                        "%d sounds at once need more memory than %s has; they are made one by one",
                        *(len(batch), self.parts.device),
                    )
                except ClipsonicError:
                    pass  # of one of them, which raises it again
            for number, recipe in enumerate(batch):
                yield sounds[number] if sounds else self._generate_batch([recipe], report)[0]

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
            UsageError, MissingWeights, BadBundle: See :meth:`check`; also where the recipe has a
                query or a negative, or the vectors are not B of D finite numbers.
            ClipsonicError: The networks returned NaN or infinite values.
        """
        self._check_render(recipe, embed, seeds)
        recipe = replace(recipe, vocoder=recipe.vocoder or self.vocoder)
        cond = embed.to(self.parts.device, torch.float32)
        uncond = self.parts.denoiser(mode_of(recipe).unet).unet.null_cond[None].float()
        noise = SeededNoise(seeds)
        mel = stages.sample(self.parts, recipe, cond, uncond.to(cond), noise, report)
        waveforms, sample_rate = stages.vocode(self.parts, recipe, mel, report)
        return [Waveform(samples=each.clone(), sample_rate=sample_rate) for each in waveforms]

    def _check_render(self, recipe: Recipe, embed: Tensor, seeds: Sequence[int]) -> None:
        """Check the arguments of :meth:`render`; loads no weights."""
        queries = ("text", "image", "negative", "negative_image")
        if present := [name for name in queries if getattr(recipe, name) is not None]:
            raise UsageError(
                f"The recipe has {' and '.join(present)}, but render takes vectors instead of a "
                "query. Leave it out, or use generate."
            )
        if recipe.mode not in MODES:
            raise unknown("mode", recipe.mode, list(MODES))
        unet = mode_of(recipe).unet
        self._check_sampling(recipe, sorted({unet} | self.vocoder_parts(recipe.vocoder)))
        dim = getattr(self.parts.header(unet).config, "cond_dim", None)
        if embed.shape != (len(seeds), dim) or not embed.isfinite().all():
            raise UsageError(
                f"The vectors have the shape {tuple(embed.shape)}; {len(seeds)} seeds and mode "
                f"'{recipe.mode}' need ({len(seeds)}, {dim}), all finite."
            )

    @torch.no_grad()
    def _generate_batch(self, recipes: list[Recipe], report: Report) -> list[Sound]:
        """Run the three stages for recipes that differ only in query and seed."""
        recipe, noise = recipes[0], SeededNoise([recipe.seed for recipe in recipes])
        negative = recipe.negative_query
        steer = None
        if negative is not None:
            steer = self._negative_mode(mode_of(recipe), negative.kind)
        cond, uncond = stages.encode(self.parts, recipes, steer, noise, report)
        mel = stages.sample(self.parts, recipe, cond, uncond, noise, report)
        waveforms, sample_rate = stages.vocode(self.parts, recipe, mel, report)
        return [
            Sound(samples=waveform.clone(), sample_rate=sample_rate, recipe=recipe)
            for waveform, recipe in zip(waveforms, recipes, strict=True)
        ]

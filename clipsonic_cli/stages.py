"""The three stages of Figure 2: a query becomes a condition, a mel, and a waveform."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.audio.finish import faded
from clipsonic_cli.audio.mel import denormalize, onset
from clipsonic_cli.config import NATIVE_FRAMES, Recipe
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.guidance import windowed
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.modes import Mode
from clipsonic_cli.parts import Parts
from clipsonic_cli.ranges import round_up
from clipsonic_cli.sampling import denoise_of, mode_of, timesteps_of
from clipsonic_cli.types import Report


def encode(
    parts: Parts,
    recipes: Sequence[Recipe],
    steer: Mode | None,
    noise: SeededNoise,
    report: Report,
) -> tuple[Tensor, Tensor]:
    """Encode queries to (B, D), and what guidance steers away from, (B, D) or (1, D).

    Args:
        parts: The model's networks.
        recipes: B of them, which differ only in query and seed.
        steer: Mode of their negative, if they have one.
        noise: What a prior draws from.
        report: Called with the stages "text" and "prior", or "image".
    """
    recipe = recipes[0]
    mode, negative = mode_of(recipe), recipe.negative_query
    read = parts.encoder(mode, candidates=recipe.candidates)
    cond = read([recipe.query for recipe in recipes], noise=noise, report=report).embed
    if negative is None:
        uncond = parts.denoiser(mode.unet).unet.null_cond[None].float()
    else:
        assert steer is not None  # whoever has a negative has its mode
        # Noise of its own, so that x_T does not depend on whether there is a negative.
        negative_noise = SeededNoise([recipe.seed for recipe in recipes])
        read = parts.encoder(steer, candidates=recipe.candidates)
        uncond = read([negative] * len(recipes), noise=negative_noise, report=report).embed
    return cond.to(parts.device), uncond.to(parts.device)


def sample(
    parts: Parts,
    recipe: Recipe,
    cond: Tensor,
    uncond: Tensor,
    noise: SeededNoise,
    report: Report,
) -> Tensor:
    """Sample the natural-log mels (B, 1, F, T) of conditions (B, D).

    T is the sound's, or the training window's where that is longer, rounded up to what the U-Net
    takes.

    Args:
        parts: The model's networks.
        recipe: Of all B; its query and seed do not count.
        cond: (B, D), as :func:`encode` returns it.
        uncond: (B, D) or (1, D), what guidance steers away from.
        noise: What x_T and the sampler draw from.
        report: Called with the stage "sample".
    """
    name = mode_of(recipe).unet
    denoiser = parts.denoiser(name)
    unet, process, spec = denoiser.unet, denoiser.process, denoiser.spec
    frames = round_up(max(spec.frames(recipe.seconds), denoiser.window), unet.multiple)
    piece = round_up(max(NATIVE_FRAMES, denoiser.window), unet.multiple)
    denoise = denoise_of(recipe, denoiser, cond, uncond)
    denoise = windowed(denoise, frames, piece, piece // 2)
    x_T = noise((len(cond), 1, spec.n_mels, frames), like=cond)  # noqa: N806
    timesteps = timesteps_of(recipe, parts.header(name))
    solve = SAMPLERS.load(recipe.sampler)
    x_0 = solve(denoise, x_T, timesteps, process, noise=noise, report=report)
    return denormalize(x_0, spec)


def vocode(parts: Parts, recipe: Recipe, mel: Tensor, report: Report) -> tuple[Tensor, int]:
    """Make the waveforms (B, N) of natural-log mels (B, 1, F, T), N as the recipe says, and Hz.

    Of a training window that is longer than the sound, the part is kept that begins with the
    sound's onset: the samples that a longer sound of the same seed has there. Both ends are faded.

    Args:
        parts: The model's networks.
        recipe: It names its vocoder.
        mel: As :func:`sample` returns it.
        report: Called with the stage "vocode".

    Raises:
        ClipsonicError: The networks returned NaN or infinite values.
    """
    assert recipe.vocoder is not None
    denoiser = parts.denoiser(mode_of(recipe).unet)
    spec, samples = denoiser.spec, denoiser.spec.samples(recipe.seconds)
    frames = spec.frames(recipe.seconds)
    network = parts.vocoder(recipe.vocoder, spec)
    report("vocode", 0, 1)
    waveforms = network(mel).float().cpu()
    short = frames < denoiser.window
    starts = [spec.hop_length * onset(row, frames) if short else 0 for row in mel[:, 0].cpu()]
    waveforms = torch.stack(
        [wave[start : start + samples] for wave, start in zip(waveforms, starts, strict=True)]
    )
    report("vocode", 1, 1)
    if not waveforms.isfinite().all():
        raise ClipsonicError(
            "The model produced NaN or infinite samples. Lower the guidance, or use dtype float32."
        )
    return faded(waveforms, spec.sample_rate), spec.sample_rate

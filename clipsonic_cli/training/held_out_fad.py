"""The Frechet audio distance of a U-Net on held-out frames, as training goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.config import NATIVE_FRAMES, Recipe
from clipsonic_cli.device import choose_dtype
from clipsonic_cli.metrics.frechet import Moments, frechet_distance
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.parts import Parts
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.preparation.dataset import Drawn, FramesAndSounds, Prepared
from clipsonic_cli.store import assets
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.types import Backbone, Report, silent

CLIPS = 64
LEAST_CLIPS = 32
AT_ONCE = 8
STEPS = 25
MODE = "iq"


def backbone_for(device: torch.device) -> type[VGGishBackbone] | type[MiniBackbone] | None:
    """Return the backbone to use: VGGish, the paper's, if downloaded; None on a CPU without it."""
    if assets.part_here("vggish") is not None:
        return VGGishBackbone
    # 64 sounds take a GPU seconds, but a CPU minutes: there only for the paper's own backbone.
    return MiniBackbone if device.type != "cpu" else None


def why_none(dataset: Drawn, held_out: Drawn | None, device: torch.device) -> str | None:
    """Return why a training on frames has no such distance, and what would help, or None."""
    if not isinstance(dataset, FramesAndSounds):
        return None
    lacks = []
    able = 0 if held_out is None else len(_able(held_out.clips))
    if able < LEAST_CLIPS:
        seconds = dataset.clips.spec.seconds(NATIVE_FRAMES)
        lacks.append(
            f"it takes {LEAST_CLIPS} held-out clips of {seconds:.1f} s or longer, here are {able} "
            "(add videos, or mark more as 'valid' in a list)"
        )
    if backbone_for(device) is None:
        lacks.append("on a CPU it takes VGGish (clipsonic download vggish)")
    return f"No FAD of held-out frames: {'; '.join(lacks)}." if lacks else None


def held_out_fad(
    folder: Path,
    held_out: FramesAndSounds,
    backbone: Backbone,
    *,
    sampling: Mapping[str, Any] | None = None,
    device: torch.device,
    report: Report = silent,
) -> float | None:
    """Compute the Frechet audio distance between sounds made of held-out frames and their own.

    The clips' own sounds are their mels through the same vocoder, so that only the U-Net is judged.
    So few clips, at most :data:`CLIPS`, make the distance larger than it is: compare it within a
    run, and no further. It is None for fewer than :data:`LEAST_CLIPS`. ``sampling`` has fields of
    the recipe, such as a student's.

    Source: Kilgour et al. 2019; CLIPSonic section 3, "Evaluation metrics".
    """
    clips, able = held_out.clips, _able(held_out.clips)[:CLIPS]
    if len(able) < LEAST_CLIPS:
        return None
    recipe = Recipe(mode=MODE, **{"steps": STEPS, **(sampling or {})})
    generator = torch.Generator().manual_seed(0)
    made, real = Moments(backbone.dim), Moments(backbone.dim)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        sonic = ClipSonic(Parts(ModelFolder(folder), device, choose_dtype("auto", device)))
        vocode = sonic.parts.vocoder(sonic.vocoder, clips.spec)
        for start in range(0, len(able), AT_ONCE):
            batch = able[start : start + AT_ONCE]
            embeds = torch.stack([held_out.draw(clip, generator)["embed"] for clip in batch])
            for sound in sonic.render(recipe, embeds, batch):
                made.add(backbone.embed(sound.samples, sound.sample_rate))
            mels = torch.stack([clips.mel(clips.place(clip), 0, NATIVE_FRAMES) for clip in batch])
            with torch.no_grad():
                for samples in vocode(mels.to(device)).float().cpu():
                    real.add(backbone.embed(samples, clips.spec.sample_rate))
            report("fad", start + len(batch), len(able))
    return frechet_distance(made.gaussian(), real.gaussian())


def _able(clips: Prepared) -> list[int]:
    """Return the clips that are as long as the sounds."""
    return [clip for clip in clips.clips if clips.place(clip).mel_frames >= NATIVE_FRAMES]

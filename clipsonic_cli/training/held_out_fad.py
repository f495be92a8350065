"""How a U-Net's sounds of held-out frames differ from held-out sounds, as training goes on."""

from collections.abc import Sequence
from pathlib import Path

import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.metrics.frechet import Moments, frechet_distance
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.parts import Parts
from clipsonic_cli.pipeline import NATIVE_FRAMES, ClipSonic
from clipsonic_cli.preparation.dataset import Drawn, FramesAndSounds, Prepared
from clipsonic_cli.store import assets
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.types import Backbone, Report, silent

CLIPS = 64
AT_ONCE = 8
STEPS = 25
MODE = "iq"


def backbone_for(device: torch.device) -> type[VGGishBackbone] | type[MiniBackbone] | None:
    """Gives who hears the sounds on this machine: the paper's backbone where it is downloaded.

    Returns:
        None on a CPU without it.
    """
    if assets.part_here("vggish") is not None:
        return VGGishBackbone
    # 64 sounds take a GPU seconds, but a CPU minutes: there only for the paper's own backbone.
    return MiniBackbone if device.type != "cpu" else None


def why_none(dataset: Drawn, held_out: Drawn | None, device: torch.device) -> str | None:
    """Says why a training of frames goes without the distance, and what would help.

    Args:
        dataset: Training clips.
        held_out: Clips to judge by, or None where there are none.
        device: Where networks run.

    Returns:
        A line; None where the distance will be made, or has no meaning.
    """
    if not isinstance(dataset, FramesAndSounds):
        return None
    lacks = []
    able, least = 0 if held_out is None else len(_able(held_out.clips)), -(-CLIPS // 2)
    if able < least:
        seconds = dataset.clips.spec.seconds(NATIVE_FRAMES)
        lacks.append(
            f"it takes {least} held-out clips of {seconds:.1f} s or longer, here are {able} "
            "(add videos, or mark more as 'valid' in a list)"
        )
    if backbone_for(device) is None:
        lacks.append("on a CPU it takes VGGish (clipsonic download vggish)")
    return f"no FAD of held-out frames: {'; '.join(lacks)}" if lacks else None


def held_out_fad(
    folder: Path,
    held_out: FramesAndSounds,
    backbone: Backbone,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    report: Report = silent,
) -> float | None:
    """Gives the Frechet audio distance between sounds made of held-out frames and their own.

    The clips' own sounds are their mels through the same vocoder, so that only the U-Net is judged.
    So few clips make the distance larger than it is: compare it within a run, and no further.

    Args:
        folder: The model's files.
        held_out: Clips the U-Net has not seen.
        backbone: Hears the sounds.
        device: Where networks run.
        dtype: Precision of the U-Net.
        report: Told ``("fad", done, total)``.

    Returns:
        The distance over :data:`CLIPS` clips, or as many as there are; None for fewer than half.

    Source: Kilgour et al. 2019; CLIPSonic section 3, "Evaluation metrics".
    """
    able = _able(held_out.clips)[:CLIPS]
    if 2 * len(able) < CLIPS:
        return None
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return _fad(folder, held_out, able, backbone, device, dtype, report)


def _able(clips: Prepared) -> list[int]:
    """Gives the clips that are as long as what is made."""
    return [n for n in clips.clips if clips.place(n).mel_frames >= NATIVE_FRAMES]


def _fad(
    folder: Path,
    held_out: FramesAndSounds,
    able: Sequence[int],
    backbone: Backbone,
    device: torch.device,
    dtype: torch.dtype,
    report: Report,
) -> float:
    clips = held_out.clips
    sonic = ClipSonic(Parts(ModelFolder(folder), device, dtype))
    vocode = sonic.parts.vocoder(sonic.vocoder, clips.spec)
    generator = torch.Generator().manual_seed(0)
    made, real = Moments(backbone.dim), Moments(backbone.dim)
    for start in range(0, len(able), AT_ONCE):
        part = able[start : start + AT_ONCE]
        embeds = torch.stack([held_out.draw(number, generator)["embed"] for number in part])
        for sound in sonic.render(Recipe(mode=MODE, steps=STEPS), embeds, part):
            made.add(backbone.embed(sound.samples, sound.sample_rate))
        mels = torch.stack([clips.mel(clips.place(n), 0, NATIVE_FRAMES) for n in part])
        with torch.no_grad():
            for samples in vocode(mels.to(device)).float().cpu():
                real.add(backbone.embed(samples, clips.spec.sample_rate))
        report("fad", start + len(part), len(able))
    return frechet_distance(made.gaussian(), real.gaussian())

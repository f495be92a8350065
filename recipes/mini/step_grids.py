"""Choose timesteps for the embedded model's U-Net, as ``clipsonic train`` does for any model.

    python recipes/mini/step_grids.py --out runs/mini

Needs the CLIP, the U-Net and the pictures of ``data.py``. Chooses by sounds of eight held-out
pictures, and stores the timesteps in the meta of ``OUT/model/unet.safetensors``. Minutes.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from clip_data import read_lines
from steps import need, need_part

from clipsonic_cli.config import TRAIN_FRAMES
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.training.step_grids import SOUNDS, choose_step_grids


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Choose timesteps for mini's U-Net.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    out: Path = parser.parse_args().out
    data = out / "data"
    pictures = read_lines(need(data, "pictures.jsonl", "data.py"))
    path = need_part(out, "unet")
    parts = Parts(ModelFolder(out / "model"), torch.device("cpu"), torch.float32)
    clip: ClipModel = parts.encoder(MODES["iq"], candidates=1).clip  # type: ignore[attr-defined]
    embeds = clip.embed_images([data / name for name in one_a_label(pictures, SOUNDS)])
    denoiser = parts.denoiser("unet")
    shape = (denoiser.spec.n_mels, TRAIN_FRAMES)
    meta = choose_step_grids(denoiser.unet, denoiser.process, embeds, shape)
    part = bundle.load(path, kind="unet")
    header = replace(part.header, meta={**part.header.meta, **meta})
    bundle.write(path, replace(part, header=header))
    print(meta, file=sys.stderr)


def one_a_label(pictures: list[dict[str, str]], count: int) -> list[str]:
    """Return the paths of held-out pictures, one each of up to ``count`` labels spread evenly."""
    first = {row["label"]: row["path"] for row in reversed(pictures) if row["split"] == "test"}
    paths = [first[label] for label in sorted(first)]
    return [paths[n * len(paths) // count] for n in range(min(count, len(paths)))]


if __name__ == "__main__":
    main()

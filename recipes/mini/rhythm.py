"""Measures how alike two instruments play at one seed: does a seed carry the rhythm?

    python recipes/mini/rhythm.py --out runs/mini --models mini runs/mini/model

Makes the sounds of instruments that all models know at each of a few seeds. Prints, as a table, the
mean correlation between the onset patterns of two instruments at one seed and at two seeds, and of
two recordings of different instruments.
"""

import argparse
import math
from itertools import combinations
from pathlib import Path

import torch
from evaluate import read_data
from sounds import SPEC
from steps import need
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import Recipe
from clipsonic_cli.store.bundle import labels_of

SEEDS = (0, 1, 2)
QUIETEST = 60 / 20 * math.log(10)
"""Level of silence below the loudest band, in nepers (60 dB)."""


def main() -> None:
    """Make the sounds and print the correlations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--models", nargs="+", default=["mini"], help="names or folders")
    parser.add_argument("--instruments", type=int, default=20, help="how many, evenly chosen")
    arguments = parser.parse_args()
    need(arguments.out / "data", "clips.jsonl", "data.py")
    _, clips = read_data(arguments.out)
    models = [ClipSonic.load(name) for name in arguments.models]
    known = [labels_of(model.parts.header("unet")) for model in models]
    held_out = {
        clip["label"]: clip["path"]
        for clip in clips
        if clip["split"] == "test" and clip["category"] == "instrument"
        if all(clip["label"] in labels for labels in known)
    }
    every = max(1, len(held_out) // arguments.instruments)
    chosen = list(held_out)[::every][: arguments.instruments]
    print("| sounds | one seed | two seeds |\n|---|---|---|")
    paths = [arguments.out / "data" / held_out[label] for label in chosen]
    real = torch.stack([onsets(read(path, SPEC.sample_rate)) for path in paths])
    print(f"| {len(chosen)} recordings | - | {likeness(real, real):.3f} |")
    recipes = [Recipe(text=f"a photo of {label}", seed=seed) for seed in SEEDS for label in chosen]
    for name, model in zip(arguments.models, models, strict=True):
        sounds = model.generate(recipes, batch_size=8)
        made = torch.stack([onsets(torch.from_numpy(sound.numpy())) for sound in sounds])
        made = made.view(len(SEEDS), len(chosen), -1)
        same = sum(likeness(rows, rows) for rows in made) / len(SEEDS)
        print(f"| {name} | {same:.3f} | {likeness(made[0], made[1]):.3f} |", flush=True)


def onsets(wave: Tensor) -> Tensor:
    """Return the onset pattern (T - 1,) of a waveform (N,).

    That is how much louder its mel bands get from frame to frame (spectral flux); what is 60 dB
    below its loudest band counts as silence.
    """
    with torch.inference_mode():
        mel: Tensor = LogMel(SPEC)(wave[None])[0, 0]  # (F, T)
    mel = mel.clamp(min=mel.max() - QUIETEST)
    return mel.diff(dim=-1).clamp(min=0).mean(dim=0)


def likeness(first: Tensor, second: Tensor) -> float:
    """Return the mean correlation of onset patterns (n, T) of different instruments, row by row."""
    pairs = list(combinations(range(len(first)), 2))
    rows = [torch.stack([first[i], second[j]]) for i, j in pairs]
    return float(torch.stack([torch.corrcoef(two)[0, 1] for two in rows]).mean())


if __name__ == "__main__":
    main()

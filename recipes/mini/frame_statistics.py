"""Statistics of the frames that the embedded model's U-Net was trained on, for ms, ra and rt.

    python recipes/mini/frame_statistics.py --out runs/mini

Needs the features of step 2. Writes ``OUT/model/statistics.safetensors``. A minute.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from features import Features, read_features
from steps import need, need_part
from torch import Tensor

from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.preparation.statistics import (
    FrameSums,
    as_bundle,
    embed_bank,
    name_sounds,
    summarize,
)
from clipsonic_cli.store.bundle import load, write


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    out: Path = parser.parse_args().out
    clip = load_clip(load(need_part(out, "clip"), kind="clip"))
    features = read_features(need(out, "features.pt", "clip.py"))
    if features.encoder != clip.identity:
        raise SystemExit(f"features.pt is of {features.encoder}, not of {clip.identity}")
    sums = FrameSums(torch.Generator().manual_seed(0)).add(training_vectors(features))
    bank = embed_bank(clip)
    statistics = summarize(sums, bank)
    meta: dict[str, Any] = {"data": "mini", "licence": "CC-BY-SA-4.0"}
    meta |= name_sounds(statistics, clip, features.labels, bank)
    write(out / "model" / "statistics.safetensors", as_bundle(statistics, clip, meta))
    print(statistics.config)


def training_vectors(features: Features) -> Tensor:
    """Return all vectors that the U-Net is trained on, (N, D): pictures' views and synthetic."""
    pictures = features.picture_embeds[~features.picture_is_test].flatten(0, 1)
    rows = torch.cat([pictures, features.class_embeds]).float()
    return torch.nn.functional.normalize(rows, dim=1)


if __name__ == "__main__":
    main()

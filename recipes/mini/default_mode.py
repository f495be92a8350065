"""Choose the embedded model's default way from text, as ``clipsonic train`` does for any model.

    python recipes/mini/default_mode.py --out runs/mini [--model FOLDER]

Needs the pictures of ``data.py`` and all parts of the model. Compares the ways by the held-out
pictures and their labels, and stores the best in the model's statistics. A minute.
"""

import argparse
from pathlib import Path

import torch
from clip_data import read_lines
from steps import need

from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.training.text_modes import compare, store


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Choose mini's default way from text.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--model", type=Path, help="default: OUT/model")
    arguments = parser.parse_args()
    data = arguments.out / "data"
    model = ModelFolder(arguments.model or arguments.out / "model")
    pictures = read_lines(need(data, "pictures.jsonl", "data.py"))
    held_out = [row for row in pictures if row["split"] == "test"]
    parts = Parts(model, torch.device("cpu"), torch.float32)
    clip: ClipModel = parts.encoder(MODES["iq"], candidates=1).clip  # type: ignore[attr-defined]
    frames = clip.embed_images([data / row["path"] for row in held_out])
    found = compare(parts, frames, [row["label"] for row in held_out])
    assert found is not None  # the model has statistics
    store(model, found)
    print(found)


if __name__ == "__main__":
    main()

"""Makes twelve sounds to hear without installing, next to recordings, and a picture of them.

    python recipes/mini/showcase.py --out runs/mini

Needs the sounds of step 1. Each sound is of a label's text, in the model's default mode and of seed
0: none is chosen. The recording is the label's first held-out clip. Writes
``results/sounds/*.ogg`` with their sources, and ``results/sounds.png``. Needs matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image
from sounds import SPEC
from steps import need
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.mel import LogMel

RESULTS = Path(__file__).parent / "results"
LABELS = (
    *("piano", "acoustic guitar", "violin", "flute", "trumpet", "drum kit"),
    *("dog", "cow", "rooster", "elephant", "telephone", "applause"),
)
COLUMNS = 6


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Sounds to hear, next to recordings.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where they are written")
    parser.add_argument("--labels", nargs="+", default=LABELS)
    parser.add_argument("--steps", type=int, help="of the sampler; default: the model's")
    arguments = parser.parse_args()
    data = need(arguments.out, "data/clips.jsonl", "data.py").parent
    folder: Path = arguments.results / "sounds"
    folder.mkdir(parents=True, exist_ok=True)
    sonic = ClipSonic.load("mini", device="cpu", dtype="float32")
    clips = held_out(data)
    rows: list[tuple[str, ...]] = []
    mels: dict[str, list[NDArray[np.float32]]] = {}
    for label in arguments.labels:
        made, real = (folder / f"{label.replace(' ', '-')}{end}.ogg" for end in ("", "-recorded"))
        steps = {} if arguments.steps is None else {"steps": arguments.steps}
        sonic(f"a photo of {label}", seed=0, **steps).write(made, overwrite=True)
        clip = clips[label]
        wave = read(data / clip["path"], SPEC.sample_rate)
        soundfile.write(real, wave.numpy(), SPEC.sample_rate, format="OGG", subtype="VORBIS")
        rows.append((label, made.name, real.name, clip["package"], clip["licence"]))
        mels[label] = [log_mel(read(path, SPEC.sample_rate)) for path in (made, real)]
    (folder / "README.md").write_text(page(rows), encoding="utf-8")
    draw(mels, arguments.results / "sounds.png")


def held_out(data: Path) -> dict[str, dict[str, Any]]:
    """Return the first test clip of each label."""
    first: dict[str, dict[str, Any]] = {}
    for line in (data / "clips.jsonl").read_text(encoding="utf-8").splitlines():
        clip = json.loads(line)
        if clip["split"] == "test":
            first.setdefault(clip["label"], clip)
    return first


def log_mel(wave: Tensor) -> NDArray[np.float32]:
    """Compute the log-mel (F, T) of a waveform (N,)."""
    mel: NDArray[np.float32] = LogMel(SPEC)(wave[None])[0, 0].numpy()
    return mel


def page(rows: list[tuple[str, ...]]) -> str:
    """Format what each file is, and whom to credit for the recordings."""
    lines = "\n".join(
        f"| {label} | [made]({made}) | [recorded]({real}) | {package} | {licence} |"
        for label, made, real, package, licence in rows
    )
    return f"""# Sounds of mini, next to recordings

By `recipes/mini/showcase.py`. Each sound is of "a photo of LABEL" with seed 0 and all defaults;
none was chosen, and `clipsonic info FILE.ogg` shows how it was made. The recordings, or renders of
a soundfont, are held-out clips; their authors, as far as the packages name them, are listed in the
[model card](../../../../clipsonic_cli/bundled/mini/MODEL_CARD.md).

| label | sound | recording | package of the recording | its licence |
|---|---|---|---|---|
{lines}
"""


def draw(mels: dict[str, list[NDArray[np.float32]]], path: Path) -> None:
    """Draw log-mels by label, that of the sound above that of the recording."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    height = 2 * -(-len(mels) // COLUMNS)
    figure, axes = pyplot.subplots(
        height, COLUMNS, figsize=(10, 1.05 * height), dpi=100, squeeze=False, layout="constrained"
    )
    for place in axes.flat:
        place.set(xticks=[], yticks=[])
    for number, (label, pair) in enumerate(mels.items()):
        row, column = 2 * (number // COLUMNS), number % COLUMNS
        for place, mel in zip(axes[row : row + 2, column], pair, strict=True):
            loudest = float(mel.max())
            place.imshow(
                mel, origin="lower", aspect="auto", cmap="magma", vmin=loudest - 9, vmax=loudest
            )
        axes[row, column].set_title(label, fontsize=9)
        if column == 0:
            axes[row, 0].set_ylabel("made", fontsize=8)
            axes[row + 1, 0].set_ylabel("recorded", fontsize=8)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    Image.fromarray(pixels).quantize(64).save(path, optimize=True)  # a quarter of the size
    pyplot.close(figure)


if __name__ == "__main__":
    main()

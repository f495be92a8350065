"""Train on forty unlabeled videos and count how often a text, and a picture, gives their sound.

    python recipes/mini/trial.py --out runs/mini --steps 1000

Needs the data of ``data.py``. The videos show four things that CLIP knows, each with the sound of
another (a dog plays the trumpet), so that the embedded model, whose weights the training starts
from, answers them wrongly, and only the videos can teach what is right. They lie in one folder,
and no label is given. Then each way from text, and pictures that were in no video, make sounds of
the new model, and of ``mini`` itself. The judge is the nearest mean of real clips that are in no
video, in the embedding of the network in ``clap[mini]``; its own accuracy is stated.
Writes ``results/trial.md``.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from clip_data import read_lines
from steps import need, run
from torch import Tensor
from torch.nn.functional import normalize
from videos import Video, make

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import Recipe
from clipsonic_cli.evaluation.audio_files import embed_files
from clipsonic_cli.metrics.intervals import of_mean
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.modes import WAYS

RESULTS = Path(__file__).parent / "results"
SOUND_OF = {"dog": "trumpet", "car": "songbird", "electric guitar": "sea waves", "cat": "drum kit"}
"""What a video shows, and what it sounds like."""
TRIED = ("iq", *WAYS)
"""Modes that are tried."""
VIDEOS = 10
"""Videos of each thing."""


def main() -> None:
    """Run the trial."""
    parser = argparse.ArgumentParser(description="Train on forty videos and ask by text.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--count", type=int, default=10, help="sounds of each thing and way")
    arguments = parser.parse_args()
    out: Path = arguments.out
    folder = out / "trial"
    clips = read_lines(need(out / "data", "clips.jsonl", "data.py"))
    pictures = read_lines(need(out / "data", "pictures.jsonl", "data.py"))
    real = {sound: draw(clips, sound) for sound in SOUND_OF.values()}
    make(list(plan(folder / "videos", out / "data", real, pictures)))
    train(folder, arguments.steps)
    judge, accuracy = judge_of(out / "data", real)
    trained, embedded = ClipSonic.load("trial"), ClipSonic.load("mini")
    systems = [("trained", trained, mode) for mode in trained.parts.folder.modes() if mode in TRIED]
    systems += [("mini", embedded, mode) for mode in ("iq", embedded.default_mode("text")[0])]
    rows = [
        row(name, sonic, mode, folder, out / "data", pictures, judge, arguments.count)
        for name, sonic, mode in systems
    ]
    text = page(folder, rows, accuracy, arguments)
    (RESULTS / "trial.md").write_text(text, encoding="utf-8")
    print(text)


def draw(clips: Sequence[dict[str, Any]], label: str) -> list[str]:
    """Return the paths of a label's clips, always in the same random order."""
    paths = [clip["path"] for clip in clips if clip["label"] == label]
    return sorted(paths, key=lambda path: random.Random(path).random())


def shelf(pictures: Sequence[dict[str, Any]], label: str, split: str) -> list[str]:
    """Return the paths of a label's pictures of a split."""
    return [row["path"] for row in pictures if (row["label"], row["split"]) == (label, split)]


def plan(
    folder: Path, data: Path, real: Mapping[str, Sequence[str]], pictures: Sequence[dict[str, Any]]
) -> list[Video]:
    """Return the videos: training pictures of what is shown, with the first clips of its sound."""
    videos: list[Video] = []
    for shown, sound in SOUND_OF.items():
        views = shelf(pictures, shown, "train")
        for number in range(VIDEOS):
            name = f"{len(videos):02d}"
            videos.append(
                Video(
                    name=name,
                    sound=data / real[sound][number],
                    picture=data / views[number % len(views)],
                    path=folder / f"{name}.mp4",
                    label=shown,
                    split="train",
                    substitute=False,
                    again=False,
                )
            )
    return videos


def train(folder: Path, steps: int) -> None:
    """Train as a person with a folder would; a run that was interrupted goes on."""
    command = [sys.executable, "-m", "clipsonic_cli", "train"]
    if (folder / "run" / "run.json").exists():
        command += ["--resume", str(folder / "run")]
    else:
        command += ["--data", str(folder / "videos"), "--output", str(folder / "run")]
        command += ["--name", "trial", "--warm-start", "mini", "--sample-every", "0"]
    began = time.monotonic()
    run([*command, "--steps", str(steps), "--quiet"], keep=True)
    (folder / "seconds.json").write_text(json.dumps(time.monotonic() - began))


def judge_of(data: Path, real: Mapping[str, Sequence[str]]) -> tuple[Tensor, float]:
    """Return the mean embeddings (4, D) of half of the clips in no video, and the accuracy.

    The accuracy is the share of the other half that is nearest to the mean of its own sound.
    """
    means, tested = [], []
    for sound in SOUND_OF.values():
        vectors = embed({path: data / path for path in real[sound][VIDEOS:]})
        means.append(vectors[::2].mean(0))
        tested.append(vectors[1::2])
    judge = torch.stack(means)
    right = [named(rows, judge) == number for number, rows in enumerate(tested)]
    return judge, float(torch.cat(right).float().mean())


def embed(paths: Mapping[str, Path]) -> Tensor:
    """Return the embeddings (N, D) of sound files, of unit norm."""
    features = embed_files(paths, MiniBackbone.load(torch.device("cpu")))
    rows = torch.stack([own.mean(0) for own in torch.split(features.rows, list(features.counts))])
    return normalize(rows, dim=1)


def named(vectors: Tensor, judge: Tensor) -> Tensor:
    """Return which of the means (4, D) is nearest to each vector (N, D); (N,)."""
    return (vectors @ normalize(judge, dim=1).T).argmax(1)


def row(
    name: str,
    sonic: ClipSonic,
    mode: str,
    folder: Path,
    data: Path,
    pictures: Sequence[dict[str, Any]],
    judge: Tensor,
    count: int,
) -> tuple[str, ...]:
    """Make the sounds of a mode and return the cells of its row: right sounds, share, by thing."""
    recipes, where = [], folder / "sounds" / name / mode
    where.mkdir(parents=True, exist_ok=True)
    for shown in SOUND_OF:
        views = shelf(pictures, shown, "test")
        for seed in range(count):
            recipe = Recipe(text=f"a photo of {shown}", mode=mode, seed=seed)
            if mode == "iq":
                picture = str(data / views[seed % len(views)])
                recipe = replace(recipe, text=None, image=picture)
            recipes.append(recipe)
    paths = {}
    for number, sound in enumerate(sonic.generate(recipes, batch_size=count)):
        path = where / f"{number:03d}.wav"
        sound.write(path)
        paths[path.stem] = path
    wanted = torch.arange(len(SOUND_OF)).repeat_interleave(count)
    right = (named(embed(paths), judge) == wanted).float()
    low, high = of_mean(right, generator=torch.Generator().manual_seed(0)) or (0.0, 0.0)
    chosen = " (default)" if sonic.default_mode("text")[0] == mode else ""
    by_thing = (f"{share:.0%}" for share in right.view(len(SOUND_OF), count).mean(1).tolist())
    mean = f"{right.mean():.0%} ({low:.0%} to {high:.0%})"
    return name, mode + chosen, f"{int(right.sum())} of {len(right)}", mean, *by_thing


def page(
    folder: Path, rows: Sequence[tuple[str, ...]], accuracy: float, arguments: argparse.Namespace
) -> str:
    """Return the table and how it was made."""
    minutes = json.loads((folder / "seconds.json").read_text()) / 60
    pairs = ", ".join(f"{shown} with {sound}" for shown, sound in SOUND_OF.items())
    columns = ("model", "way", "right", "share", *SOUND_OF)
    table = [columns, ("---",) * len(columns), *rows]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return f"""# Forty unlabeled videos

By `recipes/mini/trial.py`: {len(SOUND_OF) * VIDEOS} videos ({pairs}),
trained on by `clipsonic train --warm-start mini --steps {arguments.steps}`, {minutes:.0f} minutes.
The judge names {accuracy:.0%} of real clips that are in no video. By chance 25 % are right.
Pictures (`iq`) were in no video.

{lines}
"""


if __name__ == "__main__":
    main()

"""Train on the whole folder of videos, unlabeled, and count how often words give their sound.

    python recipes/mini/folder.py --out runs/mini

Needs the data of ``data.py`` and the videos of ``videos.py``. The list that is trained on holds no
label, so that the way from text is chosen without any (``training/text_modes.py``), and a bridge is
trained from frames alone. Then the labels that have pictures in no video are requested by text and
by those pictures, from the new model and from ``mini``, which it starts from. The judge is that of
``trial.py``: the nearest mean of real training clips, among all labels with a test clip; its
accuracy on real test clips is stated. Runs and sounds are in ``OUT/folder`` and are used again.
Writes ``results/folder.md``. Two slow cores, an hour or two.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from clip_data import read_lines
from forgive import write_list
from steps import need, run
from torch import Tensor
from trial import embed, named, shelf

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import Recipe
from clipsonic_cli.metrics.intervals import of_mean

RESULTS = Path(__file__).parent / "results"
JUDGE_CLIPS = 24
"""Training clips, at most, of which the judge takes a label's mean."""
AT_ONCE = 8


def main() -> None:
    """Run the trial."""
    parser = argparse.ArgumentParser(description="Train on a folder without labels; ask by text.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--steps", type=int, default=250, help="of training")
    parser.add_argument("--count", type=int, default=4, help="sounds of each label and mode")
    arguments = parser.parse_args()
    out, folder = arguments.out, arguments.out / "folder"
    videos = read_lines(need(out, "videos.jsonl", "videos.py"))
    clips = read_lines(need(out / "data", "clips.jsonl", "data.py"))
    pictures = read_lines(need(out / "data", "pictures.jsonl", "data.py"))
    used = [row for row in videos if row["split"] != "test"]
    data = write_list(folder / "videos.jsonl", unlabeled(used))
    train(data, folder / "run", arguments.steps)
    tested = sorted({row["label"] for row in clips if row["split"] == "test"})
    judge, accuracy = judge_of(out / "data", clips, tested)
    pictured = [label for label in tested if shelf(pictures, label, "test")]
    trained, embedded = ClipSonic.load(folder / "run" / "model"), ClipSonic.load("mini")
    default = trained.default_mode("text")[0]
    modes = dict.fromkeys(("iq", default, "zs", "pd"))
    systems = [("trained", trained, mode) for mode in modes]
    systems += [("mini", embedded, mode) for mode in ("iq", embedded.default_mode("text")[0])]
    right = {}
    for name, sonic, mode in systems:
        where = folder / "sounds" / f"{name}-{arguments.steps}" / mode
        recipes = ask(mode, pictured, out / "data", pictures, arguments.count)
        found = named(sounds(sonic, recipes, where), judge).view(len(pictured), -1)
        hits = found == torch.tensor([[tested.index(label)] for label in pictured])
        right[name, mode] = hits.float().mean(1)  # (labels,)
        print(name, mode, f"{right[name, mode].mean():.3f}", flush=True)
    text = page(right, default, accuracy, len(used), tested, arguments)
    (RESULTS / "folder.md").write_text(text, encoding="utf-8")
    print(text)


def unlabeled(videos: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return rows of a list of videos without their labels."""
    return [{"media": row["media"], "split": row["split"]} for row in videos]


def train(data: Path, made: Path, steps: int) -> None:
    """Train as a person with a folder would; a run that was interrupted goes on."""
    command = [sys.executable, "-m", "clipsonic_cli", "train", "--steps", str(steps), "--quiet"]
    if (made / "run.json").exists():
        command += ["--resume", str(made)]
    else:
        command += ["--data", str(data), "--output", str(made), "--name", "folder"]
        command += ["--warm-start", "mini", "--sample-every", "0", "--save-every", "20"]
    run(command, keep=True)


def judge_of(
    data: Path, clips: Sequence[dict[str, Any]], labels: Sequence[str]
) -> tuple[Tensor, float]:
    """Return the mean embeddings (L, D) of labels' training clips, and the accuracy on test clips.

    The accuracy is the mean over labels of the share that is nearest to the mean of its own label.
    """
    means, tested = [], []
    for label in labels:
        of = [row for row in clips if row["label"] == label]
        train_clips = [row for row in of if row["split"] == "train"][:JUDGE_CLIPS]
        means.append(vectors_of(data, train_clips).mean(0))
        tested.append(vectors_of(data, [row for row in of if row["split"] == "test"]))
    judge = torch.stack(means)
    shares = [(named(rows, judge) == n).float().mean() for n, rows in enumerate(tested)]
    return judge, float(torch.stack(shares).mean())


def vectors_of(data: Path, clips: Sequence[dict[str, Any]]) -> Tensor:
    """Return the embeddings (N, D) of clips."""
    return embed({row["id"].replace("/", "-"): data / row["path"] for row in clips})


def ask(
    mode: str, labels: Sequence[str], data: Path, pictures: Sequence[dict[str, Any]], count: int
) -> list[Recipe]:
    """Return the recipes of a mode, ``count`` for each label, by held-out pictures in turn."""
    recipes = []
    for label in labels:
        views = shelf(pictures, label, "test")
        for seed in range(count):
            if mode == "iq":
                picture = str(data / views[seed % len(views)])
                recipes.append(Recipe(image=picture, mode=mode, seed=seed))
            else:
                recipes.append(Recipe(text=f"a photo of {label}", mode=mode, seed=seed))
    return recipes


def sounds(sonic: ClipSonic, recipes: Sequence[Recipe], where: Path) -> Tensor:
    """Make the sounds that are not there yet, and return the embeddings (N, D) of all."""
    where.mkdir(parents=True, exist_ok=True)
    paths = {f"{number:03d}": where / f"{number:03d}.wav" for number in range(len(recipes))}
    missing = [name for name, path in paths.items() if not path.exists()]
    made = sonic.generate([recipes[int(name)] for name in missing], batch_size=AT_ONCE)
    for name, sound in zip(missing, made, strict=True):
        sound.write(paths[name])
    return embed(paths)


def share(values: Tensor, least: float) -> str:
    """Return the mean over labels (L,) of shares from ``least`` to 1, and its 95 % interval."""
    low, high = of_mean(values, generator=torch.Generator().manual_seed(0)) or (least, 1.0)
    low, high = max(low, least), min(high, 1.0)
    return f"{values.mean():.0%} ({low:.0%} to {high:.0%})"


def page(
    right: dict[tuple[str, str], Tensor],
    default: str,
    accuracy: float,
    videos: int,
    tested: Sequence[str],
    arguments: argparse.Namespace,
) -> str:
    """Return the table and how it was made."""
    rows = [
        f"| {name} | {mode}{' (default)' if (name, mode) == ('trained', default) else ''} "
        f"| {share(of, 0)} | {share(of - right[name, 'iq'], -1) if mode != 'iq' else '-'} |"
        for (name, mode), of in right.items()
    ]
    labels = len(next(iter(right.values())))
    lines = "\n".join(rows)
    return f"""# A folder of {videos:,} unlabeled videos

By `recipes/mini/folder.py`: `clipsonic train --warm-start mini --steps {arguments.steps}` on
{videos:,} videos, no label given, then {arguments.count} sounds of each of {labels} labels that
have pictures in no video, in each mode. Right is what the judge names as requested, among
{len(tested)} labels; it names {accuracy:.0%} of real test clips. Means over labels, 95 % intervals.
The difference is that from the same labels requested by picture (`iq`).

| model | way | right | difference from pictures |
| --- | --- | --- | --- |
{lines}
"""


if __name__ == "__main__":
    main()

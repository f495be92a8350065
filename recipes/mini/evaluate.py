"""Step 4 of the embedded model: measures it, honestly.

    python recipes/mini/evaluate.py --out runs/mini --per-label 4

Sounds are made by the very command line's pipeline, written as WAV files and read back; files that
are there are not made again, so that an interrupted run goes on. The judge (``classifier.py``) is
trained on real clips only. Writes ``results/`` beside this file:

    accuracy.csv    share of sounds whose label the judge names, per label and kind of sound
    results.json    the means, the vocoders' errors, and whether the model remembers or makes
"""

import argparse
import csv
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import classifier
import torch
from material import read_lines
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.griffin_lim import GriffinLim
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.store import bundle

RESULTS = Path(__file__).parent / "results"
SPEC = MelSpec()
SECONDS = SPEC.seconds(classifier.FRAMES)
MODES = ("iq", "pd", "zs")
SPREAD_SEEDS = 10


def main() -> None:
    """Runs every measurement."""
    parser = argparse.ArgumentParser(description="Measure the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--per-label", type=int, default=4, help="sounds a label and mode")
    parser.add_argument("--modes", nargs="+", default=MODES)
    args = parser.parse_args()
    data = args.out / "data"
    labels = [row["label"] for row in json.loads((data / "labels.json").read_text())]
    clips = read_lines(data / "clips.jsonl")
    judge, mels, targets = real(args.out, clips, labels)
    test = [i for i, clip in enumerate(clips) if clip["split"] == "test"]
    scored = sorted({clips[i]["label"] for i in test}, key=labels.index)
    table: dict[str, dict[str, float]] = {}
    named = classifier.predict(judge, mels[test])
    table["real"] = by_label(named, targets[test], labels)
    results: dict[str, Any] = {"labels": len(scored), "vocoders": {}}
    held_out = torch.stack([read(data / clips[i]["path"], SPEC.sample_rate) for i in test])
    for name, vocoder in vocoders(args.out).items():
        remade = torch.cat([vocoder(LogMel(SPEC)(rows)) for rows in held_out.split(16)])
        error = (LogMel(SPEC)(remade) - LogMel(SPEC)(held_out)).abs().mean()
        table[name] = by_label(
            classifier.predict(judge, classifier.mel_of(remade, SPEC)), targets[test], labels
        )
        results["vocoders"][name] = {
            "log_mel_l1": round(float(error), 4),
            "accuracy": round(mean(table[name]), 4),
        }
        print(name, results["vocoders"][name], file=sys.stderr)
    made: dict[str, Tensor] = {}
    for mode in args.modes:
        sounds, wanted = make(args.out, mode, scored, labels, args.per_label)
        made[mode] = sounds
        table[mode] = by_label(classifier.predict(judge, sounds), wanted, labels)
        print(mode, round(mean(table[mode]), 4), file=sys.stderr)
    train = mels[[i for i, clip in enumerate(clips) if clip["split"] == "train"]]
    results["nearest_training_clip"] = {
        "real held-out": nearest(mels[test], train),
        **{mode: nearest(sounds, train) for mode, sounds in made.items()},
    }
    results["spread"] = spread(args.out, mels, clips)
    results["accuracy"] = {kind: round(mean(column), 4) for kind, column in table.items()}
    write(table, results, scored)


def real(
    out: Path, clips: list[dict[str, Any]], labels: list[str]
) -> tuple[classifier.Classifier, Tensor, Tensor]:
    """Gives the judge, and mel (n, 1, F, T) and label index (n,) of every real clip."""
    mels = classifier.read_clips(out / "data", [clip["path"] for clip in clips], SPEC)
    targets = torch.tensor([labels.index(clip["label"]) for clip in clips])
    path = out / "classifier.pt"
    if path.exists():
        judge = classifier.Classifier(len(labels))
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval(), mels, targets
    rows = [i for i, clip in enumerate(clips) if clip["split"] == "train"]
    judge = classifier.train(mels[rows], targets[rows], len(labels))
    torch.save(judge.state_dict(), path)
    return judge, mels, targets


def vocoders(out: Path) -> dict[str, Any]:
    """Gives Griffin-Lim and, where it is trained, BigVGAN."""
    found: dict[str, Any] = {"griffin-lim": GriffinLim(SPEC)}
    path = out / "model" / "vocoder.safetensors"
    if path.exists():
        part = bundle.load(path, kind="vocoder")
        network = BigVGAN(part.header.config, SPEC)  # type: ignore[arg-type]
        network.load_state_dict(dict(part.weights))
        found["bigvgan"] = network.eval().requires_grad_(requires_grad=False)
    return found


def make(
    out: Path, mode: str, scored: list[str], labels: list[str], per_label: int
) -> tuple[Tensor, Tensor]:
    """Makes sounds of every scored label in a mode.

    A picture query is a held-out picture where the label has one, else a training picture; labels
    without pictures have no sounds in ``iq``.

    Returns:
        Mels (n, 1, F, T) of the files as written, and the label index (n,) asked for.
    """
    pictures = defaultdict(list)
    for row in sorted(
        read_lines(out / "data" / "pictures.jsonl"), key=lambda row: row["split"] != "test"
    ):
        pictures[row["label"]].append(row)
    recipes, paths, wanted = [], [], []
    for label in scored:
        held = [row for row in pictures[label] if row["split"] == "test"] or pictures[label]
        for seed in range(per_label):
            recipe = Recipe(mode=mode, seconds=SECONDS, seed=1000 * labels.index(label) + seed)
            if mode == "iq":
                if not held:
                    break
                picture = out / "data" / held[seed % len(held)]["path"]
                recipes.append(replace(recipe, image=str(picture)))
            else:
                recipes.append(replace(recipe, text=f"a photo of {label}"))
            paths.append(out / "evaluation" / mode / f"{label.replace(' ', '_')}-{seed}.wav")
            wanted.append(labels.index(label))
    write_sounds(out, recipes, paths)
    return mels_of(paths), torch.tensor(wanted)


def write_sounds(out: Path, recipes: list[Recipe], paths: list[Path]) -> None:
    """Makes the sounds that are not there yet."""
    missing = [(r, p) for r, p in zip(recipes, paths, strict=True) if not p.exists()]
    if not missing:
        return
    for _, path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
    sonic = ClipSonic.load(out / "model")
    sounds = sonic.generate([recipe for recipe, _ in missing], batch_size=8)
    for count, (sound, (_, path)) in enumerate(zip(sounds, missing, strict=True), 1):
        sound.write(path)
        print(f"\r{path.parent.name} {count} of {len(missing)}", end="", file=sys.stderr)
    print(file=sys.stderr)


def mels_of(paths: list[Path]) -> Tensor:
    """Reads sound files back: (n, 1, F, 128) normalised mel."""
    return classifier.read_clips(Path(), [str(path) for path in paths], SPEC)


def by_label(named: Tensor, wanted: Tensor, labels: list[str]) -> dict[str, float]:
    """Gives the share named right, per label that was asked for."""
    return {
        labels[index]: float((named[wanted == index] == index).float().mean())
        for index in wanted.unique().tolist()
    }


def mean(column: dict[str, float]) -> float:
    """Gives the mean over labels."""
    return sum(column.values()) / len(column)


def nearest(mels: Tensor, train: Tensor) -> dict[str, float]:
    """Gives quantiles of the root mean square distance to the nearest training clip."""
    rows, pool = mels.flatten(1), train.flatten(1)
    distance = torch.cdist(rows, pool).amin(dim=1) / rows.shape[1] ** 0.5
    low, middle = torch.quantile(distance, torch.tensor([0.05, 0.5]))
    return {"5 %": round(float(low), 4), "median": round(float(middle), 4)}


def spread(out: Path, mels: Tensor, clips: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Gives the mean distance between ten seeds of a prompt, and between ten real clips."""
    spreads = {}
    for label in ("violin", "piano", "dog", "drum kit"):
        recipes = [
            Recipe(text=f"a photo of {label}", mode="pd", seconds=SECONDS, seed=seed)
            for seed in range(SPREAD_SEEDS)
        ]
        folder = out / "evaluation" / "spread"
        paths = [folder / f"{label.replace(' ', '_')}-{r.seed}.wav" for r in recipes]
        write_sounds(out, recipes, paths)
        rows = [i for i, clip in enumerate(clips) if clip["label"] == label][:SPREAD_SEEDS]
        pair = {"generated": mels_of(paths), "real": mels[rows]}
        spreads[label] = {
            kind: round(float(torch.pdist(x.flatten(1)).mean() / x[0].numel() ** 0.5), 4)
            for kind, x in pair.items()
        }
    return spreads


def write(table: dict[str, dict[str, float]], results: dict[str, Any], scored: list[str]) -> None:
    """Writes the table and the means."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "accuracy.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", *table])
        for label in scored:
            shares = [table[kind].get(label) for kind in table]
            writer.writerow([label, *("" if x is None else f"{x:.2f}" for x in shares)])
    (RESULTS / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

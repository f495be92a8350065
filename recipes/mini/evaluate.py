"""Step 4 of the embedded model: measures it, honestly.

    python recipes/mini/evaluate.py --out runs/mini --per-label 4

Sounds are made by the command line's own pipeline with the vocoder that ``vocoders.py`` chose,
written as WAV files and read back; files of the same weights are not made again, so that an
interrupted run goes on. The judge (``classifier.py``) is trained on real clips only. Writes
``results/`` next to this file:

    accuracy.csv    share of sounds whose label the judge names, per label and kind of sound
    results.json    means, words outside the labels, memory and spread
"""

import argparse
import csv
import hashlib
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import classifier
import torch
from clip_data import read_lines
from steps import need, need_part
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.store import bundle

RESULTS = Path(__file__).parent / "results"
SPEC = MelSpec()
SAMPLING: dict[str, Any] = {"sampler": "dpmpp", "steps": 25}
"""As of the published results."""
SECONDS = SPEC.seconds(classifier.FRAMES)
MODES = ("iq", "pd", "zs")
PARTS = ("clip", "prior", "unet", "vocoder")
SPREAD_SEEDS = 10
OTHER_WORDS = {
    "fiddle": "violin",
    "kitten": "cat",
    "a barking puppy": "dog",
    "someone playing the drums": "drum kit",
    "a person playing the squeezebox": "accordion",
    "chopper": "helicopter",
    "audience clapping": "applause",
    "bullock": "cow",
}
"""Prompts that are no labels, and the label a person would expect."""
PHOTOGRAPHS = {"chelsea.png": "cat", "motorcycle_left.png": "motorcycle"}
"""Whole photographs, never trained on, of things it knows."""
PHOTOGRAPH_SEEDS = 4


def main() -> None:
    """Run every measurement."""
    parser = argparse.ArgumentParser(description="Measure the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--per-label", type=int, default=4, help="sounds a label and mode")
    parser.add_argument("--dtype", default="auto", help="precision of the U-Net")
    args = parser.parse_args()
    data = args.out / "data"
    labels, clips = read_data(args.out)
    need(data, "pictures.jsonl", "data.py")
    for part in PARTS:
        need_part(args.out, part)
    judge, mels, targets = real(args.out, clips, labels)
    maker = Maker(args.out, dtype=args.dtype)
    test = [i for i, clip in enumerate(clips) if clip["split"] == "test"]
    scored = sorted({clips[i]["label"] for i in test}, key=labels.index)
    table: dict[str, dict[str, float]] = {}
    named = classifier.predict(judge, mels[test])
    table["real"] = by_label(named, targets[test], labels)
    results: dict[str, Any] = {
        "labels": len(scored),
        "sounds_a_label_and_mode": args.per_label,
        "dtype": args.dtype,
        "vocoder": maker.vocoder,
    }
    made: dict[str, Tensor] = {}
    for mode in MODES:
        sounds, wanted = maker.by_mode(mode, scored, labels, args.per_label)
        made[mode] = sounds
        table[mode] = by_label(classifier.predict(judge, sounds), wanted, labels)
        print(mode, round(mean(table[mode]), 4), file=sys.stderr)
    train = mels[[i for i, clip in enumerate(clips) if clip["split"] == "train"]]
    results["nearest_training_clip"] = {
        "real held-out": nearest(mels[test], train),
        **{mode: nearest(sounds, train) for mode, sounds in made.items()},
    }
    results["spread"] = spread(maker, mels, clips)
    results["accuracy"] = {kind: round(mean(column), 4) for kind, column in table.items()}
    results["standard_error"] = {
        kind: round(standard_error(column), 4) for kind, column in table.items()
    }
    pictured = list(table["iq"])
    results["real_where_iq_has_pictures"] = round(
        mean({label: table["real"][label] for label in pictured}), 4
    )
    named = classifier.predict(judge, maker.mels("words", words(args.per_label)))
    wanted_words = [word for word in OTHER_WORDS.values() for _ in range(args.per_label)]
    results["other_words"] = {
        prompt: [
            labels[index] for index in named[i * args.per_label : (i + 1) * args.per_label].tolist()
        ]
        for i, prompt in enumerate(OTHER_WORDS)
    }
    hits = [labels[int(i)] == word for i, word in zip(named, wanted_words, strict=True)]
    results["other_words_accuracy"] = round(sum(hits) / len(hits), 4)
    named = classifier.predict(judge, maker.mels("photographs", photographs(data)))
    results["photographs"] = {
        name: [labels[int(index)] for index in rows]
        for name, rows in zip(PHOTOGRAPHS, named.view(-1, PHOTOGRAPH_SEEDS), strict=True)
    }
    write(table, results, scored)


def read_data(out: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read the labels and the rows of all clips."""
    described = need(out / "data", "labels.json", "data.py").read_text(encoding="utf-8")
    labels = [row["label"] for row in json.loads(described)]
    return labels, read_lines(need(out / "data", "clips.jsonl", "data.py"))


def real(
    out: Path, clips: list[dict[str, Any]], labels: list[str]
) -> tuple[classifier.Classifier, Tensor, Tensor]:
    """Return the judge, and mel (n, 1, F, T) and label index (n,) of every real clip."""
    mels, targets = read_mels(out, clips, labels)
    return trained_judge(out, clips, labels), mels, targets


def read_mels(out: Path, clips: list[dict[str, Any]], labels: list[str]) -> tuple[Tensor, Tensor]:
    """Return mel (n, 1, F, T) and label index (n,) of clips."""
    mels = classifier.read_clips(out / "data", [clip["path"] for clip in clips], SPEC)
    return mels, torch.tensor([labels.index(clip["label"]) for clip in clips])


def trained_judge(
    out: Path, clips: list[dict[str, Any]], labels: list[str]
) -> classifier.Classifier:
    """Return the judge, trained on the real training clips the first time."""
    digest = hashlib.sha256((out / "data" / "clips.jsonl").read_bytes()).hexdigest()[:8]
    path = out / f"classifier-{digest}.pt"
    if path.exists():
        judge = classifier.Classifier(len(labels))
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    train = [clip for clip in clips if clip["split"] == "train"]
    judge = classifier.train(*read_mels(out, train, labels), len(labels))
    torch.save(judge.state_dict(), path)
    return judge


class Maker:
    """Makes sounds of one state of the model, and keeps them.

    Args:
        out: The recipe's folder.
        dtype: Precision of the U-Net.
    """

    def __init__(self, out: Path, dtype: str) -> None:
        self.out, self.dtype = out, dtype
        header = bundle.read_header(need_part(out, "vocoder"))
        self.vocoder: str = header.meta["default_vocoder"]

    def by_mode(
        self, mode: str, scored: list[str], labels: list[str], per_label: int
    ) -> tuple[Tensor, Tensor]:
        """Make sounds of every scored label in a mode.

        A picture query is a held-out picture where the label has one, else a training picture;
        labels without pictures have no sounds in ``iq``.

        Returns:
            Mels (n, 1, F, T) of the files as written, and the requested label index (n,).
        """
        pictures = defaultdict(list)
        for row in read_lines(self.out / "data" / "pictures.jsonl"):
            pictures[row["label"]].append(row)
        recipes, wanted = {}, []
        for label in scored:
            held = [row for row in pictures[label] if row["split"] == "test"] or pictures[label]
            if mode == "iq" and not held:
                continue
            for count in range(per_label):
                recipe = Recipe(
                    mode=mode, **SAMPLING, seconds=SECONDS, seed=1000 * labels.index(label) + count
                )
                if mode == "iq":
                    picture = self.out / "data" / held[count % len(held)]["path"]
                    recipe = replace(recipe, image=str(picture))
                else:
                    recipe = replace(recipe, text=f"a photo of {label}")
                recipes[f"{label.replace(' ', '_')}-{count}"] = recipe
                wanted.append(labels.index(label))
        return self.mels(mode, recipes), torch.tensor(wanted)

    def mels(self, folder: str, recipes: dict[str, Recipe]) -> Tensor:
        """Make what is missing, and read every file back: (n, 1, F, 128)."""
        identity = [bundle.identity(self.out / "model" / f"{part}.safetensors") for part in PARTS]
        state = hashlib.sha256(" ".join([*identity, self.dtype]).encode())
        root = self.out / "evaluation" / state.hexdigest()[:12] / folder
        root.mkdir(parents=True, exist_ok=True)
        paths = {root / f"{name}.wav": recipe for name, recipe in recipes.items()}
        missing = {path: recipe for path, recipe in paths.items() if not path.exists()}
        if missing:
            sonic = ClipSonic.load(self.out / "model", dtype=self.dtype)
            sounds = sonic.generate(list(missing.values()), batch_size=8)
            for count, (sound, path) in enumerate(zip(sounds, missing, strict=True), 1):
                sound.write(path)
                print(f"\r{folder}: {count} of {len(missing)}", end="", file=sys.stderr)
            print(file=sys.stderr)
        return classifier.read_clips(Path(), [str(path) for path in paths], SPEC)


def words(count: int) -> dict[str, Recipe]:
    """Return the recipes of prompts outside the labels."""
    return {
        f"{i}-{seed}": Recipe(text=prompt, mode="pd", **SAMPLING, seconds=SECONDS, seed=seed)
        for i, prompt in enumerate(OTHER_WORDS)
        for seed in range(count)
    }


def photographs(data: Path) -> dict[str, Recipe]:
    """Return the recipes of whole photographs."""
    return {
        f"{Path(name).stem}-{seed}": Recipe(
            image=str(need(data, f"photos/{name}", "data.py")),
            mode="iq",
            **SAMPLING,
            seconds=SECONDS,
            seed=seed,
        )
        for name in PHOTOGRAPHS
        for seed in range(PHOTOGRAPH_SEEDS)
    }


def by_label(named: Tensor, wanted: Tensor, labels: list[str]) -> dict[str, float]:
    """Return the share named right, per requested label."""
    return {
        labels[index]: float((named[wanted == index] == index).float().mean())
        for index in sorted(set(wanted.tolist()))
    }


def mean(column: dict[str, float]) -> float:
    """Return the mean over labels."""
    return sum(column.values()) / len(column)


def standard_error(column: dict[str, float]) -> float:
    """Return the standard error of the mean over labels."""
    return float(torch.tensor(list(column.values())).std() / len(column) ** 0.5)


def nearest(mels: Tensor, train: Tensor) -> dict[str, float]:
    """Return quantiles of the root mean square distance to the nearest training clip."""
    rows, pool = mels.flatten(1), train.flatten(1)
    distance = torch.cdist(rows, pool).amin(dim=1) / rows.shape[1] ** 0.5
    low, middle = torch.quantile(distance, torch.tensor([0.05, 0.5]))
    return {"5 %": round(float(low), 4), "median": round(float(middle), 4)}


def spread(maker: Maker, mels: Tensor, clips: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean distance between ten seeds of a prompt, and between ten real clips."""
    spreads = {}
    for label in ("violin", "piano", "dog", "drum kit"):
        recipes = {
            str(seed): Recipe(
                text=f"a photo of {label}", mode="pd", **SAMPLING, seconds=SECONDS, seed=seed
            )
            for seed in range(SPREAD_SEEDS)
        }
        rows = [i for i, clip in enumerate(clips) if clip["label"] == label][:SPREAD_SEEDS]
        made = maker.mels(f"spread-{label.replace(' ', '_')}", recipes)
        spreads[label] = {
            kind: round(float(torch.pdist(x.flatten(1)).mean() / x[0].numel() ** 0.5), 4)
            for kind, x in (("generated", made), ("real", mels[rows]))
        }
    return spreads


def write(table: dict[str, dict[str, float]], results: dict[str, Any], scored: list[str]) -> None:
    """Write the table and the means."""
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

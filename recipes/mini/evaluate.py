"""Step 4 of the embedded model: measures it, honestly.

    python recipes/mini/evaluate.py --out runs/mini --per-label 4

Sounds are made by the command line's own pipeline and its defaults, with the vocoder that
``vocoders.py`` chose, written as WAV files and read back; files of the same weights are not made
again, so that an interrupted run goes on. There are two judges (``classifier.py``), both trained on
real clips only: one on the clips the model learned from, which names those of other packages, and
one on the clips of these other packages, which names those the model learned from. Writes
``results/`` next to this file:

    accuracy.csv        share of sounds whose label a judge names, per label and kind of sound
    free_prompts.csv    what the first judge names sounds of prompts that are no labels
    photographs.csv     and of photographs, of packages that nothing was learned from
    results.json        means, memory and spread
"""

import argparse
import csv
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import classifier
import packages
import torch
from clip_data import read_lines
from steps import need, need_part
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.store import bundle

RESULTS = Path(__file__).parent / "results"
SPEC = MelSpec()
SECONDS = SPEC.seconds(classifier.FRAMES)
MODES = ("iq", "pd", "zs")
PARTS = ("clip", "prior", "unet", "vocoder")
SPREAD_SEEDS = 10
EARS = {"": ("train",), " (other packages)": ("valid", "test")}
"""What is written after a kind of sound: the splits of the clips that its judge is trained on."""


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
    mels, targets = read_mels(args.out, clips, labels)
    maker = Maker(args.out, dtype=args.dtype)
    rows = {
        split: [i for i, clip in enumerate(clips) if clip["split"] == split and clip["scored"]]
        for split in ("train", "valid", "test")
    }
    scored = sorted({clips[i]["label"] for i in rows["test"]}, key=labels.index)
    made = {mode: maker.by_mode(mode, scored, labels, args.per_label) for mode in MODES}
    table: dict[str, dict[str, float]] = {}
    judges = {}
    for ear, splits in EARS.items():
        judge = judges[ear] = trained_judge(args.out, clips, labels, splits)
        held_out = rows["test"] if "train" in splits else rows["train"]
        named = classifier.predict(judge, mels[held_out])
        table[f"real{ear}"] = by_label(named, targets[held_out], labels)
        for mode, (sounds, wanted) in made.items():
            table[mode + ear] = by_label(classifier.predict(judge, sounds), wanted, labels)
    results: dict[str, Any] = {
        "labels": len(scored),
        "sounds_a_label_and_mode": args.per_label,
        "dtype": args.dtype,
        "vocoder": maker.vocoder,
    }
    train = mels[[i for i, clip in enumerate(clips) if clip["split"] == "train"]]
    results["nearest_training_clip"] = {
        "real held-out": nearest(mels[rows["test"]], train),
        **{mode: nearest(sounds, train) for mode, (sounds, _) in made.items()},
    }
    results["spread"] = spread(maker, mels, clips)
    results["accuracy"] = {kind: round(mean(column), 4) for kind, column in table.items()}
    results["standard_error"] = {
        kind: round(standard_error(column), 4) for kind, column in table.items()
    }
    for ear in EARS:
        pictured = {label: table[f"real{ear}"][label] for label in table["iq"]}
        results[f"real_where_iq_has_pictures{ear}"] = round(mean(pictured), 4)
    for name, recipes_of in (("free_prompts", free), ("photographs", partial(photographs, data))):
        queries = packages.rows(f"{name}.csv")
        named = classifier.predict(judges[""], maker.mels(name, recipes_of(queries)))
        for row, index in zip(queries, named.tolist(), strict=True):
            row["named"] = labels[index]
        results[name] = len(queries)
        right = [row["named"] in row["expected"].split("|") for row in queries]
        results[f"{name}_accuracy"] = round(sum(right) / len(right), 4)
        write_named(RESULTS / f"{name}.csv", queries)
    write(table, results, scored)


def read_data(out: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read the labels and the rows of all clips."""
    described = need(out / "data", "labels.json", "data.py").read_text(encoding="utf-8")
    labels = [row["label"] for row in json.loads(described)]
    return labels, read_lines(need(out / "data", "clips.jsonl", "data.py"))


def read_mels(out: Path, clips: list[dict[str, Any]], labels: list[str]) -> tuple[Tensor, Tensor]:
    """Return mel (n, 1, F, T) and label index (n,) of clips."""
    mels = classifier.read_clips(out / "data", [clip["path"] for clip in clips], SPEC)
    return mels, torch.tensor([labels.index(clip["label"]) for clip in clips])


def trained_judge(
    out: Path, clips: list[dict[str, Any]], labels: list[str], splits: Sequence[str] = ("train",)
) -> classifier.Classifier:
    """Return a judge, trained on the real clips of some splits the first time."""
    digest = hashlib.sha256((out / "data" / "clips.jsonl").read_bytes()).hexdigest()[:8]
    path = out / f"classifier-{digest}-{'-'.join(splits)}.pt"
    if path.exists():
        judge = classifier.Classifier(len(labels))
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    heard = [clip for clip in clips if clip["split"] in splits]
    # As many steps for few clips as for many.
    epochs = round(classifier.EPOCHS * sum(c["split"] == "train" for c in clips) / len(heard))
    judge = classifier.train(*read_mels(out, heard, labels), len(labels), epochs=epochs)
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
                seed = 1000 * labels.index(label) + count
                recipe = Recipe(mode=mode, seconds=SECONDS, seed=seed)
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


def free(prompts: Sequence[Mapping[str, str]]) -> dict[str, Recipe]:
    """Return the recipes of prompts that are no labels, by the model's own mode."""
    return {
        str(number): Recipe(text=row["text"], seconds=SECONDS, seed=number)
        for number, row in enumerate(prompts)
    }


def photographs(data: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, Recipe]:
    """Return the recipes of whole photographs."""
    return {
        str(number): Recipe(
            image=str(need(data, f"photos/{number}.jpg", "data.py")),
            mode="iq",
            seconds=SECONDS,
            seed=number,
        )
        for number in range(len(rows))
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
            str(seed): Recipe(text=f"a photo of {label}", mode="pd", seconds=SECONDS, seed=seed)
            for seed in range(SPREAD_SEEDS)
        }
        rows = [i for i, clip in enumerate(clips) if clip["label"] == label][:SPREAD_SEEDS]
        made = maker.mels(f"spread-{label.replace(' ', '_')}", recipes)
        spreads[label] = {
            kind: round(float(torch.pdist(x.flatten(1)).mean() / x[0].numel() ** 0.5), 4)
            for kind, x in (("generated", made), ("real", mels[rows]))
        }
    return spreads


def write_named(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write what sounds of queries were named, beside what a person would expect."""
    query = "text" if "text" in rows[0] else "path"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, [query, "expected", "named"], extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)


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

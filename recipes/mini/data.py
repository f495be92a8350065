"""Step 1 of the embedded model: builds its data set from Debian and PyPI packages.

    python recipes/mini/data.py --out runs/mini

Needs the programs ``apt-get``, ``dpkg-deb``, ``fluidsynth`` and ``rsvg-convert``, and the Python
package fonttools; no root. Every sub-step is skipped when its result is there. Only permissive and
share-alike files and renders of an MIT soundfont are used (``sources/``). Writes under
``OUT/data``:

    sounds/, clips.jsonl        4-second sounds by label, split train | valid | test
    pictures/, pictures.jsonl   pictures by label, split train | test
    captions/, captions.jsonl   pictures with a title, for the small CLIP
    photos/                     photographs to try the model on, never trained on
    labels.json                 labels with category, whether they are scored, synonyms
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
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import packages
import render
import soundfile
from PIL import Image
from steps import run

SPLITS = {"train": 40, "valid": 2, "test": 6}
LONG = 8 * render.RATE  # a lone recording this long is split in time
ONE_TAKE = {"chicken"}  # its files are slices of one recording, so none can be held out
CLIP_ART = "usr/share/openclipart/png"


def main() -> None:
    """Run the sub-steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    root: Path = parser.parse_args().out
    for program, package in (("fluidsynth", "fluidsynth"), ("rsvg-convert", "librsvg2-bin")):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: apt-get install {package}")
    Image.MAX_IMAGE_PIXELS = None  # some clip art is over 100 megapixels
    packages.fetch(root)
    data = root / "data"
    data.mkdir(exist_ok=True)
    step(data / "unpacked", lambda out: unpack(root / "pkg", out))
    step(data / "clips.jsonl", lambda out: sounds(root / "pkg", data, out))
    step(data / "pictures.jsonl", lambda out: pictures(root / "pkg", data, out))
    step(data / "captions.jsonl", lambda out: captions(root / "pkg", data, out))
    step(data / "photos", lambda out: photos(root / "pkg", out))


def step(out: Path, make: Callable[[Path], None]) -> None:
    """Make a file or folder under a temporary name, unless it is there."""
    if out.exists():
        return
    began, partial = time.monotonic(), out.with_name(out.name + ".part")
    if partial.is_dir():
        shutil.rmtree(partial)
    make(partial)
    partial.rename(out)
    print(f"{out.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def unpack(pkg: Path, out: Path) -> None:
    """Take the files out of Qt resources and the emoji font that the tables name."""
    wanted = {
        row["path"] for table in ("sounds.csv", "pictures.csv") for row in packages.rows(table)
    }
    (out / "emoji").mkdir(parents=True)
    for code_point, png in packages.emoji(next(pkg.glob("fonts-noto*/**/NotoColorEmoji.ttf"))):
        (out / "emoji" / f"{code_point}.png").write_bytes(png)
    for resource in sorted((pkg / "gcompris-qt-data").glob("**/*.rcc")):
        for inside, content in packages.qt_resources(resource):
            if f"rcc:{inside}" in wanted:
                target = out / "rcc" / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


def locate(pkg: Path, unpacked: Path, row: dict[str, str]) -> Path:
    """Return the unpacked file of a row of the tables."""
    kind, _, inside = row["path"].rpartition(":")
    if kind == "rcc":
        return unpacked / "rcc" / inside
    if kind == "cbdt":
        return unpacked / "emoji" / f"{inside[:5]}.png"
    return pkg / row["package"] / row["path"]


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# --- sounds


def sounds(pkg: Path, data: Path, out: Path) -> None:
    """Make every clip of every label, then ``labels.json``."""
    recorded: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in packages.rows("sounds.csv"):
        recorded[row["label"]].append(row)
    soundfont = next(pkg.glob("musescore*/**/*.sf3"))
    labels = packages.rows("labels.csv")
    lines: list[dict[str, Any]] = []
    scored: dict[str, bool] = {}
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        jobs = {
            label["label"]: pool.submit(
                make_label, label, recorded[label["label"]], pkg, data, soundfont
            )
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
    label: dict[str, str], rows: list[dict[str, str]], pkg: Path, data: Path, soundfont: Path
) -> list[dict[str, Any]]:
    """Make and describe the clips of one label."""
    name = label["label"]
    folder = data / "sounds" / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    ids = {split: [f"{name}/{split}/{i}" for i in range(count)] for split, count in SPLITS.items()}
    clips: dict[str, tuple[str, np.ndarray[Any, Any]]] = {}
    if label["kind"] != "recorded":
        flat = [(split, clip_id) for split in SPLITS for clip_id in ids[split]]
        played = render.play(soundfont, [render.compose(label, clip_id) for _, clip_id in flat])
        clips = {i: (split, samples) for (split, i), samples in zip(flat, played, strict=True)}
        source = {"package": "musescore-general-soundfont-small", "licence": "MIT"}
    else:
        unpacked = data / "unpacked"
        takes = [(row, render.read_recording(locate(pkg, unpacked, row))) for row in rows]
        for split, chosen in split_takes(name, takes).items():
            for clip_id in ids[split]:
                clips[clip_id] = (split, render.arrange(chosen, clip_id))
        source = {
            "package": " ".join(sorted({row["package"] for row in rows})),
            "licence": " ".join(sorted({row["licence"] for row in rows})),
        }
    lines = []
    for clip_id, (split, samples) in clips.items():
        path = folder / f"{clip_id.split('/', 1)[1].replace('/', '-')}.wav"
        soundfile.write(path, samples, render.RATE, subtype="PCM_16")
        described = {"label": name, "category": label["category"], "split": split}
        lines.append({"id": clip_id, **described, "path": str(path.relative_to(data)), **source})
    return lines


def split_takes(
    name: str, takes: list[tuple[dict[str, str], render.Samples]]
) -> dict[str, list[render.Samples]]:
    """Hold out whole recordings, or the end of a lone long one; nothing of a lone short one."""
    every = sorted((row["path"], samples) for row, samples in takes if len(samples) > 1000)
    samples = [recording for _, recording in every]
    if name in ONE_TAKE or (len(samples) == 1 and len(samples[0]) < LONG):
        return {"train": samples}
    if len(samples) == 1:
        cut, end = int(0.7 * len(samples[0])), int(0.75 * len(samples[0]))
        return {
            "train": [samples[0][:cut]],
            "valid": [samples[0][cut:end]],
            "test": [samples[0][end:]],
        }
    held = samples[::4] if len(samples) >= 4 else samples[:1]
    train = [one for one in samples if not any(one is other for other in held)]
    return {"train": train, "valid": held, "test": held}


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
    """Copy the pictures of every label; each fourth is held out where there are three or more."""
    by_label: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in packages.rows("pictures.csv"):
        by_label[row["label"]].append(row)
    lines: list[dict[str, str]] = []
    for label, rows in by_label.items():
        for index, row in enumerate(rows):
            path = Path("pictures") / label.replace(" ", "_") / f"{index}.png"
            if not save_picture(locate(pkg, data / "unpacked", row), data / path, 288):
                print(f"  left out {row['path']}: not readable", file=sys.stderr)
                continue
            split = "test" if len(rows) >= 3 and index % 4 == 1 else "train"
            lines.append({"id": f"{label}/{index}", "split": split, **row, "path": str(path)})
            lines[-1]["source"] = row["path"]
    write_lines(out, lines)


def captions(pkg: Path, data: Path, out: Path) -> None:
    """Make picture-title pairs of all clip art and of the emoji that show things."""
    held = {row["path"] for row in packages.rows("pictures.csv")}
    lines: list[dict[str, str]] = []
    root = pkg / "openclipart-png"
    for source in sorted((root / CLIP_ART).glob("**/*.png")):
        title = title_of(source.relative_to(root / CLIP_ART))
        path = Path("captions") / f"{len(lines):05d}.jpg"
        if str(source.relative_to(root)) in held or not title:
            continue
        if save_picture(source, data / path, 256):
            lines.append({"path": str(path), "text": title, "package": "openclipart-png"})
    for source in sorted((data / "unpacked" / "emoji").glob("*.png")):
        name = unicodedata.name(chr(int(source.stem, 16)), "").lower()
        if not name or any(word in name for word in ("letter", "sign", "symbol", "digit", "arrow")):
            continue
        path = Path("captions") / f"{len(lines):05d}.jpg"
        if save_picture(source, data / path, 256):
            lines.append({"path": str(path), "text": name, "package": "fonts-noto-color-emoji"})
    write_lines(out, lines)


def title_of(path: Path) -> str:
    """Make a title from a clip art's path: its own name and its folder's."""
    words = [re.sub(r"\d+|_+$", "", word) for word in re.split(r"[_\-.\s]+", path.stem)]
    own = " ".join(word for word in words[:3] if len(word) > 2)
    return f"{own}, {path.parent.name.replace('_', ' ')}" if own else ""


def photos(pkg: Path, out: Path) -> None:
    """Copy whole photographs (CC0, public domain) to try the model on."""
    for name in ("chelsea.png", "motorcycle_left.png", "rocket.jpg", "coffee.png", "astronaut.png"):
        save_picture(pkg / "scikit-image" / "skimage" / "data" / name, out / name, 1024)


if __name__ == "__main__":
    main()

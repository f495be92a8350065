"""What noise on the condition, crops and means of frames do to mini's U-Net, by mode.

    python recipes/mini/forgive.py --out runs/mini

Needs the videos of ``videos.py`` and the embedded model. Trains its U-Net on for some steps in each
way, all from the same weights, seed and clips, and scores the modes by ``clipsonic eval`` on its
held-out images. Runs and sounds are in ``OUT/forgive`` and are used again:
interrupted, the same command goes on. Writes ``results/forgive.md``. Two cores, an hour or two.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clip_data import read_lines
from steps import need, run

RESULTS = Path(__file__).parent / "results"
WAYS: Mapping[str, Sequence[str]] = {
    "none": (),
    "noise": ("--cond-cosine", "0.33"),
    "crops": ("--crops", "2"),
    "mean of frames": ("--mean-of", "3"),
}
"""Arguments of ``clipsonic train``; 0.33 is the cosine of mini's texts with frames, in ways.md."""
CLIPS = 800
"""Clips that are trained on or held out: preparing crops of all takes an hour."""
MODES = ("iq", "zs", "ms", "pd")
METRICS = {"fad[mini]": "smaller", "clap[mini]": "larger"}
"""Which values of each are better."""

Value = tuple[float, float, float]
"""A score, and the ends of its 95 % interval."""
Scores = Mapping[tuple[str, str], Value]
"""By mode and metric."""


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="What conditions that forgive do, by mode.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument(
        "--count", type=int, default=60, help="sounds of each mode, 43 or more for intervals"
    )
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="default: all")
    arguments = parser.parse_args()
    out: Path = arguments.out
    videos = read_lines(need(out, "videos.jsonl", "videos.py"))
    test, folder = need(out, "held-out.jsonl", "videos.py"), out / "forgive"
    data = write_list(folder / "videos.jsonl", [r for r in videos if r["split"] != "test"][:CLIPS])
    scores = {}
    for way in arguments.ways:
        made = folder / way.replace(" ", "-")
        train(data, made, WAYS[way], arguments.steps)
        scores[way] = score(test, made, arguments.count)
    text = page(scores, arguments.steps, arguments.count)
    (RESULTS / "forgive.md").write_text(text, encoding="utf-8")
    print(text)


def write_list(path: Path, clips: Sequence[Mapping[str, str]]) -> Path:
    """Write a list of videos in a folder next to theirs, and return its path."""
    path.parent.mkdir(exist_ok=True)
    if not (link := path.parent / "videos").exists():  # a list names files below it alone
        link.symlink_to("../videos")
    path.write_text("".join(f"{json.dumps(row)}\n" for row in clips), encoding="utf-8")
    return path


def train(data: Path, made: Path, options: Sequence[str], steps: int) -> None:
    """Train mini's U-Net on in one way; a run that is there goes on to its end."""
    if (made / "run.json").exists():
        command = ["--resume", str(made), "--steps", str(steps)]
    else:
        command = ["--data", str(data), "--warm-start", "mini", "--base", "mini", *options]
        command += ["--name", f"forgive-{made.name}", "--output", str(made), "--seed", "0"]
        command += ["--steps", str(steps), "--save-every", str(steps), "--sample-every", "0"]
    run([sys.executable, "-m", "clipsonic_cli", "train", *command], keep=True)


def score(test: Path, made: Path, count: int) -> Scores:
    """Score the modes of a run's model."""
    command = ["eval", "--model", str(made / "model"), "--data", str(test), "-n", str(count)]
    command += ["--modes", *MODES, "--metrics", "fad:mini", "clap:mini", "--dtype", "bfloat16"]
    command += ["--output", str(made / f"eval-{count}"), "--quiet"]
    run([sys.executable, "-m", "clipsonic_cli", *command], keep=True)
    return read_scores(made / f"eval-{count}" / "report.csv")


def read_scores(path: Path) -> Scores:
    """Read the scores of a report of ``clipsonic eval``."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["system"], row["metric"]): (
                float(row["value"]),
                float(row["low"] or "nan"),
                float(row["high"] or "nan"),
            )
            for row in csv.DictReader(file)
            if row["metric"] in METRICS and row["system"] in MODES
        }


def differences(scores: Mapping[str, Scores]) -> list[str]:
    """Return a line for each score whose interval lies apart from that of the same without."""
    lines = []
    base = scores.get("none", {})
    for way, own in scores.items():
        for (mode, metric), (value, low, high) in own.items():
            before, least, most = base.get((mode, metric), (value, low, high))
            if high < least or low > most:
                good = (value < before) == (METRICS[metric] == "smaller")
                lines.append(
                    f"- {way}: {metric} of {mode} is {'better' if good else 'worse'}, "
                    f"{value:.3f} against {before:.3f}"
                )
    return lines or ["- Nothing beyond the intervals: no way is told from training on without it."]


def page(scores: Mapping[str, Scores], steps: int, count: int) -> str:
    """Return the page of results."""
    lines = [
        "# Conditions that forgive: noise, crops and means of frames",
        "",
        "By `recipes/mini/forgive.py`: mini's U-Net trained on "
        f"for {steps} steps on {CLIPS} videos,",
        "in each way from the same weights, seed and clips. The scores are of "
        f"{count} sounds of each",
        "mode, in 12 steps of dpmpp at w = 1.5, of test clips whose pictures no training shows;",
        "95 % intervals in brackets.",
        "",
    ]
    for way in scores:
        lines.append(f"- {way}: `{' '.join(['clipsonic train', *WAYS[way]])}`")
    for metric, better in METRICS.items():
        lines += ["", f"## {metric} ({better} is better)", ""]
        lines += [f"| training | {' | '.join(MODES)} |", f"|{'---|' * (1 + len(MODES))}"]
        for way, own in scores.items():
            cells = []
            for mode in MODES:
                value, low, high = own[mode, metric]
                cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
            lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", "## What each does beyond its interval", "", *differences(scores), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

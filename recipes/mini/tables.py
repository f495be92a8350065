"""The paper's Tables 1, 2 and 5 and its Figure 3 for the embedded model, by `clipsonic eval`.

    python recipes/mini/tables.py --out runs/mini

Needs the list of ``videos.py`` and the shipped model (``ship.py``). The sounds lie in ``OUT/eval``
and are used again: interrupted, the same command goes on. Writes what is found into ``results/``: a
csv each, the figure, and ``tables.md`` with the command of each table, and with Table 1 once more
by whether a clip's picture is one of those the model was trained on. Two cores, hours; no GPU.
"""

import argparse
import csv
import json
import math
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from clip_data import read_lines
from steps import need, run

from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.evaluation.audio_files import embed_files
from clipsonic_cli.evaluation.test_set import draw_clips, file_name
from clipsonic_cli.metrics.clap_score import METRIC as CLAP
from clipsonic_cli.metrics.fad import METRIC as FAD
from clipsonic_cli.metrics.features import Features, embed_prompts
from clipsonic_cli.metrics.mini import MiniBackbone

RESULTS = Path(__file__).parent / "results"
REPORTS = {
    "table-1": ["--table", "1"],
    "table-2": ["--table", "2"],
    "table-5": ["--table", "5"],
    "figure-3": ["--figure", "3"],
}
"""Arguments of ``clipsonic eval`` by the name of its reports."""
SYSTEMS = ("iq", "zs", "pd", "sd")
COLUMNS = ("system", "w", "score", "value", "95 % interval", "sounds", "s each")


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="The paper's tables for the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--count", type=int, default=300, help="sounds of each system")
    arguments = parser.parse_args()
    out: Path = arguments.out
    data, made = need(out, "videos.jsonl", "videos.py"), out / "eval"
    RESULTS.mkdir(exist_ok=True)
    sections = []
    for name, options in REPORTS.items():
        command = [
            "clipsonic",
            "eval",
            "--data",
            str(data),
            "-n",
            str(arguments.count),
            "--steps",
            "25",
            *options,
        ]
        command += ["--dtype", "bfloat16", "--output", str(made)]
        run([sys.executable, "-m", "clipsonic_cli", *command[1:], "--quiet"], keep=True)
        for path in sorted(made.glob(f"{name}.*")):
            if path.suffix in (".csv", ".svg", ".png"):
                shutil.copyfile(path, RESULTS / path.name)
        sections.append(section(name, command, RESULTS / f"{name}.csv"))
    sections.append(by_picture(out, data, made, arguments.count))
    (RESULTS / "tables.md").write_text("\n".join(sections), encoding="utf-8")


def section(name: str, command: list[str], scores: Path) -> str:
    """Return a part of the page: the command and its scores.

    Args:
        name: A key of :data:`REPORTS`.
        command: What was run.
        scores: The csv that ``clipsonic eval`` wrote.
    """
    lines = [f"## {name.replace('-', ' ').capitalize()}", "", f"    {shlex.join(command)}", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    with scores.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            interval = f"{number(row['low'])} to {number(row['high'])}" if row["low"] else "-"
            cells = (
                row["system"],
                row["guidance"] or "-",
                row["metric"],
                number(row["value"]),
                interval,
                row["n"],
                f"{float(row['seconds']):.1f}" if row["seconds"] else "-",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def by_picture(out: Path, data: Path, made: Path, count: int) -> str:
    """Return Table 1 for the clips that show a picture the model was trained on, and the others.

    Args:
        out: The recipe's folder.
        data: The list of videos.
        made: Where the sounds of Table 1 lie.
        count: How many clips those are of.
    """
    pictures = read_lines(need(out / "data", "pictures.jsonl", "data.py"))
    unseen = {row["label"] for row in pictures if row["split"] == "test"}
    clips = draw_clips(str(data), format=None, split="test", splits=SplitDraw(), seed=0).clips[
        :count
    ]
    sets: dict[str, dict[str, str]] = {"seen": {}, "not seen": {}}
    for clip in clips:
        of = sets["not seen" if clip.label in unseen else "seen"]
        of[file_name(clip.id)] = prompt(str(clip.label), "clip-text")
    backbone = MiniBackbone.load(torch.device("cpu"))
    settings = json.loads((made / "table-1.json").read_text())["settings"]
    folders, truths = settings["sounds"], made / settings["clips"] / "truth-4s"

    def embed(folder: Path, names: Iterable[str]) -> Features:
        paths = {name: folder / f"{name}.wav" for name in names}
        return embed_files(paths, backbone)

    lines = ["## Table 1 by picture", ""]
    lines += ["| pictures | clips | system | fad[mini] | clap[mini] |", "|---|---|---|---|---|"]
    for title, prompts in sets.items():
        truth, texts = embed(truths, prompts), embed_prompts(prompts, backbone)
        for system in SYSTEMS:
            sounds = embed(made / folders[f"{system} w=1.5"], prompts)
            scores = [
                metric(sounds, against, generator=torch.Generator().manual_seed(0))[0]
                for metric, against in ((FAD, truth), (CLAP, texts))
            ]
            cells = [title, f"{len(prompts)}", system]
            for score in scores:
                low, high = score.interval or (math.nan, math.nan)
                cells.append(f"{score.value:.3f} ({low:.3f} to {high:.3f})")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def number(text: str) -> str:
    """Return a number of a csv as people read it."""
    return f"{float(text):.3f}"


if __name__ == "__main__":
    main()

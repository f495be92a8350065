"""Time from the shell to a written sound, next to an earlier version of the project.

    python benchmarks/first_command.py [--before d0433b4] [--rounds 5] [--prompts 5]

Each command is a process of its own, by turns, after one that warms the disk: a sound by the
defaults of its version, then one file of several prompts, of which all but the first are counted.
``d0433b4`` is 0.1.0; its files are those of its commit, run by this environment. Medians of wall
and CPU time; the second does not count other work on the machine. Prints one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pages import ROOT, add_row, device_name

LABELS = ("violin", "dog", "piano", "sea waves", "drum kit", "cat", "trumpet", "train")


def main() -> None:
    """Measure, print, and add a row to the page."""
    parser = argparse.ArgumentParser(description="Time of the first command.")
    parser.add_argument("--before", default="d0433b4", metavar="COMMIT", help="default: 0.1.0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=5, help="in the file, two or more")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = folder / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", before, arguments.before], check=True)
        try:
            row = measure({"before": before, "now": ROOT}, folder, arguments)
        finally:
            subprocess.run([*git, "remove", "--force", before], check=True)
    print(json.dumps({"machine": device_name(), **row}))
    if arguments.write:
        add_row(arguments.write, __file__, row)


def measure(
    versions: dict[str, Path], folder: Path, arguments: argparse.Namespace
) -> dict[str, object]:
    """Run the commands of all versions by turns and return a row of their medians."""
    prompts = folder / "prompts.txt"
    texts = [f"a photo of {LABELS[n % len(LABELS)]}" for n in range(arguments.prompts)]
    prompts.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    first, more = ["a photo of violin", "--seed", "0"], ["--file", str(prompts), "--seed", "0"]
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(arguments.rounds + 1):
        for name, root in versions.items():
            one = run(root, [*first, "-o", str(folder / f"{name}-{number}.wav")])
            target = folder / f"{name}-{number}"
            target.mkdir()
            many = run(root, [*more, "-o", str(target)])
            if number:  # the first warms the disk
                times[name].append(one)
                rest = arguments.prompts - 1
                times[f"{name}_next"].append(((many[0] - one[0]) / rest, (many[1] - one[1]) / rest))
    row: dict[str, object] = {"before": arguments.before, "prompts": arguments.prompts}
    medians = {
        (name, kind): statistics.median(each[place] for each in pairs)
        for name, pairs in times.items()
        for place, kind in enumerate(("wall_s", "cpu_s"))
    }
    for (name, kind), seconds in medians.items():
        row[f"{name}_{kind}"] = round(seconds, 2)
    for name in ("", "_next"):
        for kind in ("wall_s", "cpu_s"):
            share = medians[f"now{name}", kind] / medians[f"before{name}", kind]
            row[f"share{name}_{kind[:-2]}"] = round(share, 2)
    return row


def run(root: Path, arguments: list[str]) -> tuple[float, float]:
    """Run ``clipsonic generate`` of a checkout; return its wall and CPU time in seconds."""
    command = [sys.executable, "-m", "clipsonic_cli", "generate", *arguments, "--quiet"]
    began, used = time.perf_counter(), cpu_seconds()
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, cpu_seconds() - used


def cpu_seconds() -> float:
    """Return the CPU time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

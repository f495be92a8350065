"""How the cost of ``clipsonic train`` grows with the number of clips.

    python recipes/mini/videos.py --out runs/mini
    python benchmarks/train_cost.py runs/mini/videos.jsonl --clips 100 1000 10000

Clips beyond the list's own are the same videos, starting later. Each size is prepared from nothing
and trained on for one epoch by the command itself, in a process of its own. Prints a JSON object a
size: seconds, and the most memory of that process and of those that decode for it.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import add_row

LATER = 0.2
"""Seconds by which a repeated video begins later."""
BATCH = 32


def main() -> None:
    """Measure, print, and add rows to the page."""
    parser = argparse.ArgumentParser(description="The cost of training by the number of clips.")
    parser.add_argument("videos", type=Path, help="a manifest (.jsonl) of videos")
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add rows to this page")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.videos.read_text(encoding="utf-8").splitlines()]
    for clips in args.clips:
        # Media are named relative to the list, which is therefore written next to the given one.
        with tempfile.NamedTemporaryFile(
            "w", dir=args.videos.parent, prefix="cost-", suffix=".jsonl", encoding="utf-8"
        ) as made:
            for number in range(clips):
                turn, row = divmod(number, len(rows))
                later = {**rows[row], "split": "train", "start": round(turn * LATER, 3)}
                made.write(json.dumps(later) + "\n")
            made.flush()
            steps = max(1, round(args.epochs * math.ceil(clips / BATCH)))
            result = {"clips": clips, **measure(Path(made.name), steps)}
            print(json.dumps(result), flush=True)
            if args.write is not None:
                add_row(args.write, __file__, result)


def measure(manifest: Path, steps: int) -> dict[str, object]:
    """Return what one training cost."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = [sys.executable, "-m", "clipsonic_cli", "train", "--data", str(manifest)]
        command += ["--output", str(home / "run"), "--name", "cost", "--quiet"]
        command += ["--steps", str(steps), "--batch-size", str(BATCH), "--sample-every", "0"]
        environment = {**os.environ, "CLIPSONIC_HOME": str(home)}
        start = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        prepared = 0.0
        most = {"preparing_mb": 0.0, "decoding_mb": 0.0, "training_mb": 0.0}
        while process.poll() is None:
            if not prepared and (home / "run" / "run.json").exists():
                prepared = time.monotonic() - start
            phase = "training_mb" if prepared else "preparing_mb"
            own, children = memory(process.pid)
            most[phase] = max(most[phase], own)
            most["decoding_mb"] = max(most["decoding_mb"], children)
            time.sleep(0.2)
        if process.returncode:
            sys.exit(f"the training ended with code {process.returncode}")
        total = time.monotonic() - start
        kept = home / "cache" / "prepared"
        lines = (home / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        loop = [json.loads(line) for line in lines]
        waited = [line["waiting"] for line in loop if "waiting" in line]
        return {
            "prepare_seconds": round(prepared, 1),
            "steps": steps,
            "epoch_seconds": round(loop[-1].get("seconds", loop[-2].get("seconds", 0.0)), 1),
            "all_seconds": round(total, 1),
            "waiting_for_data": round(sum(waited) / max(1, len(waited)), 5),
            "prepared_mb": round(sum(p.stat().st_size for p in kept.rglob("*.*")) / 1e6, 1),
            **{name: round(value) for name, value in most.items()},
        }


def memory(pid: int) -> tuple[float, float]:
    """Return the megabytes that a process holds, and those of its children together."""
    own, children = 0.0, 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        held = float(fields.get("VmRSS", "0 kB").split()[0]) / 1e3
        if int(fields["Pid"]) == pid:
            own = held
        elif int(fields["PPid"]) == pid:
            children += held
    return own, children


if __name__ == "__main__":
    main()

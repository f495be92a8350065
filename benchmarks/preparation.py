"""What it costs to prepare videos for training, side by side with another checkout's code.

    python benchmarks/preparation.py --work runs/preparation [--videos 24] [--rounds 5]
    python benchmarks/preparation.py --work runs/preparation --against CHECKOUT [--write FILE.md]

FFmpeg makes two folders of videos of 10 to 30 s, 640 x 360 at 25 frames a second, H.264 and AAC:
one of moving pictures, one of a still picture. They are kept in ``--work``. Each round prepares
each folder with the code given, in a process of its own, and with the other checkout's, by turns.
Videos are decoded in that process, and CLIP is replaced by a mean of pixels, so that the time is
that of reading, checking and decoding. The table has the least time of all rounds; it also says how
often FFmpeg opened a file, and whether both codes kept the same, byte by byte.
"""

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KINDS = ("moving", "still")
FRAME_RATE, SAMPLE_RATE, IMAGE_SIZE = 25, 44_100, 224
SHORTEST, LONGEST = 10, 30
"""Seconds of a video."""


def main() -> None:
    """Make the videos, measure, and print or write the table."""
    parser = argparse.ArgumentParser(description="The cost of preparing videos for training.")
    parser.add_argument("--work", type=Path, help="folder where the videos are kept")
    parser.add_argument("--videos", type=int, default=24, help="videos of a folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure its code, too")
    parser.add_argument("--write", type=Path, help="write the table here")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare is not None:
        print(json.dumps(prepare_once(arguments.prepare)))
        return
    if arguments.work is None:
        parser.error("--work is needed")
    checkouts = [Path(__file__).parents[1]]
    if arguments.against is not None:
        checkouts.insert(0, arguments.against.resolve())
    rows = []
    for kind in KINDS:
        folder = make_videos(arguments.work / f"{kind}-{arguments.videos}", kind, arguments.videos)
        rounds: dict[Path, list[dict[str, Any]]] = {checkout: [] for checkout in checkouts}
        for _ in range(arguments.rounds):
            for checkout in checkouts:
                rounds[checkout].append(measure(folder, checkout))
                print(kind, commit_of(checkout), rounds[checkout][-1], flush=True)
        rows += [row(kind, commit_of(checkout), rounds[checkout]) for checkout in checkouts]
        kept = {one["kept"] for some in rounds.values() for one in some}
        if len(kept) > 1:
            sys.exit(f"What is kept of the {kind} videos differs: {', '.join(sorted(kept))}.")
    table = "\n".join([*head(arguments), *rows])
    print(table)
    if arguments.write is not None:
        arguments.write.write_text(table + "\n", encoding="utf-8")


def make_videos(folder: Path, kind: str, count: int) -> Path:
    """Make the videos of one kind that are not there yet; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:03d}.mp4"
        if path.exists():
            continue
        seconds = SHORTEST + (LONGEST - SHORTEST) * number // max(1, count - 1)
        picture = f"testsrc2=s=640x360:r={FRAME_RATE},hue=h={15 * number}"
        picture += f",noise=alls=8:allf=t:all_seed={number}"
        if kind == "still":
            picture = f"smptehdbars=s=640x360:r={FRAME_RATE},hue=h={15 * number}"
        sound = f"anoisesrc=c=pink:r={SAMPLE_RATE}:a=0.3:seed={number}"
        partial = path.with_suffix(".part")
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
        command += ["-f", "lavfi", "-i", sound, "-t", str(seconds), "-pix_fmt", "yuv420p"]
        command += ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "700k"]
        command += ["-c:a", "aac", "-b:a", "128k", "-f", "mp4", str(partial)]
        subprocess.run(command, check=True)
        partial.rename(path)
    return folder


def measure(folder: Path, checkout: Path) -> dict[str, Any]:
    """Prepare a folder with the code of a checkout, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--prepare", str(folder.resolve())]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    measured: dict[str, Any] = json.loads(process.stdout)
    return measured


def prepare_once(folder: Path) -> dict[str, object]:
    """Prepare a folder with the package that Python finds; return the cost, and what is kept."""
    import av
    import numpy as np
    import torch

    from clipsonic_cli.data.check import Rules
    from clipsonic_cli.data.listing import list_clips
    from clipsonic_cli.preparation import prepare as module

    class Means:
        """An image encoder at no cost: the means of 14 x 14 fields."""

        identity = "means"
        config = SimpleNamespace(image_size=IMAGE_SIZE)

        def embed_squares(self, squares: np.ndarray) -> torch.Tensor:
            fields = squares.reshape(len(squares), 14, IMAGE_SIZE // 14, 14, IMAGE_SIZE // 14, 3)
            return torch.from_numpy(fields.mean((2, 4)).reshape(len(squares), -1) / 255)

    opened = 0
    really = av.open

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal opened
        opened += 1
        return really(*args, **kwargs)

    av.open = counting
    module.SHARD_SECONDS = math.inf  # one shard, whose name is a digest of its content
    encoder: Any = Means()
    clips = list_clips(str(folder)).clips
    made = vars(module)["PreparationConfig"]  # wherever the other checkout keeps it
    config = made(encoder=encoder.identity, waves=True)
    with tempfile.TemporaryDirectory() as kept:
        wall, cpu = time.perf_counter(), time.process_time()
        module.prepare(clips, Path(kept), config, clip_encoder=encoder, rules=Rules(), workers=0)
        return {
            "videos": len(clips),
            "seconds": round(time.perf_counter() - wall, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "opened": opened,
            "kept": " ".join(sorted(path.name for path in Path(kept).glob("*.safetensors"))),
        }


def commit_of(checkout: Path) -> str:
    """Return the commit of a checkout, with a "+" where files differ from it."""

    def git(*command: str) -> str:
        ran = subprocess.run(
            ["git", "-C", str(checkout), *command], capture_output=True, text=True, check=True
        )
        return ran.stdout.strip()

    changed = git("status", "--porcelain", "--", "clipsonic_cli")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)


def row(kind: str, commit: str, rounds: list[dict[str, Any]]) -> str:
    """Return a row of the table: the least of all rounds, a video."""
    videos = rounds[0]["videos"]
    wall, cpu, opened = (
        min(one[name] for one in rounds) / videos for name in ("seconds", "cpu_seconds", "opened")
    )
    return f"| {kind} | {commit} | {opened:g} | {1000 * cpu:.0f} | {1000 * wall:.0f} |"


def head(arguments: argparse.Namespace) -> list[str]:
    """Return what stands above the rows."""
    import av

    date = datetime.datetime.now(datetime.UTC).date()
    return [
        "# Preparation of videos",
        "",
        f"`python benchmarks/preparation.py`, {date}, PyAV {av.__version__}, one core of an "
        f"{platform.machine()} CPU.",
        f"{arguments.videos} videos a kind, {SHORTEST} to {LONGEST} s (on average "
        f"{(SHORTEST + LONGEST) // 2}), 640 x 360, H.264 and AAC; one frame a second is kept.",
        f"The least of {arguments.rounds} rounds, by turns. All codes of a kind kept the same, "
        "byte by byte.",
        "",
        "| videos | commit | containers opened a video | CPU ms a video | wall ms a video |",
        "|---|---|---|---|---|",
    ]


if __name__ == "__main__":
    main()

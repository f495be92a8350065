"""Cost of scoring audio files, and of VGGish next to the public package.

    python benchmarks/score.py [--sounds 60 512 2048]
    pip install --no-deps torchvggish resampy && pip install numba
    python benchmarks/score.py --vggish 512

Without ``--vggish``: ``clipsonic eval --metrics fad clap`` itself, in a process of its own, on that
many sounds of 4 s and as many to compare with. With it: the features of that many sounds by our
VGGish and by torchvggish, which goes file by file, with the same random weights, by turns. Prints a
JSON object a measurement.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from pages import add_row
from torch.utils.flop_counter import FlopCounterMode

from clipsonic_cli.audio import files
from clipsonic_cli.metrics.features import embed_sounds
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import VGGish
from clipsonic_cli.types import Waveform

SAMPLE_RATE = 16_000
SECONDS = 4.0
KINDS = ("rain", "dog", "violin", "bell")


def main() -> None:
    """Measure, print, and add rows to the page."""
    parser = argparse.ArgumentParser(description="The cost of scoring sounds.")
    parser.add_argument("--sounds", type=int, nargs="+", default=[60, 512, 2048])
    parser.add_argument("--vggish", type=int, metavar="N", help="compare VGGish on N sounds")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add rows to this page")
    arguments = parser.parse_args()

    def report(result: dict[str, object]) -> None:
        print(json.dumps(result), flush=True)
        if arguments.write is not None:
            add_row(arguments.write, __file__, result)

    with tempfile.TemporaryDirectory() as folder:
        if arguments.vggish is not None:
            paths = write_sounds(Path(folder), arguments.vggish, seed=0)
            report(beside_torchvggish(paths))
            return
        for count in arguments.sounds:
            made, truth = Path(folder, f"made-{count}"), Path(folder, f"truth-{count}")
            write_sounds(made, count, seed=0)
            write_sounds(truth, count, seed=1)
            report(of_command(made, truth, count))


def write_sounds(folder: Path, count: int, *, seed: int) -> list[Path]:
    """Write tones in noise; what they sound like costs nothing."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    time_axis = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    paths = []
    for number in range(count):
        tone = np.sin(2 * np.pi * random.uniform(100, 4000) * time_axis)
        samples = 0.3 * tone + 0.1 * random.standard_normal(len(time_axis))
        paths.append(folder / f"{KINDS[number % len(KINDS)]}-{number:05d}.wav")
        soundfile.write(paths[-1], samples, SAMPLE_RATE)
    return paths


def of_command(made: Path, truth: Path, count: int) -> dict[str, object]:
    """Return the cost of the whole command, its start included."""
    command = [sys.executable, "-m", "clipsonic_cli", "eval", "--metrics", "fad:mini", "clap:mini"]
    command += ["--generated", str(made), "--reference", str(truth)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--output", str(made.with_name("out")), "--quiet"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the evaluation ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "sounds": count,
        "to_compare_with": count,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "most_memory_mb": round(usage.ru_maxrss * 1024 / 1e6),
        "threads": torch.get_num_threads(),
    }


def beside_torchvggish(paths: list[Path]) -> dict[str, object]:
    """Return the time of both, and of the matrix products that neither can do without."""
    from torchvggish import torchvggish, vggish_input

    torch.manual_seed(0)
    theirs = torchvggish.VGG(torchvggish.make_layers(), postprocess=False).eval()
    network = build(VGGish, theirs.state_dict(), "VGGish")
    ours = VGGishBackbone(network)

    def our_features() -> torch.Tensor:
        sounds = (
            (path.stem, Waveform(samples=files.read(path, SAMPLE_RATE), sample_rate=SAMPLE_RATE))
            for path in paths
        )
        return embed_sounds(sounds, ours).rows.relu()  # ours are from before the last rectification

    @torch.no_grad()
    def their_features() -> torch.Tensor:
        return torch.cat([theirs(vggish_input.wavfile_to_examples(str(path))) for path in paths])

    times: dict[str, list[float]] = {"ours": [], "torchvggish": []}
    rows: dict[str, torch.Tensor] = {}
    turns: list[tuple[str, Callable[[], torch.Tensor]]] = [
        ("ours", our_features),
        ("torchvggish", their_features),
    ]
    for _ in range(2):
        for name, features in turns:
            start = time.perf_counter()
            rows[name] = features()
            times[name].append(time.perf_counter() - start)
    best = {name: min(some) for name, some in times.items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 96, 64))
    size = 2048
    square = torch.randn(size, size)
    start = time.perf_counter()
    for _ in range(5):
        square @ square
    rate = 5 * 2 * size**3 / (time.perf_counter() - start)
    limit = counter.get_total_flops() * len(rows["ours"]) / rate
    return {
        "sounds": len(paths),
        "windows": len(rows["ours"]),
        "seconds": {name: round(value, 1) for name, value in best.items()},
        "ratio": round(best["torchvggish"] / best["ours"], 2),
        "matmul_limit_seconds": round(limit, 1),
        "of_the_limit": round(limit / best["ours"], 2),
        "largest_difference": float((rows["ours"] - rows["torchvggish"]).abs().max()),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()

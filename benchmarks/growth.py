"""What a sound costs as it grows longer, and as prompts and candidates grow in number.

    python benchmarks/growth.py [--steps 4] [--only seconds prompts candidates] [--write FILE.md]

Each is one sound or list of ``mini`` in a process of its own: 4 to 256 seconds; 1 to 64 prompts of
a file, of 4 s each; 1 to 16 candidates of the prior (mode ``pd``). Few steps, as all of
a sound's are alike. ``each`` is what a second, prompt or candidate more costs, in processor seconds
and MB, from the row before: where cost is linear it stays, and where memory is flat it is 0. Prints
one JSON object a row.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pages import add_row, device_name
from process import measured

NOTE = (
    "Sounds of `mini` in few steps, as all of a sound's are alike. `each`: what a second, prompt "
    "or candidate more costs from the row before. It stays where cost is linear, and is near 0 "
    "where memory is flat. A second of a waveform is 0.06 MB; Griffin-Lim computes up to 49 s at "
    "once, in 0.1 GB."
)
SIZES = {"seconds": (4, 16, 64, 256), "prompts": (1, 8, 64), "candidates": (1, 4, 16)}
LABELS = ("violin", "dog", "piano", "sea waves", "drum kit", "cat", "trumpet", "train")

WITH_CANDIDATES = """
import sys
from clipsonic_cli import ClipSonic
from clipsonic_cli.config import Recipe
text, candidates, steps = sys.argv[1:]
recipe = Recipe(text=text, mode="pd", candidates=int(candidates), steps=int(steps), seed=0)
next(ClipSonic.load("mini").generate([recipe]))
"""
"""The number of candidates is a setting of recipes only."""


def main() -> None:
    """Measure, print, and add the rows to the page."""
    parser = argparse.ArgumentParser(description="Cost as sounds grow.")
    parser.add_argument("--steps", type=int, default=4, help="of the sampler; default: 4")
    parser.add_argument("--only", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add rows to this page")
    arguments = parser.parse_args()
    for name in arguments.only:
        for row in measure(name, arguments.steps):
            print(json.dumps({"machine": device_name(), **row}), flush=True)
            if arguments.write:
                add_row(arguments.write, __file__, row, note=NOTE)


def measure(name: str, steps: int) -> Iterator[dict[str, object]]:
    """Yield a row for each size of what grows."""
    before = None
    for size in SIZES[name]:
        with tempfile.TemporaryDirectory() as folder:
            now = measured(command(name, size, steps, Path(folder)))
        row: dict[str, object] = {"grows": name, "to": size, "steps": steps}
        row |= {"cpu_s": round(now.cpu, 1), "peak_mb": round(now.peak)}
        each: tuple[float | str, float | str] = ("", "")
        if before is not None:
            more = size - before[0]
            each = (
                round((now.cpu - before[1].cpu) / more, 3),
                round((now.peak - before[1].peak) / more, 2),
            )
        yield row | {"cpu_s_each": each[0], "mb_each": each[1]}
        before = size, now


def command(name: str, size: int, steps: int, folder: Path) -> list[str]:
    """Return the arguments of a Python that makes the sounds of a size, in a folder."""
    texts = [f"a photo of {LABELS[n % len(LABELS)]}" for n in range(size)]
    if name == "candidates":
        return ["-c", WITH_CANDIDATES, texts[0], str(size), str(steps)]
    prompts = folder / "prompts.txt"
    prompts.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    many = ["--file", str(prompts)]
    query = many if name == "prompts" else [texts[0], "--seconds", str(size)]
    options = ["--steps", str(steps), "--output", f"{folder}/", "--quiet"]
    return ["-m", "clipsonic_cli", "generate", *query, *options]


if __name__ == "__main__":
    main()

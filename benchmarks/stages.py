"""Where the time of one ``clipsonic generate`` goes, from the shell to the file.

    python benchmarks/stages.py [--modes db pd] [--rounds 3] [--write FILE.md]

A sound of 4 s by ``mini`` and its defaults, in a process of its own, in processor seconds: medians
of several runs. Imports are Python's and all modules', and what reads the command; the time of a
stage is without that of loading its network. Draws one bar a mode next to the page, for which it
needs matplotlib. Prints one JSON object a mode.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pages import add_row, device_name
from process import measured

STAGES = ("import", "load", "encode", "prior", "sample", "vocode", "write")


def main() -> None:
    """Measure, print, and add the rows and the figure to the page."""
    parser = argparse.ArgumentParser(description="Stages of a command.")
    parser.add_argument("--modes", nargs="+", default=["db", "pd"], help="of mini")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add rows to this page")
    parser.add_argument("--here", metavar="MODE", help="run the command in this process")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(stages_of(arguments.here)))
        return
    rows = {mode: measure(mode, arguments.rounds) for mode in arguments.modes}
    for mode, row in rows.items():
        seconds = {f"{name}_s": round(row[name], 2) for name in row}
        row = {"mode": mode, "rounds": arguments.rounds, **seconds}
        print(json.dumps({"machine": device_name(), **row}))
        if arguments.write:
            add_row(arguments.write, __file__, row)
    if arguments.write:
        draw(rows, arguments.write.with_suffix(".svg"))


def measure(mode: str, rounds: int) -> dict[str, float]:
    """Return the median processor seconds of each stage, and of the whole command."""
    runs = []
    for _ in range(rounds):
        run = measured([__file__, "--here", mode])
        stages = json.loads(run.stdout)
        # What no stage took: imports, from the start of Python to its end.
        stages["import"] = run.cpu - sum(stages.values())
        runs.append(stages | {"all": run.cpu})
    return {name: statistics.median(run[name] for run in runs) for name in (*STAGES, "all")}


def stages_of(mode: str) -> dict[str, float]:
    """Run a command in this process; return the processor seconds of its stages but imports."""
    from clipsonic_cli import stages
    from clipsonic_cli.cli import main as command
    from clipsonic_cli.encoders.clip import ClipModel
    from clipsonic_cli.parts import Parts
    from clipsonic_cli.sound import Sound

    clock = Clock()
    for name in ("_load_network", "_load_denoiser", "_load_vocoder"):
        clock.time("load", Parts, name)
    clock.time("encode", ClipModel, "embed_text")
    clock.time("prior", stages, "encode")
    clock.time("sample", stages, "sample")
    clock.time("vocode", stages, "vocode")
    clock.time("write", Sound, "write")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--mode", mode, "--seed", "0", "--quiet", "-o", f"{folder}/sound.wav"]
        sys.argv = ["clipsonic", "generate", "a photo of violin", *options]
        output, sys.stdout = sys.stdout, sys.stderr
        try:
            command()
        except SystemExit as end:
            if end.code:
                raise
        finally:
            sys.stdout = output
    return {name: clock.seconds[name] for name in STAGES if name != "import"}


class Clock:
    """Counts the processor seconds of methods by stage, without those of stages within them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.process_time()

    def time(self, stage: str, owner: type | ModuleType, name: str) -> None:
        """Count the calls of a class's method, or of a module's function, as a stage."""
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*positional: Any, **named: Any) -> Any:
            self._turn()
            self._running.append(stage)
            try:
                return method(*positional, **named)
            finally:
                self._turn()
                self._running.pop()

        setattr(owner, name, timed)

    def _turn(self) -> None:
        """Count what passed since the last turn for the stage that ran."""
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def draw(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Draw a stacked bar for each mode."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.6 * len(rows)))
    for place, (mode, row) in enumerate(rows.items()):
        left = 0.0
        for number, stage in enumerate(STAGES):
            label = stage if place == 0 else None
            axes.barh(f"mode {mode}", row[stage], left=left, color=f"C{number}", label=label)
            left += row[stage]
    axes.set_xlabel("processor seconds")
    axes.invert_yaxis()
    axes.legend(ncols=len(STAGES), fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Time that each way over CLIP's gap takes for one text, after CLIP itself.

    python benchmarks/text_ways.py [--size paper|mini] [--rounds 30]

The networks and vectors are random, at the sizes a model stores: 4096 frames for ``ms``, ``ra`` and
``rt``, and a bridge of 12 steps for ``db``. The prior's time is measured by ``prior.py``. Medians
of the time of one CPU thread, by turns, so that other work does not count. Prints one JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pages import add_row, device_name
from torch import Tensor
from torch.nn.functional import normalize

from clipsonic_cli.config import BridgeConfig, DiffusionConfig, StatisticsConfig
from clipsonic_cli.encoders.bridge import BridgeEncoder
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.encoders.transfer import MeanShiftEncoder, ReAlignEncoder, RetrievalEncoder
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.statistics import Statistics

DIMS = {"paper": 768, "mini": 256}
PROCESS = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)


class NoClip(ClipModel):
    """Stands where a CLIP does, as the benchmark begins after it."""

    def __init__(self, dim: int) -> None:
        self._dim = dim

    @property
    def dim(self) -> int:
        """Return the size of its vectors."""
        return self._dim


def main() -> None:
    """Measure, print, and add a row to the page."""
    parser = argparse.ArgumentParser(description="Time of each way from text.")
    parser.add_argument("--size", choices=DIMS, default="paper")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dim = DIMS[arguments.size]
    generator = torch.Generator().manual_seed(0)
    numbers = Statistics(StatisticsConfig(dim=dim))
    numbers.frames.copy_(normalize(torch.randn(numbers.frames.shape, generator=generator), dim=1))
    numbers.frame_variance.fill_(1 / dim)
    numbers.text_variance.fill_(1 / dim)
    clip = NoClip(dim)
    ways = {
        "ms": MeanShiftEncoder(clip, numbers),
        "ra": ReAlignEncoder(clip, numbers),
        "rt": RetrievalEncoder(clip, numbers),
        "db": BridgeEncoder(clip, Bridge(BridgeConfig(dim=dim)).eval(), PROCESS),
    }
    text = normalize(torch.randn(1, dim, generator=generator), dim=1)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds + 1):
        for name, way in ways.items():
            times[name].append(milliseconds(way.move, text))
    row = {f"{name}_ms": round(statistics.median(rows[1:]), 3) for name, rows in times.items()}
    print(json.dumps({"machine": device_name(), "size": arguments.size, **row}))
    if arguments.write:
        add_row(arguments.write, __file__, {"size": arguments.size, **row})


def milliseconds(move: Callable[[Tensor], Tensor], text: Tensor) -> float:
    """Return how long a core works on one text."""
    began = time.process_time()
    move(text)
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()

"""Table 5: the CLAP score of the best, the mean and the worst 4 s of each sound."""

from collections.abc import Iterator

import torch

from clipsonic_cli.metrics.features import Features, per_sound_mean
from clipsonic_cli.metrics.metric import Measured, Metric, mean
from clipsonic_cli.metrics.similarity import cosines
from clipsonic_cli.metrics.windows import Windows


def compare(made: Features, prompts: Features, generator: torch.Generator) -> Iterator[Measured]:
    """Yield "clap-windows-max", "-mean" and "-min" over each sound's windows, averaged over sounds.

    A sound of 4 s or less, or embedded whole, is a single window, and all three are its CLAP score.
    For a window of several rows, their mean cosine counts.

    Source:
        CLIPSonic appendix B and Table 5.
    """
    windows = made.windows or tuple((count,) for count in made.counts)
    of_windows = per_sound_mean(cosines(made, prompts), [rows for some in windows for rows in some])
    of_each = torch.split(of_windows, [len(some) for some in windows])
    for name, reduce in (("max", torch.amax), ("mean", torch.mean), ("min", torch.amin)):
        values = torch.stack([reduce(some, 0) for some in of_each])
        yield mean(f"clap-windows-{name}", values, generator)


METRIC = Metric(
    name="clap-windows",
    title="CLAP score in windows of 4 s",
    better="higher",
    backbone="clap",
    against="prompts",
    compare=compare,
    windows=Windows(seconds=4.0, hop=0.5),
)

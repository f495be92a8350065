"""How far sounds are from the solution, against the number of the network's calls.

    python benchmarks/network_calls.py --work runs/calls
    python benchmarks/network_calls.py --work runs/calls --write benchmarks/results/network_calls.md
    python benchmarks/network_calls.py --work runs/few --sounds 2 --solution 60 --steps 6

Samples mini's U-Net as ``sampler_steps.py`` does, by every sampler that draws no noise, with evenly
spaced timesteps and with those in its file, which were chosen by other noise than is sampled here,
and by every guidance rule. Distance is the mean absolute difference of the natural-log mel from the
solution of the same noise by the same rule in many steps of ``dpmpp``; a call is one of the network
for one sound, so that a guided step has two. ``--scores`` adds ``clap[mini]`` and ``fad[mini]``,
which need all 24 sounds. Mels are kept in ``--work``, and an interrupted run goes on. Needs
matplotlib for the figure. Hours on one core of a CPU with the defaults.
"""

import argparse
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pages import commit, device_name
from sampler_steps import FRAMES, LABELS, Judge, recipe
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.mel import denormalize
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.step_grids import SOLVERS
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Denoiser
from clipsonic_cli.store.bundle import read_header
from clipsonic_cli.store.model_folders import BUNDLED
from clipsonic_cli.store.step_grids import step_grid

W = 1.5
FIRST_SEED = 100
"""Of the sounds; timesteps are chosen with the noise of smaller seeds."""
STEPS = (4, 6, 8, 10, 12, 16, 20, 25)


@dataclass(frozen=True)
class Run:
    """One way to sample."""

    rule: str
    sampler: str
    grid: str
    """"even" or "chosen"."""
    steps: int

    def place(self, work: Path) -> Path:
        """Return the file of its mels."""
        return work / f"{self.rule}-{self.sampler}-{self.grid}-{self.steps}.pt"


def main() -> None:
    """Measure, and write the table and the figure of what is in ``--work``."""
    parser = argparse.ArgumentParser(description="Distance to the solution by network calls.")
    parser.add_argument("--work", type=Path, required=True, help="folder where mels are kept")
    parser.add_argument(
        "--write", type=Path, help="write the table here, and the figure next to it"
    )
    parser.add_argument("--sounds", type=int, default=len(LABELS))
    parser.add_argument("--solution", type=int, default=1000, help="steps of the solution")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--rules", nargs="+", default=list(GUIDANCE_RULES))
    parser.add_argument("--samplers", nargs="+", default=list(SOLVERS))
    parser.add_argument("--scores", action="store_true", help="score the sounds in the table")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    solutions = {rule: Run(rule, "dpmpp", "even", arguments.solution) for rule in arguments.rules}
    runs = [
        Run(rule, sampler, grid, steps)
        for rule in arguments.rules
        for sampler in arguments.samplers
        for grid in ("even", "chosen")
        for steps in arguments.steps
    ]
    if arguments.write is None:
        sampling = Sampling(arguments.sounds)
        for run in [*runs, *solutions.values()]:
            if not run.place(arguments.work).is_file():
                torch.save(sampling(run), run.place(arguments.work))
                print(run.place(arguments.work).name, flush=True)
        return
    rows = measured(arguments.work, runs, solutions)
    text = table(
        rows, arguments.scores, f"{arguments.sounds} sounds, solution in {arguments.solution} steps"
    )
    arguments.write.write_text(text, encoding="utf-8")
    draw(rows, arguments.write.with_suffix(".svg"))


class Sampling:
    """Samples the same noise in any way."""

    def __init__(self, sounds: int) -> None:
        sonic = ClipSonic.load("mini", device="cpu", dtype="float32")
        self.parts: Denoiser = sonic.parts.denoiser("unet")
        encode = sonic.parts.encoder(MODES["pd"], candidates=2)
        self.seeds = range(FIRST_SEED, FIRST_SEED + sounds)
        queries = [recipe(n, W).query for n in range(sounds)]
        with torch.no_grad():
            self.cond = encode(queries, noise=SeededNoise(self.seeds)).embed
        self.header = read_header(BUNDLED / "mini" / "unet.safetensors")

    @torch.no_grad()
    def __call__(self, run: Run) -> dict[str, Any]:
        """Return the natural-log mels (B, 1, 64, 64), and the calls of the network a sound."""
        unet, process, spec = self.parts.unet, self.parts.process, self.parts.spec
        rows = 0

        def model(x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            nonlocal rows
            rows += len(x_t)
            output: Tensor = unet(x_t, process.network_time(t), cond)
            return output

        rule = GUIDANCE_RULES.load(run.rule)(W, process)
        denoise = guided(model, self.cond, unet.null_cond[None].float(), rule)
        noise = SeededNoise(self.seeds)
        x_T = noise((len(self.seeds), 1, spec.n_mels, FRAMES))  # noqa: N806
        timesteps = spaced_timesteps(process.config.train_steps, run.steps)
        if run.grid == "chosen":
            chosen = step_grid(self.header, run.sampler, run.steps)
            assert chosen is not None  # mini's file has them
            timesteps = chosen
        x_0 = SAMPLERS.load(run.sampler)(denoise, x_T, timesteps, process, noise=noise)
        return {"mel": denormalize(x_0, spec), "calls": rows / len(self.seeds)}


Row = tuple[Run, float, Tensor, Tensor]
"""A way, its calls, the distance of each sound, and the mels."""


def measured(work: Path, runs: list[Run], solutions: dict[str, Run]) -> list[Row]:
    """Return what was sampled so far."""
    rows = []
    for run in runs:
        places = run.place(work), solutions[run.rule].place(work)
        if all(place.is_file() for place in places):
            found, solved = (torch.load(place, weights_only=True) for place in places)
            far = (found["mel"] - solved["mel"]).abs().mean(dim=(1, 2, 3))
            rows.append((run, found["calls"], far, found["mel"]))
    return rows


def table(rows: list[Row], scores: bool, about: str) -> str:
    """Format the rows as a page of Markdown, by rule and then by the number of calls."""
    judge = Judge() if scores else None
    more = " clap[mini] | fad[mini] |" if scores else ""
    date = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Distance to the solution by network calls",
        "",
        f"`python benchmarks/network_calls.py`, {date}, commit {commit()}, "
        f"torch {torch.__version__}, {device_name()}, float32.",
        f"mini, mode pd, w {W:g}, 2.048 s; {about}. Distance in nepers (8.7 dB) of the mel.",
        "",
        f"| guidance | sampler | timesteps | steps | calls | distance | worst |{more}",
        f"|---|---|---|---|---|---|---|{'---|---|' if scores else ''}",
    ]
    for run, calls, far, mel in sorted(rows, key=lambda row: (row[0].rule, row[1])):
        cells = [run.rule, run.sampler, run.grid, run.steps, f"{calls:g}"]
        cells += [f"{far.mean():.3f}", f"{far.max():.3f}"]
        if judge is not None:
            cells += [f"{value:.3f}" for value in judge(mel)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def draw(rows: list[Row], path: Path) -> None:
    """Draw the distance over the calls: a panel for each guidance rule."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rules = list(dict.fromkeys(run.rule for run, *_ in rows))
    figure, panels = pyplot.subplots(
        1, len(rules), figsize=(3.4 * len(rules), 3.2), sharey=True, squeeze=False
    )
    for panel, rule in zip(panels[0], rules, strict=True):
        lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for run, calls, far, _ in rows:
            if run.rule == rule:
                points = lines.setdefault((run.sampler, run.grid), [])
                points.append((calls, far.mean().item()))
        for (sampler, grid), points in lines.items():
            xs, ys = zip(*sorted(points), strict=True)
            color = f"C{SOLVERS.index(sampler)}"
            style = "-" if grid == "chosen" else ":"
            panel.semilogy(xs, ys, style, color=color, marker=".", label=f"{sampler}, {grid}")
        panel.set(title=rule, xlabel="network calls")
    panels[0][0].set_ylabel("distance (nepers)")
    panels[0][-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""How many steps each sampler needs: distance to a solution of many steps, and scores of sounds.

    python benchmarks/sampler_steps.py --work runs/steps
    python benchmarks/sampler_steps.py --work runs/steps --write benchmarks/results/sampler_steps.md

Samples mini's U-Net on its training window (64 frames, 2.048 s) in mode ``pd`` for one seed of each
of 24 labels. The same noise is solved by the same sampler in few steps and by ``dpmpp`` in many
(1000 at the paper's w), so that the distance of the two mels is the solver's error alone. The
sounds (Griffin-Lim) are scored by the network inside clipsonic: ``clap[mini]`` against prompts
and ``fad[mini]`` against the statistics of true sounds that come with mini. Mels are kept in
``--work``, and an interrupted run goes on. About an hour on one core of a CPU.
"""

import argparse
import datetime
from pathlib import Path
from typing import Any

import torch
from pages import commit, device_name
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.mel import denormalize
from clipsonic_cli.config import Recipe
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.metrics import METRICS
from clipsonic_cli.metrics.features import embed_prompts, embed_sounds
from clipsonic_cli.metrics.frechet import read_statistics
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.model_folders import BUNDLED
from clipsonic_cli.types import Waveform

LABELS = (
    *("violin", "piano", "dog", "cat", "flute", "drum kit", "rooster", "acoustic guitar"),
    *("cow", "trumpet", "sea waves", "helicopter", "frog", "xylophone", "applause", "bell"),
    *("cello", "harp", "saxophone", "organ", "sheep", "owl", "songbird", "telephone"),
)
FRAMES = 64
STEPS = (6, 8, 10, 12, 16, 20, 25, 50)
GUIDANCE = (1.5, 1.0, 3.0)
MANY = {1.5: 1000, 1.0: 100, 3.0: 100}
"""Steps of ``dpmpp`` that count as the solution, by w."""
OF_DDPM = (25, 50, 100)
"""Steps of ``ddpm``, at the first w: its draws have no solution to be near to."""


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Steps of each sampler against its error.")
    parser.add_argument("--work", type=Path, required=True, help="folder where mels are kept")
    parser.add_argument("--write", type=Path, help="write the table here, of what is in --work")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.write is not None:
        arguments.write.write_text(table(arguments.work), encoding="utf-8")
        return
    sonic = ClipSonic.load("mini", device="cpu", dtype="float32")
    for sampler, steps, w in runs():
        path = place(arguments.work, sampler, steps, w)
        if not path.is_file():
            torch.save(mels(sonic, sampler, steps, w), path)
            print(path.name, flush=True)


def runs() -> list[tuple[str, int, float]]:
    """Return what is sampled: sampler, steps and w."""
    few = [("dpmpp", steps, w) for w in GUIDANCE for steps in STEPS]
    few += [("ddim", steps, GUIDANCE[0]) for steps in STEPS]
    few += [("ddpm", steps, GUIDANCE[0]) for steps in OF_DDPM]
    halfway = [("dpmpp", 100, w) for w in GUIDANCE]  # tells what 100 steps are short of 1000
    return [*few, *halfway, ("dpmpp", MANY[GUIDANCE[0]], GUIDANCE[0])]


def place(work: Path, sampler: str, steps: int, w: float) -> Path:
    """Return the file of some mels."""
    return work / f"{sampler}-{steps}-w{w:g}.pt"


@torch.no_grad()
def mels(sonic: ClipSonic, sampler: str, steps: int, w: float) -> Tensor:
    """Compute the natural-log mels (24, 1, 64, 64) of all pairs."""
    denoiser = sonic.parts.denoiser("unet")
    noise = SeededNoise(range(len(LABELS)))
    encode = sonic.parts.encoder(MODES["pd"], candidates=2)
    cond = encode([recipe(n, w).query for n in range(len(LABELS))], noise=noise).embed
    uncond = denoiser.unet.null_cond[None].float()
    process = denoiser.process
    denoise = guided(
        lambda x_t, t, c: denoiser.unet(x_t, process.network_time(t), c),
        cond,
        uncond,
        Constant(w, process),
    )
    x_T = noise((len(cond), 1, denoiser.spec.n_mels, FRAMES))  # noqa: N806
    timesteps = spaced_timesteps(process.config.train_steps, steps)
    x_0 = SAMPLERS.load(sampler)(denoise, x_T, timesteps, process, noise=noise)
    return denormalize(x_0, denoiser.spec)


def recipe(number: int, w: float) -> Recipe:
    """Return the recipe of a pair of label and seed."""
    return Recipe(text=f"a photo of {LABELS[number]}", seed=number, guidance=w)


def table(work: Path) -> str:
    """Format the results as a page of Markdown."""
    judge = Judge()
    head = "| sampler | w | steps | distance (nepers) | worst of 24 | clap[mini] | fad[mini] |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for sampler, steps, w in runs():
        path, solved = place(work, sampler, steps, w), place(work, "dpmpp", MANY[w], w)
        if not path.is_file():
            continue
        found = torch.load(path, weights_only=True)
        distance = "- | -"
        if sampler != "ddpm" and solved.is_file() and path != solved:
            far = (found - torch.load(solved, weights_only=True)).abs().mean(dim=(1, 2, 3))
            distance = f"{far.mean():.3f} | {far.max():.3f}"
        clap, fad = judge(found)
        lines.append(f"| {sampler} | {w:g} | {steps} | {distance} | {clap:.3f} | {fad:.3f} |")
    return "\n".join([*heading(), *lines, ""])


class Judge:
    """Scores by the network inside clipsonic."""

    def __init__(self) -> None:
        self.sonic = ClipSonic.load("mini", device="cpu", dtype="float32")
        self.spec = self.sonic.parts.denoiser("unet").spec
        self.backbone = MiniBackbone.load(torch.device("cpu"))
        self.truth = read_statistics(
            BUNDLED / "mini" / "truth.npz", backbone="mini", identity=self.backbone.identity
        )
        texts = {str(n): recipe(n, 1.0).query.text or "" for n in range(len(LABELS))}
        self.read = embed_prompts(texts, self.backbone)

    def __call__(self, mel: Tensor) -> tuple[float, float]:
        """Return clap[mini] and fad[mini] of mels (24, 1, 64, 64)."""
        with torch.no_grad():
            waves = self.sonic.parts.vocoder("griffin-lim", self.spec)(mel)
        sounds = [
            (str(n), Waveform(samples=wave, sample_rate=self.spec.sample_rate))
            for n, wave in enumerate(waves)
        ]
        made = embed_sounds(sounds, self.backbone)

        def score(name: str, against: Any) -> float:
            generator = torch.Generator().manual_seed(0)
            return float(METRICS.load(name)(made, against, generator=generator)[0].value)

        return score("clap", self.read), score("fad", self.truth)


def heading() -> list[str]:
    """Return the lines above the table."""
    date = datetime.datetime.now(datetime.UTC).date()
    many = ", ".join(f"{steps} at w {w:g}" for w, steps in sorted(MANY.items()))
    return [
        "# Steps of the samplers",
        "",
        f"`python benchmarks/sampler_steps.py`, {date}, commit {commit()}, "
        f"torch {torch.__version__}, {device_name()}, float32.",
        "24 pairs of label and seed, mode pd, mini, 2.048 s. Distance: mean absolute difference of",
        f"the natural-log mel from the solution of the same noise by dpmpp in many steps ({many});",
        "1 neper is 8.7 dB. `ddpm` draws fresh noise, so it has no solution to be near to.",
        "24 sounds are few for fad[mini]: compare it within this table only.",
        "",
    ]


if __name__ == "__main__":
    main()

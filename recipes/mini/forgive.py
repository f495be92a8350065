"""What noise on the condition, crops and means of frames do to mini's U-Net, by mode.

    python recipes/mini/forgive.py --out runs/mini

Needs the videos of ``videos.py`` and the embedded model. Trains its U-Net on for some steps in each
way, all from the same weights, seed and clips. Then each mode's vector of a held-out clip is the
condition as the U-Net denoises that clip's own sound, with the same noise for every way and mode:
the smaller the error, the more the condition says of the sound. That tells more than scores of as
many sounds, and takes a tenth of their time. Runs are in ``OUT/forgive`` and are used again:
interrupted, the same command goes on. Writes ``results/forgive.md``. Two slow cores, an hour.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from clip_data import read_lines
from steps import need, run
from torch import Tensor

from clipsonic_cli import ClipSonic
from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.evaluation.test_set import ClipSpec, TestItem, draw_clips, take
from clipsonic_cli.evaluation.vectors import query_vectors
from clipsonic_cli.metrics.intervals import of_mean
from clipsonic_cli.modes import MODES

RESULTS = Path(__file__).parent / "results"
WAYS: Mapping[str, Sequence[str]] = {
    "none": (),
    "noise": ("--cond-cosine", "0.33"),
    "crops": ("--crops", "2"),
    "mean of frames": ("--mean-of", "3"),
}
"""Arguments of ``clipsonic train``; 0.33 is the cosine of mini's texts with frames, in ways.md."""
CLIPS = 800
"""Clips that are trained on or held out: preparing crops of all takes an hour."""
CONDITIONS = ("iq", "zs", "ms", "rt", "pd", "no condition")
LEVELS = (200, 400, 600, 800)
"""Steps of the 1000 at which the error is measured."""
AT_ONCE = 16
SECONDS = 4.0

Errors = Mapping[str, Tensor]
"""By mode, the mean error of each label (L,)."""


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="What conditions that forgive do, by mode.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--steps", type=int, default=100, help="of each training")
    parser.add_argument("--count", type=int, default=138, help="held-out clips")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="default: all")
    arguments = parser.parse_args()
    out: Path = arguments.out
    videos = read_lines(need(out, "videos.jsonl", "videos.py"))
    test, folder = need(out, "held-out.jsonl", "videos.py"), out / "forgive"
    data = write_list(folder / "videos.jsonl", [r for r in videos if r["split"] != "test"][:CLIPS])
    clips = draw_clips(str(test), format=None, split="test", splits=SplitDraw(seed=0), seed=0).clips
    spec = ClipSpec(seconds=SECONDS, sample_rate=16_000, image=True)
    items, _ = take(clips, arguments.count, spec, folder / "clips", seed=0, workers=0)
    errors = {}
    for way in arguments.ways:
        made = folder / way.replace(" ", "-")
        train(data, made, WAYS[way], arguments.steps)
        errors[way] = errors_of(ClipSonic.load(made / "model"), items)
        print(way, {mode: round(float(e.mean()), 5) for mode, e in errors[way].items()}, flush=True)
    text = page(errors, arguments.steps, len(items))
    (RESULTS / "forgive.md").write_text(text, encoding="utf-8")
    print(text)


def write_list(path: Path, clips: Sequence[Mapping[str, str]]) -> Path:
    """Write a list of videos in a folder next to theirs, and return its path."""
    path.parent.mkdir(exist_ok=True)
    if not (link := path.parent / "videos").exists():  # a list names files below it alone
        link.symlink_to("../videos")
    path.write_text("".join(f"{json.dumps(row)}\n" for row in clips), encoding="utf-8")
    return path


def train(data: Path, made: Path, options: Sequence[str], steps: int) -> None:
    """Train mini's U-Net on in one way; a run that is there goes on to its end."""
    if (made / "run.json").exists():
        command = ["--resume", str(made), "--steps", str(steps)]
    else:
        command = ["--data", str(data), "--warm-start", "mini", "--base", "mini", *options]
        command += ["--name", f"forgive-{made.name}", "--output", str(made), "--seed", "0"]
        command += ["--steps", str(steps), "--save-every", "20", "--sample-every", "0"]
        command += ["--text-share", "0"]
    run([sys.executable, "-m", "clipsonic_cli", "train", *command], keep=True)


@torch.inference_mode()
def errors_of(sonic: ClipSonic, items: Sequence[TestItem]) -> Errors:
    """Compute the error of the prediction, mean over levels and clips, of each label and mode.

    Args:
        sonic: A model.
        items: Held-out clips, each with sound, image and label.
    """
    modes = [MODES[name] for name in CONDITIONS if name in MODES and name != "iq"]
    vectors = {made.system: made for made in query_vectors(sonic, items, modes)}
    rows = {name: of_mode.made.rows for name, of_mode in vectors.items()}
    rows["iq"] = vectors["zs"].images.rows
    denoiser = sonic.parts.denoiser(MODES["iq"].unet)
    unet, process, spec = denoiser.unet, denoiser.process, denoiser.spec
    rows["no condition"] = unet.null_cond.detach().expand(len(items), -1)
    errors = {}
    for name in CONDITIONS:
        parts = []
        for start in range(0, len(items), AT_ONCE):
            some = items[start : start + AT_ONCE]
            files = [item.sound for item in some if item.sound is not None]
            waveforms = torch.stack([read(path, spec.sample_rate) for path in files])
            mel = normalize(LogMel(spec)(waveforms), spec)
            first = (mel.shape[-1] - denoiser.window) // 2
            x_0 = mel[..., first : first + denoiser.window]
            noise, levels = SeededNoise([item.seed for item in some]), []
            for level in LEVELS:
                t, eps = torch.full((len(some),), level), noise(x_0.shape)
                x_t = process.q_sample(x_0, t, eps)
                cond = rows[name][start : start + AT_ONCE]
                output, _ = process.split(unet(x_t, process.network_time(t), cond), x_t)
                levels.append((output - process.target(x_0, t, eps)).square().flatten(1).mean(1))
            parts.append(torch.stack(levels).mean(0))
        errors[name] = by_label(torch.cat(parts), [str(item.label) for item in items])
    return errors


def by_label(values: Tensor, labels: Sequence[str]) -> Tensor:
    """Return the mean of the values (N,) of each label (L,), in the labels' order."""
    rows = defaultdict(list)
    for value, label in zip(values, labels, strict=True):
        rows[label].append(value)
    return torch.stack([torch.stack(rows[label]).mean() for label in sorted(rows)])


def difference(own: Tensor, base: Tensor) -> tuple[float, float, float]:
    """Return the mean over labels (L,) of the relative difference, and its 95 % interval."""
    ratios = own / base - 1
    low, high = of_mean(ratios, generator=torch.Generator().manual_seed(0)) or (-1.0, 1.0)
    return float(ratios.mean()), low, high


def findings(errors: Mapping[str, Errors]) -> list[str]:
    """Return a line for each way and mode whose error differs from that without beyond chance."""
    lines = []
    for way in [way for way in errors if way != "none"]:
        for mode in CONDITIONS:
            mean, low, high = difference(errors[way][mode], errors["none"][mode])
            if low > 0 or high < 0:
                word = "smaller" if mean < 0 else "larger"
                lines.append(f"- {way}: the error of {mode} is {abs(mean):.1%} {word}")
    return lines or ["- Nothing beyond the intervals: no way differs from training on without it."]


def page(errors: Mapping[str, Errors], steps: int, count: int) -> str:
    """Return the page of results."""
    labels = len(next(iter(next(iter(errors.values())).values())))
    lines = [
        "# Conditions that forgive: noise, crops and means of frames",
        "",
        "By `recipes/mini/forgive.py`: mini's U-Net trained on "
        f"for {steps} steps on {CLIPS} videos,",
        "in each way from the same weights, seed and clips. What is measured is the mean squared",
        f"error of the prediction for {count} held-out clips of {labels} labels whose pictures "
        "no training",
        f"shows, at steps {', '.join(str(level) for level in LEVELS)} of 1000, with the same noise "
        "throughout, when",
        "the clip is requested in each mode. Smaller is better; means over labels.",
        "",
    ]
    for way in errors:
        lines.append(f"- {way}: `{' '.join(['clipsonic train', *WAYS[way]])}`")
    lines += ["", f"| training | {' | '.join(CONDITIONS)} |", f"|{'---|' * (1 + len(CONDITIONS))}"]
    for way, own in errors.items():
        lines.append(f"| {way} | {' | '.join(f'{float(own[m].mean()):.4f}' for m in CONDITIONS)} |")
    lines += ["", "Relative to training on without (95 % intervals, over labels, in brackets):", ""]
    lines += [f"| training | {' | '.join(CONDITIONS)} |", f"|{'---|' * (1 + len(CONDITIONS))}"]
    for way in [way for way in errors if way != "none"]:
        cells = []
        for mode in CONDITIONS:
            mean, low, high = difference(errors[way][mode], errors["none"][mode])
            cells.append(f"{mean:+.1%} ({low:+.1%} to {high:+.1%})")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", "## What each does beyond its interval", "", *findings(errors), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

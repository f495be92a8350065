"""Time from a text to a mel at the paper's size, by today's defaults and by those of 0.1.0.

    python benchmarks/paper_prompt.py [--dtype bfloat16|float32] [--rounds 3] [--write FILE.md]

Random weights, a sound of 4 s at w = 1.5, two candidates of the prior. 0.1.0 ran dalle2-pytorch's
network for the prior and 25 steps of ``dpmpp``; today's prior reads the text once, and ``unipc``
takes 8 steps. Everything is computed, by turns, and the fastest of several rounds counts. CLIP's
text encoder, which has not changed, is left out. Prints one JSON object.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from pages import add_row, device_name
from prior import SIZES, draw, seconds
from torch import Tensor
from torch.nn.functional import normalize

from clipsonic_cli.config import DiffusionConfig, PriorConfig, UNetConfig
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.diffusion.guidance import guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.models.unet import UNet

CANDIDATES, FRAMES, W = 2, 128, 1.5
CPU = torch.device("cpu")
VERSIONS = {"before": ("dpmpp", 25), "now": ("unipc", 8)}
"""Sampler and steps of 0.1.0's defaults and of today's."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="From a text to a mel at the paper's size.")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    prior = PriorConfig(**SIZES["paper"], attention="cosine")
    whole, cached = Prior(prior).eval(), CachedPrior(prior)
    cached.load_state_dict(whole.state_dict())
    unet = UNet(UNetConfig()).eval().to(memory_format=torch.channels_last)
    unet.to(getattr(torch, arguments.dtype))
    text_embed = normalize(torch.randn(1, prior.dim), dim=1)
    encodings = torch.randn(1, 20, prior.text_dim)

    def embed(version: str) -> Tensor:
        if version == "before":
            rows = text_embed.expand(CANDIDATES, -1), encodings.expand(CANDIDATES, -1, -1)
            return draw(lambda x_t, t: whole(x_t, t, *rows), prior.dim, CANDIDATES, CPU)
        text = cached.read(text_embed, encodings).repeat(CANDIDATES)
        return draw(lambda x_t, t: cached(x_t, t, text), prior.dim, CANDIDATES, CPU)

    def mel(version: str, cond: Tensor) -> Tensor:
        process = Process(DiffusionConfig())
        dtype = unet.null_cond.dtype

        def predict(x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
            output: Tensor = unet(x_t.to(dtype), process.network_time(t), c.to(dtype))
            return output.float()

        denoise = guided(predict, cond, unet.null_cond[None].float(), Constant(W, process))
        noise = SeededNoise([0])
        x_T = noise((1, 1, 64, FRAMES))  # noqa: N806
        sampler, steps = VERSIONS[version]
        timesteps = spaced_timesteps(process.config.train_steps, steps)
        x_0: Tensor = SAMPLERS.load(sampler)(denoise, x_T, timesteps, process, noise=noise)
        return x_0

    parts: dict[str, dict[str, float]] = {name: {} for name in VERSIONS}
    with torch.inference_mode():
        cond = embed("now")[:1]
        mel("now", cond)  # to warm up
        for _ in range(arguments.rounds):
            for name, best in parts.items():
                took = {
                    "prior": seconds(partial(embed, name), CPU),
                    "unet": seconds(partial(mel, name, cond), CPU),
                }
                for part, time in took.items():
                    best[part] = min(time, best.get(part, time))
    row: dict[str, object] = {"dtype": arguments.dtype}
    for name, best in parts.items():
        row |= {f"{name}_{part}_s": round(time, 2) for part, time in best.items()}
    row["share"] = round(sum(parts["now"].values()) / sum(parts["before"].values()), 3)
    print(json.dumps({"machine": device_name("cpu"), **row}))
    if arguments.write:
        add_row(arguments.write, __file__, row)


if __name__ == "__main__":
    main()

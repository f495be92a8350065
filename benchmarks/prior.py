"""Speed of drawing an image embedding by the prior, next to the network it is trained as.

    python benchmarks/prior.py [--size paper|mini] [--attention cosine|softmax_bias128]
        [--candidates 2] [--device cpu|cuda] [--rounds 3]

Both have the same random weights and sample the same noise in 64 steps. "Whole" runs
dalle2-pytorch's network over all positions at every step; "cached" reads the text once and runs the
last three. They go by turns, best of several after one to warm up. ``difference`` is the largest of
any number of the embeddings, which are of unit norm. The limit is the time to read the weights once
a step from memory, at the speed of their sum. Prints one JSON object.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from pages import add_row, device_name
from torch import Tensor
from torch.nn.functional import normalize

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.types import Denoise

SIZES = {
    "paper": {"dim": 768, "text_dim": 768, "depth": 12, "heads": 12, "max_text_len": 77},
    "mini": {"dim": 256, "text_dim": 384, "depth": 4, "heads": 4, "max_text_len": 64},
}
STEPS = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the prior.")
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--attention", choices=("cosine", "softmax_bias128"), default="cosine")
    parser.add_argument("--candidates", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    config = PriorConfig(**SIZES[arguments.size], attention=arguments.attention)
    torch.manual_seed(0)
    whole = Prior(config).eval()
    bias = whole.net.causal_transformer.rel_pos_bias.relative_attention_bias.weight
    torch.nn.init.normal_(bias, std=0.01)
    cached = CachedPrior(config)
    cached.load_state_dict(whole.state_dict())
    whole.to(device)
    cached.to(device)
    count = arguments.candidates
    text_embed = normalize(torch.randn(1, config.dim, device=device), dim=1)
    encodings = torch.randn(1, 20, config.text_dim, device=device)

    def draw_whole() -> Tensor:
        embed, tokens = text_embed.expand(count, -1), encodings.expand(count, -1, -1)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            return cast(Tensor, whole(x_t, t, embed, tokens))

        return draw(denoise, config.dim, count, device)

    def draw_cached() -> Tensor:
        text = cached.read(text_embed, encodings).repeat(count)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            return cast(Tensor, cached(x_t, t, text))

        return draw(denoise, config.dim, count, device)

    with torch.inference_mode():
        difference = (draw_whole() - draw_cached()).abs().max().item()
        times: dict[str, list[float]] = {"whole": [], "cached": [], "limit": []}
        size = sum(parameter.numel() for parameter in cached.parameters())
        numbers = torch.zeros(size, device=device)
        for _ in range(arguments.rounds):
            times["whole"].append(seconds(draw_whole, device))
            times["cached"].append(seconds(draw_cached, device))
            times["limit"].append(seconds(numbers.sum, device) * STEPS)
    best = {name: min(rows) for name, rows in times.items()}
    row = {
        "size": arguments.size,
        "attention": arguments.attention,
        "candidates": count,
        "parameters_m": round(size / 1e6, 1),
        "whole_s": round(best["whole"], 2),
        "cached_s": round(best["cached"], 3),
        "times_as_fast": round(best["whole"] / best["cached"], 1),
        "limit_s": round(best["limit"], 3),
        "difference": float(f"{difference:.1e}"),
    }
    print(json.dumps({"machine": device_name(arguments.device), **row}))
    if arguments.write:
        add_row(arguments.write, __file__, row, device=arguments.device)


def draw(denoise: Denoise, dim: int, count: int, device: torch.device) -> Tensor:
    """Return the embeddings (K, D) that a network's prediction of x_0 leads to."""
    process = Process(
        DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)
    )
    noise = SeededNoise(range(count))
    x_T = noise((count, dim)).to(device)  # noqa: N806 -- the papers' name
    steps = spaced_timesteps(1000, STEPS)
    return normalize(ddim.sample(denoise, x_T, steps, process, noise=noise, eta=1.0), dim=1)


def seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """Return how long something takes."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

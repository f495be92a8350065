"""How near the U-Net's guided step comes to the machine's matrix-multiplication limit.

    python benchmarks/unet.py [--size paper|mini] [--dtype float32|bfloat16] [--device cpu|cuda]

Both are measured in one run, best of several, so that the ratio holds on a busy machine too. One
guided step of 4 s of sound is a batch of two 64 x 128 mels. Prints one JSON object.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pages import add_row, device_name
from torch.utils.flop_counter import FlopCounterMode

from clipsonic_cli.config import UNetConfig
from clipsonic_cli.models.unet import UNet

SIZES = {
    "paper": UNetConfig(),
    "mini": UNetConfig(channels=32, num_res_blocks=2, cond_dim=256),
}


def best(run: Callable[[], object], device: str, times: int = 5) -> float:
    """Return the least wall time of some runs in seconds, after one to warm up."""
    seconds = []
    for _ in range(times + 1):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


@torch.inference_mode()
def main() -> None:
    """Measure, print, and add a row to the page."""
    parser = argparse.ArgumentParser(description="The U-Net next to the matmul limit.")
    parser.add_argument("--size", choices=list(SIZES), default="mini")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    args = parser.parse_args()
    dtype = getattr(torch, args.dtype)
    unet = UNet(SIZES[args.size]).eval().to(args.device, dtype)
    unet.to(memory_format=torch.channels_last)
    x_t = torch.randn(2, 1, 64, 128, device=args.device, dtype=dtype)
    t = torch.full((2,), 500.0, device=args.device)
    cond = torch.randn(2, unet.config.cond_dim, device=args.device, dtype=dtype)
    with FlopCounterMode(display=False) as counter:
        unet(x_t, t, cond)
    side = 4096 if args.device == "cuda" else 2048
    matrix = torch.randn(side, side, device=args.device, dtype=dtype)
    step = best(lambda: unet(x_t, t, cond), args.device)
    limit = 2 * side**3 / best(lambda: matrix @ matrix, args.device)
    flops = counter.get_total_flops()
    result = {
        "size": args.size,
        "dtype": args.dtype,
        "gflop_a_step": round(flops / 1e9, 2),
        "ms_a_step": round(step * 1e3, 1),
        "gflops": round(flops / step / 1e9, 1),
        "matmul_gflops": round(limit / 1e9, 1),
        "share_of_limit": round(flops / step / limit, 3),
    }
    print(json.dumps({"device": device_name(args.device), **result}))
    if args.write is not None:
        add_row(args.write, __file__, result, device=args.device)


if __name__ == "__main__":
    main()

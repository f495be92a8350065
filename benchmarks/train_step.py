"""Speed of a training step of the U-Net, next to the same step in plain PyTorch.

    python benchmarks/train_step.py [--size paper|mini] [--batch-size 32]
        [--precision float32|bfloat16] [--device cpu|cuda] [--compile] [--rounds 5]

Ours is what the trainer does between two batches, with the given settings. Plain is what
improved-diffusion's training loop does there, with the same network and the same batch, always in
float32, contiguous and not compiled: zero the gradients, the loss written out, backward, the norm
of the gradient and the losses by quarter for the log, AdamW as it comes, an average of the weights
tensor by tensor. Both are on the device before the clock runs, and go by turns, best of several
after one to warm up, as does the matrix multiplication in the same precision, which is the limit.
Prints one JSON object.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from pages import add_row, device_name
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from clipsonic_cli.config import DiffusionConfig, UNetConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.batches import Batch
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import UNetObjective
from clipsonic_cli.trainer.ema import Ema
from clipsonic_cli.trainer.optimizer import Updater, make_accelerator
from clipsonic_cli.trainer.tracking import Means

SIZES = {
    "paper": UNetConfig(dropout=0.1),
    "mini": UNetConfig(channels=32, num_res_blocks=2, cond_dim=256, dropout=0.1),
}
FRAMES = 64  # of a window: 2 s


class Ours:
    """The trainer's step."""

    def __init__(self, objective: UNetObjective, config: TrainConfig, device: torch.device) -> None:
        self.updater = Updater(objective, config, make_accelerator(device), config.batch_size)
        self.updater.wrap()
        self.ema = Ema(self.updater.networks["unet"], config.ema_decay)
        self.steps, self.means = 0, Means()

    def __call__(self, batch: Batch) -> None:
        """Does one step."""
        self.updater.set_rate(self.steps)
        wrong = self.updater.update("unet", batch, self.steps, self.steps, self.means)
        if wrong is not None:
            raise SystemExit(wrong)
        self.ema.update(self.steps)
        self.steps += 1


class Plain:
    """The step of improved-diffusion's loop; see Nichol & Dhariwal 2021, eqs. 9 to 16."""

    def __init__(self, unet: UNet, process: Process, config: TrainConfig) -> None:
        self.unet, self.decay = unet.train(), config.ema_decay
        self.train_steps = process.config.train_steps
        self.optimizer = torch.optim.AdamW(unet.parameters(), lr=config.lr, weight_decay=0.0)
        self.average = [p.detach().clone() for p in unet.parameters()]
        self.logged = {quarter: [0.0, 0.0] for quarter in range(4)}
        bar, below, beta = process.alphas_cumprod, process.alphas_cumprod_prev, process.betas
        device = unet.null_cond.device
        tables = {
            "alpha": bar.sqrt(),
            "sigma": (1 - bar).sqrt(),
            "of_x_0": beta * below.sqrt() / (1 - bar),
            "of_x_t": (1 - beta).sqrt() * (1 - below) / (1 - bar),
            "low": process.posterior_log_variance,
            "high": beta.log(),
        }
        self.tables = {name: table.float().to(device) for name, table in tables.items()}

    def __call__(self, batch: Batch) -> None:
        """Does one step."""
        parameters = list(self.unet.parameters())
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.detach_()
                parameter.grad.zero_()
        losses = self.losses(batch)
        self._log(losses, batch["t"])
        losses.mean().backward()  # type: ignore[no-untyped-call]
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters if p.grad is not None))
        if not math.isfinite(norm):
            raise SystemExit(f"the gradient of the plain step is {norm:g}")
        self.optimizer.step()
        with torch.no_grad():
            for average, parameter in zip(self.average, parameters, strict=True):
                average.mul_(self.decay).add_(parameter, alpha=1 - self.decay)

    def losses(self, batch: Batch) -> Tensor:
        """Return the hybrid loss of each clip, (B,)."""
        x_0, eps = batch["x_0"], batch["eps"]
        t = batch["t"].to(x_0.device)
        at = {name: table[t][:, None, None, None] for name, table in self.tables.items()}
        cond = torch.where(batch["keep"][:, None] > 0, batch["embed"], self.unet.null_cond)
        x_t = at["alpha"] * x_0 + at["sigma"] * eps
        said, logits = self.unet(x_t, t * (1000 / self.train_steps), cond).chunk(2, dim=1)
        guess = (x_t - at["sigma"] * said.detach()) / at["alpha"]
        true_mean = at["of_x_0"] * x_0 + at["of_x_t"] * x_t
        mean = at["of_x_0"] * guess + at["of_x_t"] * x_t
        share = (logits + 1) / 2
        log_variance = share * at["high"] + (1 - share) * at["low"]
        spread = at["low"] - log_variance
        shift = (true_mean - mean) ** 2 * torch.exp(-log_variance)
        divergence = 0.5 * (torch.exp(spread) - spread - 1 + shift)
        z = torch.exp(-0.5 * log_variance)
        upper = torch.special.ndtr((x_0 - mean + 1 / 255) * z)
        lower = torch.special.ndtr((x_0 - mean - 1 / 255) * z)
        outer = torch.where(x_0 > 0.999, 1 - lower, upper - lower)
        mass = torch.where(x_0 < -0.999, upper, outer)
        likelihood = -torch.log(mass.clamp(min=1e-12))
        bound = torch.where((t == 0)[:, None, None, None], likelihood, divergence) / math.log(2)
        losses: Tensor = (eps - said) ** 2 + bound * (self.train_steps / 1000)
        return losses.mean(dim=(1, 2, 3))

    def _log(self, losses: Tensor, t: Tensor) -> None:
        for step, loss in zip(t.tolist(), losses.tolist(), strict=True):
            total = self.logged[4 * step // self.train_steps]
            total[0] += loss
            total[1] += 1


def draw(objective: UNetObjective, batch_size: int, device: torch.device) -> Batch:
    """Return a batch of noise for mels, as the trainer places it: integers stay on the CPU."""
    generator = torch.Generator().manual_seed(0)
    mel = torch.rand(batch_size, 1, 64, FRAMES, generator=generator) * 2 - 1
    embed = torch.randn(batch_size, objective.unet.config.cond_dim, generator=generator)
    clips = {"clip": torch.arange(batch_size), "mel": mel, "embed": F.normalize(embed, dim=1)}
    drawn = objective.draw(clips, generator)
    return {k: v.to(device) if v.is_floating_point() else v for k, v in drawn.items()}


def by_turns(
    runs: dict[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, float]:
    """Return the least wall time of each in seconds, after one of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - begin)
    return {name: min(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Measure, print, and add a row to the page."""
    parser = argparse.ArgumentParser(description="A training step next to plain PyTorch's.")
    parser.add_argument("--size", choices=list(SIZES), default="mini")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile our network")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    args = parser.parse_args()
    device = torch.device(args.device)
    config = TrainConfig(batch_size=args.batch_size, precision=args.precision, compile=args.compile)
    process = Process(DiffusionConfig())
    unet = UNet(SIZES[args.size]).to(device)
    plain = Plain(copy.deepcopy(unet), process, config)
    objective = UNetObjective(unet, process)
    ours = Ours(objective, config, device)
    batch = draw(objective, args.batch_size, device)
    with FlopCounterMode(display=False) as counter:
        plain(batch)
    flops = counter.get_total_flops()
    side = 4096 if args.device == "cuda" else 2048
    matrix = torch.randn(side, side, device=device, dtype=getattr(torch, args.precision))
    seconds = by_turns(
        {
            "ours": lambda: ours(batch),
            "plain": lambda: plain(batch),
            "matmul": lambda: matrix @ matrix,
        },
        device,
        args.rounds,
    )
    limit = 2 * side**3 / seconds["matmul"]
    result = {
        "size": args.size,
        "batch_size": args.batch_size,
        "precision": args.precision,
        "compiled": args.compile,
        "gflop_a_step": round(flops / 1e9, 1),
        "ms_a_step": round(seconds["ours"] * 1e3, 1),
        "plain_ms_a_step": round(seconds["plain"] * 1e3, 1),
        "times_as_fast": round(seconds["plain"] / seconds["ours"], 2),
        "matmul_gflops": round(limit / 1e9, 1),
        "share_of_limit": round(flops / seconds["ours"] / limit, 3),
        "plain_share_of_limit": round(flops / seconds["plain"] / limit, 3),
    }
    print(json.dumps({"device": device_name(args.device), **result}))
    if args.write is not None:
        add_row(args.write, __file__, result, device=args.device)


if __name__ == "__main__":
    main()

"""What networks that make sound cost, at their published sizes, next to ours.

    python -m pip install -e ".[benchmarks]"
    python benchmarks/peers.py [--only NAME ...] [--write FILE.md]
    python benchmarks/peers.py --improved-diffusion PATH

Random weights, so this is cost only and says nothing of quality. Of each system it is the network
that is called again and again to make a sound of its native length, with guidance, in float32;
encoders of the query, autoencoders and vocoders are left out, ours too. A system's cost is the
number of calls that it is published with, times one call, measured in a process of its own in
processor seconds of one thread. GFLOP are counted and hold for any machine. ``PATH`` is a checkout
of openai/improved-diffusion.

Sources: configurations of AudioLDM-S and AudioLDM2 in diffusers'
``scripts/convert_original_audioldm*_to_diffusers.py``, of Stable Audio Open in the defaults of its
StableAudioDiTModel, of TangoFlux in ``tangoflux/model.py``. Steps are the defaults of AudioLDM's
``audioldm/__main__.py``, of diffusers' pipelines of AudioLDM2 and Stable Audio, and of TangoFlux.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pages import add_row, device_name
from process import measured
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from unet import SIZES

from clipsonic_cli.config import DEFAULT_STEPS, UNetConfig
from clipsonic_cli.models.unet import UNet

Call = Callable[[], object]
NOTE = (
    "Networks with random weights: cost only, and nothing of quality. Seconds of one thread of a "
    "processor that did other work at the same time; GFLOP (two for a multiplication and an "
    "addition) hold for any machine. Encoders, autoencoders and vocoders are left out. TangoFlux "
    "and Stable Audio Open make 44.1 kHz stereo, all others 16 kHz mono."
)
TOKENS = 16  # of a text: a short sentence


@dataclass(frozen=True)
class Peer:
    """A system's network, and how it is called for one sound."""

    build: Callable[[], tuple[torch.nn.Module, Call]]
    """Returns the network and a call of it with both halves of guidance, on torch's default
    device."""
    seconds: float
    """Length of its sound."""
    calls: int
    """Steps of its sampler."""


def audioldm_s() -> tuple[torch.nn.Module, Call]:
    """Build AudioLDM-S: 10.24 s are a latent of 256 x 16, the text a CLAP vector."""
    from diffusers import UNet2DConditionModel

    net = UNet2DConditionModel(
        **LATENT,
        cross_attention_dim=LATENT["block_out_channels"],
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )
    latent, text = torch.randn(2, 8, 256, 16), torch.randn(2, 512)
    return net, lambda: net(latent, 500, encoder_hidden_states=None, class_labels=text)


def audioldm2() -> tuple[torch.nn.Module, Call]:
    """Build AudioLDM2: the same latent, with AudioMAE's vectors and T5's tokens of the text."""
    from diffusers import AudioLDM2UNet2DConditionModel

    dims = ((None, 768, 1024),) * len(LATENT["block_out_channels"])
    net = AudioLDM2UNet2DConditionModel(**LATENT, cross_attention_dim=dims)
    latent = torch.randn(2, 8, 256, 16)
    vectors, text = torch.randn(2, 8, 768), torch.randn(2, TOKENS, 1024)
    return net, lambda: net(
        latent, 500, encoder_hidden_states=vectors, encoder_hidden_states_1=text
    )


def stable_audio_open() -> tuple[torch.nn.Module, Call]:
    """Build Stable Audio Open 1.0: 1024 latent frames of 47.6 s, after one that is global."""
    from diffusers import StableAudioDiTModel

    net = StableAudioDiTModel()
    latent, text, both = torch.randn(2, 64, 1024), torch.randn(2, 130, 768), torch.randn(2, 1, 1536)
    rotary = torch.randn(1025, 32), torch.randn(1025, 32)
    return net, lambda: net(
        latent,
        torch.full((1,), 0.5),
        encoder_hidden_states=text,
        global_hidden_states=both,
        rotary_embedding=rotary,
    )


def tangoflux() -> tuple[torch.nn.Module, Call]:
    """Build TangoFlux: 645 latent frames of 30 s, with tokens of the text and of the duration."""
    from diffusers import FluxTransformer2DModel

    net = FluxTransformer2DModel(
        in_channels=64,
        num_layers=6,
        num_single_layers=18,
        attention_head_dim=128,
        num_attention_heads=8,
        joint_attention_dim=1024,
        pooled_projection_dim=1024,
        guidance_embeds=False,
    )
    latent, text, pooled = (torch.randn(2, *n) for n in ((645, 64), (TOKENS + 1, 1024), (1024,)))
    ids = torch.arange(645.0)[:, None].repeat(1, 3)
    return net, lambda: net(
        hidden_states=latent,
        timestep=torch.full((1,), 0.5),
        pooled_projections=pooled,
        encoder_hidden_states=text,
        txt_ids=torch.zeros(TOKENS + 1, 3),
        img_ids=ids,
    )


def diffusers_unet(config: UNetConfig) -> tuple[torch.nn.Module, Call]:
    """Build diffusers' unconditional U-Net, as wide and deep as ours."""
    from diffusers import UNet2DModel

    plain, attending = ("Down", "AttnDown"), ("AttnUp", "Up")
    net = UNet2DModel(
        in_channels=1,
        out_channels=2,
        layers_per_block=config.num_res_blocks,
        block_out_channels=tuple(config.channels * mult for mult in config.channel_mult),
        down_block_types=tuple(f"{name}Block2D" for name in plain for _ in range(2)),
        up_block_types=tuple(f"{name}Block2D" for name in attending for _ in range(2)),
        attention_head_dim=config.channels,
    )
    mel = torch.randn(2, 1, 64, 128)
    return net, lambda: net(mel, 500)


def improved_diffusion(config: UNetConfig) -> tuple[torch.nn.Module, Call]:
    """Build improved-diffusion's own U-Net, without classes."""
    from improved_diffusion.unet import UNetModel

    net = UNetModel(
        in_channels=1,
        model_channels=config.channels,
        out_channels=2,
        num_res_blocks=config.num_res_blocks,
        attention_resolutions=config.attention_downsample,
        channel_mult=config.channel_mult,
        num_heads=config.num_heads,
        use_scale_shift_norm=True,
    )
    mel, t = torch.randn(2, 1, 64, 128), torch.full((2,), 500.0)
    return net, lambda: net(mel, t)


def ours(config: UNetConfig) -> tuple[torch.nn.Module, Call]:
    """Build our U-Net as sounds are made with it."""
    net = UNet(config).to(memory_format=torch.channels_last)
    mel, t, cond = (
        torch.randn(2, 1, 64, 128),
        torch.full((2,), 500.0),
        torch.randn(2, config.cond_dim),
    )
    return net, lambda: net(mel, t, cond)


LATENT: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
    "block_out_channels": (128, 256, 384, 640),
    "layers_per_block": 2,
}
"""What AudioLDM-S and AudioLDM2 have in common."""
STEPS = DEFAULT_STEPS["dpmpp"]
MINI, PAPER = SIZES["mini"], SIZES["paper"]
PEERS = {
    "ours, mini": Peer(lambda: ours(MINI), 4, STEPS),
    "diffusers UNet2DModel, DPM-Solver++, mini": Peer(lambda: diffusers_unet(MINI), 4, STEPS),
    "ours, paper": Peer(lambda: ours(PAPER), 4, STEPS),
    "diffusers UNet2DModel, DPM-Solver++, paper": Peer(lambda: diffusers_unet(PAPER), 4, STEPS),
    "improved-diffusion, paper": Peer(lambda: improved_diffusion(PAPER), 4, 1000),
    "AudioLDM-S": Peer(audioldm_s, 10.24, 200),
    "AudioLDM2": Peer(audioldm2, 10.24, 200),
    "TangoFlux": Peer(tangoflux, 30, 50),
    "Stable Audio Open": Peer(stable_audio_open, 47.55, 100),
}
THEIR_CODE = "improved-diffusion, paper"


def main() -> None:
    """Measure each in a process of its own, print, and add the rows to the page."""
    parser = argparse.ArgumentParser(description="Cost of networks that make sound.")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--calls", type=int, default=2, help="the fastest counts; default: 2")
    parser.add_argument("--improved-diffusion", type=Path, metavar="PATH", help="a checkout of it")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add rows to this page")
    parser.add_argument("--here", action="store_true", help="in this process, and one only")
    arguments = parser.parse_args()
    path = arguments.improved_diffusion
    if arguments.here:
        sys.path.append(str(path))
        print(json.dumps(cost(PEERS[arguments.only[0]], arguments.calls)))
        return
    for name in arguments.only:
        if name == THEIR_CODE and path is None:
            continue
        command = [__file__, "--here", "--only", name, "--calls", str(arguments.calls)]
        run = measured(
            [*command, "--improved-diffusion", str(path)], environment={"OMP_NUM_THREADS": "1"}
        )
        row = {"network": name, **json.loads(run.stdout), "peak_mb": round(run.peak)}
        print(json.dumps({"machine": device_name(), **row}), flush=True)
        if arguments.write:
            add_row(arguments.write, __file__, row, note=NOTE)


@torch.inference_mode()
def cost(peer: Peer, calls: int) -> dict[str, object]:
    """Measure a network; return its size and what a second of its sound costs."""
    with torch.device("meta"):
        net, call = peer.build()
        with FlopCounterMode(display=False) as counter:
            call()
    net, call = peer.build()
    net.eval()
    seconds = min(cpu_seconds(call) for _ in range(calls))
    share = peer.calls / peer.seconds
    return {
        "million_weights": round(sum(map(Tensor.numel, net.parameters())) / 1e6, 1),
        "sound_s": peer.seconds,
        "calls": peer.calls,
        "gflop_a_call": round(counter.get_total_flops() / 1e9, 1),
        "cpu_s_a_call": round(seconds, 2),
        "gflop_a_second": round(counter.get_total_flops() / 1e9 * share),
        "cpu_s_a_second": round(seconds * share, 2),
    }


def cpu_seconds(call: Call) -> float:
    """Return the processor seconds of a call."""
    before = time.process_time()
    call()
    return time.process_time() - before


if __name__ == "__main__":
    main()

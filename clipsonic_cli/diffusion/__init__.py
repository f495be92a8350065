"""Diffusion, mathematics only: process, guidance, losses and samplers for tensors of any shape."""

from clipsonic_cli.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "dpmpp": "clipsonic_cli.diffusion.dpmpp:sample",
        "unipc": "clipsonic_cli.diffusion.unipc:sample",
        "ddim": "clipsonic_cli.diffusion.ddim:sample",
        "ddpm": "clipsonic_cli.diffusion.ddpm:sample",
    },
)
"""Samplers by name: ``sample(denoise, x_T, timesteps, process, *, noise, report)`` returns x_0,
shaped as x_T.

- ``denoise``: returns the model output at x_t (B, ...) and training steps t (B,).
- ``x_T``: (B, ...) standard normal noise.
- ``timesteps``: training steps to visit, noisiest first.
- ``process``: the process the network was trained on.
- ``noise``: per-sample noise, drawn at every step but the last by samplers that are stochastic.
- ``report``: called as ``("sample", done, total)`` after every step.
"""

GUIDANCE_RULES = Registry(
    "guidance rule",
    {
        "constant": "clipsonic_cli.diffusion.guidance_rules:Constant",
        "interval": "clipsonic_cli.diffusion.guidance_rules:Interval",
        "rising": "clipsonic_cli.diffusion.guidance_rules:Rising",
        "apg": "clipsonic_cli.diffusion.guidance_rules:Projected",
    },
)
"""How guidance depends on the noise level, by name: ``rule(w, process)`` of ``guided``."""

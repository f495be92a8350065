"""Noise, mathematics only: the process, guidance, losses and samplers, for tensors of any shape.

Knows nothing of mels, embeddings or networks.
"""

from clipsonic_cli.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "dpmpp": "clipsonic_cli.diffusion.dpmpp:sample",
        "ddim": "clipsonic_cli.diffusion.ddim:sample",
        "ddpm": "clipsonic_cli.diffusion.ddpm:sample",
    },
)

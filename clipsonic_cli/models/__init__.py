"""Networks: tensors in and out. Each model has its one adapter for foreign weights next to it.

A vocoder is one file and one line of VOCODERS, which names a ``types.VocoderNetwork``.
"""

from clipsonic_cli.registry import Registry

VOCODERS = Registry(
    "vocoder",
    {
        "bigvgan": "clipsonic_cli.models.bigvgan:BigVGAN",
        "vocos": "clipsonic_cli.models.vocos:Vocos",
        "griffin-lim": "clipsonic_cli.audio.griffin_lim:GriffinLim",
    },
)
"""The one without a part is a model's default, where nothing was scored."""

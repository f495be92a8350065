"""improved-diffusion's image U-Nets as a warm start for the mel U-Net.

Source: Nichol & Dhariwal 2021; a checkpoint of openai/improved-diffusion is a bare state dict.
"""

from collections.abc import Mapping

from torch import Tensor

from clipsonic_cli.models.state_dict import check_fit
from clipsonic_cli.models.unet import UNet

STEM = "input_blocks.0.0.weight"
HEAD = ("out.2.weight", "out.2.bias")
CLASSES = "label_emb.weight"
OURS = ("cond_proj.weight", "cond_proj.bias", "null_cond")


def load_trunk(unet: UNet, state_dict: Mapping[str, Tensor]) -> None:
    """Copy an image U-Net's weights into a mel U-Net, all but those of the condition.

    A mel is treated as a grey image. The first convolution's weights are summed over the colours,
    which is what it computes for three equal ones; of the last convolution the predictions are
    averaged over the colours, and so are the variance logits. The class embedding is left out. The
    mel U-Net's own ``cond_proj`` and ``null_cond`` stay as they are.

    Args:
        unet: Changed in place, and only if everything fits.
        state_dict: A network of as many channels, levels and blocks: for the default
            ``UNetConfig`` that of ``imagenet64_uncond_100M_1500K.pt``, which was also trained with
            the same time scale and schedule.

    Raises:
        BadBundle: A tensor is missing, superfluous or of another shape; the message names each.
    """
    trunk = {name: tensor for name, tensor in state_dict.items() if name != CLASSES}
    wanted = {name: t for name, t in unet.state_dict().items() if name not in OURS}
    stem = trunk.get(STEM)
    colours = stem.shape[1] if isinstance(stem, Tensor) and stem.ndim == 4 else 3
    theirs = wanted | {STEM: wanted[STEM].expand(-1, colours, -1, -1)}
    theirs |= {name: wanted[name].repeat_interleave(colours, dim=0) for name in HEAD}
    check_fit(
        trunk,
        theirs,
        "These improved-diffusion weights do not fit the U-Net",
        f"Use a checkpoint of {unet.config.channels} channels, {unet.config.num_res_blocks} "
        f"residual blocks and {len(unet.config.channel_mult)} levels, "
        f"{'with' if unet.config.learn_variance else 'without'} learn_sigma.",
    )
    trunk[STEM] = trunk[STEM].sum(dim=1, keepdim=True)
    for name in HEAD:
        trunk[name] = trunk[name].unflatten(0, (-1, colours)).mean(dim=1)  # type: ignore[no-untyped-call]
    unet.load_state_dict(unet.state_dict() | trunk)

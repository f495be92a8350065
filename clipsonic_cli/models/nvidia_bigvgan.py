"""NVIDIA's BigVGAN generators, made for other mels, as a warm start for ours.

Source: Lee et al. 2023 (BigVGAN); ``nvidia/bigvgan_v2_44khz_128band_512x``, of which
``bigvgan_generator.pt`` holds the state dict under "generator".
"""

from collections.abc import Mapping

from torch import Tensor

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bigvgan import BigVGAN, fold_weight_norm
from clipsonic_cli.models.state_dict import check_fit, listed, unusable

READS_THE_MEL = ("conv_pre.weight", "conv_pre.bias")
LAST_BIAS = "conv_post.bias"


def warm_start(vocoder: BigVGAN, state_dict: Mapping[str, Tensor]) -> list[str]:
    """Load a generator for other mels as a start for training, as far as it is the same network.

    ``conv_pre`` keeps its random start where the generator reads another number of mel bands, and
    ``conv_post.bias`` where the generator, like those of BigVGAN v2, has none. Everything else must
    be there. The last nonlinearity is the vocoder's own: v2 was trained with a clamp, not tanh.

    Args:
        vocoder: Changed in place, and only if everything fits; its weights are plain afterwards.
        state_dict: A generator's, weight-normed in either spelling or plain; for the default
            ``VocoderConfig`` that of ``bigvgan_v2_44khz_128band_512x``.

    Returns:
        Names of the weights that kept their start, sorted.

    Raises:
        BadBundle: A weight is missing, unexpected or of another shape; the message names it.
    """
    if faults := unusable(state_dict):
        raise BadBundle(f"This is no generator ({listed(faults)}).")
    vocoder.remove_weight_norm()
    theirs, ours = fold_weight_norm(state_dict), vocoder.state_dict()
    left = {LAST_BIAS} & (ours.keys() - theirs.keys())
    wanted = {name: weight for name, weight in ours.items() if name not in left}
    weight, width = theirs.get(READS_THE_MEL[0]), ours[READS_THE_MEL[0]].shape[1]
    if weight is not None and weight.ndim == 3 and weight.shape[1] != width:
        # In all but the bands it must still be the same layer.
        wanted[READS_THE_MEL[0]] = ours[READS_THE_MEL[0]][:, :1].expand(-1, weight.shape[1], -1)
        left |= set(READS_THE_MEL)
    check_fit(
        theirs,
        wanted,
        "This generator is another network than the vocoder",
        f"Use one of {vocoder.config.channels} channels and rates {vocoder.config.upsample_rates}.",
    )
    taken = {name: w for name, w in theirs.items() if name not in left}
    vocoder.load_state_dict(vocoder.state_dict() | taken)
    return sorted(left)

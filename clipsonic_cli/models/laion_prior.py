"""LAION's diffusion priors as ours.

They are state dicts of dalle2-pytorch's ``DiffusionPrior``, of the versions before 1.4.3, and say
nothing of how they were trained but the shapes and the noise schedule.

Source: ``laion/DALLE2-PyTorch`` and ``nousr/conditioned-prior``, each a bare state dict; CLIPSonic
appendix A.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.cached_prior import CachedPrior
from clipsonic_cli.models.state_dict import check_fit, listed, outline, unusable

CLIP = "clip.clip."  # OpenAI's ViT-L/14, which is a part of its own
ROTATION = ".rotary_emb.freqs"  # constants, repeated in every layer
SCHEDULE = "noise_scheduler."
KEPT = "alphas_cumprod"
RECOMPUTED = frozenset(
    f"{SCHEDULE}{name}"
    for name in (
        KEPT,
        "alphas_cumprod_prev",
        "betas",
        "log_one_minus_alphas_cumprod",
        "p2_loss_weight",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "posterior_variance",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
    )
)
TOKENS = "net.null_text_embed"  # what is now called net.null_text_encodings
NEVER_TRAINED = ("net.null_text_embeds", "net.null_image_embed")
LAYER = "net.causal_transformer.layers."
SIZES = {  # the tensors whose shapes say how large the network is, and their dimensions
    TOKENS: 3,
    "net.to_time_embeds.0.weight": 2,
    "net.causal_transformer.rel_pos_bias.relative_attention_bias.weight": 2,
    f"{LAYER}0.0.null_kv": 2,
    f"{LAYER}0.1.5.weight": 2,
    f"{SCHEDULE}{KEPT}": 1,
}
ROUNDING = 1e-3  # of half precision, in which some of the files are
REFUSAL = "This is not a diffusion prior as LAION's is"
NEEDED = (
    "Needed is the bare state dict of a dalle2-pytorch DiffusionPrior of before version 1.4.3, "
    "with a table of times."
)


def laion_prior(
    state_dict: Mapping[str, Tensor], schedule: Callable[[int], Tensor]
) -> tuple[PriorConfig, DiffusionConfig, dict[str, Tensor]]:
    """Convert a published prior to our configurations and the weights under our names.

    Left out are the CLIP in the file, the tables of the noise schedule and the rotation
    frequencies; the latter two are compared with ours first. The placeholders for a withheld text
    or image embedding came into the package later: this prior was never trained without its text,
    whatever its ``cond_drop_prob``. They are set to nan, so that a training or a guidance that
    withholds the text fails at once, and nothing else is touched by them.

    Args:
        state_dict: What ``prior/latest.pth`` has: ``net.*``, ``noise_scheduler.*`` and
            ``clip.clip.*``, or without the last; of any depth, width and number of heads. Its
            precision is kept.
        schedule: Computes alpha_bar (T,) of the process the prior will be sampled with, for T
            training steps: ``diffusion.process.cosine_alphas_cumprod``.

    Raises:
        BadBundle: A tensor is missing, unexpected or of another shape, or it was trained with
            another noise schedule or other rotations.
    """
    faults = unusable(state_dict)
    faults = faults or [f"missing {name}" for name in SIZES if name not in state_dict]
    if not faults:
        faults += [
            f"{name} is {tuple(state_dict[name].shape)}"
            for name, dimensions in SIZES.items()
            if state_dict[name].ndim != dimensions or not state_dict[name].numel()
        ]
    if faults:
        raise BadBundle(f"{REFUSAL} ({listed(faults)}). {NEEDED}")
    config = _config(state_dict)
    wanted = outline(lambda: CachedPrior(config), "prior").state_dict()
    missing_there = {name: wanted.pop(name) for name in NEVER_TRAINED}
    wanted[TOKENS] = wanted.pop("net.null_text_encodings")
    weights = {
        name: tensor
        for name, tensor in state_dict.items()
        if name not in RECOMPUTED and not name.startswith(CLIP) and not name.endswith(ROTATION)
    }
    check_fit(weights, wanted, REFUSAL, NEEDED)
    _check_constants(state_dict, config, schedule)
    weights["net.null_text_encodings"] = weights.pop(TOKENS)
    for name, needed in missing_there.items():
        weights[name] = weights["net.learned_query"].new_full(needed.shape, torch.nan)
    diffusion = DiffusionConfig(
        train_steps=config.num_timesteps, prediction="x0", variance="fixed", clip_x0=False
    )
    return config, diffusion, weights


def _config(state_dict: Mapping[str, Tensor]) -> PriorConfig:
    """Read the sizes off the shapes, whether or not all shapes agree with them."""
    tokens, times, biases, null_kv, narrow, _ = (state_dict[name].shape for name in SIZES)
    layers = {name.removeprefix(LAYER).split(".")[0] for name in state_dict if LAYER in name}
    return PriorConfig(
        dim=tokens[-1],
        text_dim=tokens[-1],
        depth=len(layers),
        dim_head=null_kv[-1],
        heads=biases[-1],
        ff_mult=max(1, narrow[-1] // tokens[-1]),
        max_text_len=tokens[1],
        num_timesteps=times[0],
        attention="softmax_bias128",
    )


def _check_constants(
    state_dict: Mapping[str, Tensor], config: PriorConfig, schedule: Callable[[int], Tensor]
) -> None:
    """Check that a prior was trained with the constants that are computed here."""
    theirs, ours = state_dict[f"{SCHEDULE}{KEPT}"].double(), schedule(config.num_timesteps).double()
    if theirs.shape != ours.shape:
        raise BadBundle(
            f"The prior's noise schedule has {tuple(theirs.shape)} levels, its table of times "
            f"{config.num_timesteps}: the file contradicts itself. Get it again."
        )
    if not torch.allclose(theirs, ours, rtol=0, atol=ROUNDING):
        t = int((theirs - ours).abs().nan_to_num(torch.inf).argmax())
        raise BadBundle(
            f"The prior was trained with another noise schedule: alpha_bar of step {t} is "
            f"{theirs[t]:.4f}, that of the cosine schedule {ours[t]:.4f}. Only the cosine schedule "
            "is known."
        )
    turned = min(32, config.dim_head)  # of each head's numbers
    frequencies = 10_000 ** (-torch.arange(0, turned, 2, dtype=torch.float64) / turned)
    for name, seen in state_dict.items():
        if name.endswith(ROTATION) and (
            seen.shape != frequencies.shape
            or not torch.allclose(seen.double(), frequencies, rtol=0, atol=ROUNDING)
        ):
            raise BadBundle(
                f"The prior's '{name}' is not 10000 ** (-2 i / {turned}), i up to "
                f"{len(frequencies) - 1}: other rotations are not known."
            )

"""OpenAI's CLIP, in the form that open_clip publishes on the hub, as ours.

Source: Radford et al. 2021; ``timm/vit_large_patch14_clip_224.openai``.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clip import PAPER, ClipConfig, from_open_clip
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.models.state_dict import check_fit


def from_openai(
    described: Mapping[str, Any], state_dict: Mapping[str, Tensor], architecture: str = PAPER
) -> tuple[ClipConfig, dict[str, Tensor]]:
    """Convert OpenAI's CLIP to our configuration and the weights under our names.

    A CLIP with another activation or other colours has the same tensors and gives vectors that are
    nearly right, so its description is compared with what will be computed.

    Args:
        described: The JSON next to the weights, with "model_cfg" and "preprocess_cfg".
        state_dict: State dict of open_clip's ``CLIP``; its precision is kept.
        architecture: The name of open_clip's that has QuickGELU and these sizes.

    Raises:
        BadBundle: A tensor is missing, unexpected or of another shape, or the description is of
            another network or another preprocessing; both values are named.
        ClipsonicError: open_clip cannot be imported.
    """
    config = _config(described, architecture)
    with torch.device("meta"):  # shapes alone
        network = import_open_clip().create_model(architecture, pretrained=None, device="meta")
    weights = from_open_clip(state_dict)
    wanted = {f"clip.{name}": tensor for name, tensor in network.state_dict().items()}
    return config, check_fit(weights, wanted, f"These are not the weights of '{architecture}'")


def _config(described: Mapping[str, Any], architecture: str) -> ClipConfig:
    """Compare a description with an architecture and OpenAI's preprocessing."""
    model, preprocess = described.get("model_cfg"), described.get("preprocess_cfg")
    if not isinstance(model, dict) or not isinstance(preprocess, dict):
        raise BadBundle("The CLIP's description lacks 'model_cfg' or 'preprocess_cfg'.")
    known = import_open_clip().get_model_config(architecture)
    text = known["text_cfg"]
    config = ClipConfig(
        architecture=architecture,
        dim=known["embed_dim"],
        text_dim=text["width"],
        max_text_len=text["context_length"],
        vocab_size=text["vocab_size"],
        image_size=known["vision_cfg"]["image_size"],
    )
    stated = {"interpolation": "bicubic", "resize_mode": "shortest", **preprocess}
    stated |= _spelt_out(model)
    needed = {
        "mean": list(config.mean),
        "std": list(config.std),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    } | _spelt_out(known)
    for name in needed:
        if stated.get(name) != needed[name]:
            raise BadBundle(
                f"The CLIP's description says {name} {stated.get(name)}, OpenAI's '{architecture}' "
                f"has {needed[name]}. Get both files again from their publisher."
            )
    return config


def _spelt_out(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of a network of open_clip's, with its defaults."""
    open_clip = import_open_clip()
    towers = {"vision_cfg": open_clip.CLIPVisionCfg, "text_cfg": open_clip.CLIPTextCfg}
    spelt = {"embed_dim": model.get("embed_dim"), "quick_gelu": model.get("quick_gelu", False)}
    for name, tower in towers.items():
        try:
            fields = asdict(tower(**model.get(name, {})))
        except TypeError as error:
            raise BadBundle(f"The CLIP's description has an unusable '{name}' ({error}).") from None
        spelt |= {f"{name}.{field}": value for field, value in fields.items()}
    return spelt

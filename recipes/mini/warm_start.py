"""Weights of another model's U-Net, made to read the vectors of this recipe's CLIP."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from steps import need, need_part
from torch import Tensor

from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.models.clip import MiniClip
from clipsonic_cli.store import model_folders
from clipsonic_cli.store.bundle import Bundle, load


def begin_with(model: str, out: Path) -> Bundle:
    """Return the U-Net of another mini, made to read the CLIP in ``OUT/model``.

    The towers of both CLIPs are the same, so that the cached features of step 2 give both vectors
    of every picture.

    Args:
        model: Its name or folder.
        out: The recipe's folder.
    """
    other = model_folders.find(model)
    theirs, ours = (mini_clip(path) for path in (other.part("clip"), need_part(out, "clip")))
    if not same_weights(theirs.image.state_dict(), ours.image.state_dict()):
        sys.exit(f"The CLIP of '{model}' reads pictures by another tower: begin without it.")
    cached = torch.load(need(out, "views.pt", "clip.py"), weights_only=True)
    features = torch.cat(list(cached.values())).float()  # (N, 1280)
    with torch.inference_mode():
        old, new = (clip.project_image(features).clone() for clip in (theirs, ours))
    part = load(other.part("unet"), kind="unet")
    return replace(part, weights=reading(part.weights, old, new))


def mini_clip(path: Path) -> MiniClip:
    """Load the network of a small CLIP."""
    network = load_clip(load(path, kind="clip")).network
    if not isinstance(network, MiniClip):
        sys.exit(f"{path} is no CLIP of this recipe: begin without it.")
    return network


def same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Check whether two networks are one, but for the last bit of half precision.

    Machines differ in it, as they fold batch norms into weights.
    """
    return first.keys() == second.keys() and all(
        torch.allclose(first[name].float(), second[name].float(), rtol=2**-9, atol=1e-5)
        for name in first
    )


def reading(weights: Mapping[str, Tensor], old: Tensor, new: Tensor) -> dict[str, Tensor]:
    """Return the weights of a U-Net that reads new vectors as it read old ones.

    The old vectors are fitted linearly by the new ones, and the fit is folded into the layer that
    reads the condition.

    Args:
        weights: The U-Net's.
        old: (N, D) unit vectors that it reads.
        new: (N, E) unit vectors of the same pictures.
    """
    fit = torch.linalg.lstsq(new, old).solution  # (E, D): new @ fit is about old
    scale = (old.shape[1] / new.shape[1]) ** 0.5  # the U-Net multiplies by the root of the size
    # Directions that the fit hardly uses are left out: they would make the vector long.
    null = torch.linalg.pinv(fit.T, rtol=0.05) @ weights["null_cond"].float()
    cond = scale * weights["cond_proj.weight"].float() @ fit.T
    return {**weights, "cond_proj.weight": cond, "null_cond": null}

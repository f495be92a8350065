import json
import math
from pathlib import Path

import published
import pytest
import torch

from clipsonic_cli.config import DiffusionConfig, UNetConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.denoiser import UNetObjective

CONFIG = UNetConfig(channels=32, num_res_blocks=2, cond_dim=4)

# What openai/improved-diffusion (commit 1bc7bbb) computes in float32 with the weights and the clips
# below: by level the loss of its clip, and of that loss's gradient at some tensors (those of all
# together are under "all") the norm and the projection onto published.wave of the tensor's name.
# "0 exact" is level 0 with torch.special.ndtr for the approx_standard_normal_cdf of its losses.py.
#   unet = UNetModel(in_channels=1, model_channels=32, out_channels=2, num_res_blocks=2,
#                    attention_resolutions=(4, 8), channel_mult=(1, 2, 3, 4), num_classes=4,
#                    num_heads=4, use_scale_shift_norm=True)
#   diffusion = create_gaussian_diffusion(steps=4000, learn_sigma=True, noise_schedule="cosine",
#                                         rescale_timesteps=True, rescale_learned_sigmas=True)
#   diffusion.training_losses(unet, x_0, t, {"y": torch.tensor([0, 1, 2, 3])}, noise=eps)["loss"]
# Its label_emb.weight is twice the transposed cond_proj.weight, for conditions come in multiplied
# by the root of their size; the gradient of cond_proj.weight is twice its transposed gradient.
RECORDED = json.loads((Path(__file__).parent / "data" / "reference_loss.json").read_text())
LEVELS = {"0": 0, "0 exact": 0, "1": 1, "1999": 2, "3999": 3}  # number of the level's clip


def weights(shapes):
    """Gains near 1, biases near 0, matrices that keep what passes through them of its size."""
    filled = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            gain = 1 if name.endswith("weight") else 0
            filled[name] = gain + published.wave(name, *shape, scale=0.1)
        else:
            scale = math.sqrt(3 / math.prod(shape[1:]))
            filled[name] = published.wave(name, *shape, scale=scale)
    # Conditions are rows of the identity, each a class of the reference; the null is the fourth.
    return filled | {"cond_proj.bias": torch.zeros(128), "null_cond": torch.eye(4)[3]}


def clips():
    """One for each level, with two silent bands; the condition of the last was dropped."""
    x_0 = published.wave("x_0", 4, 1, 16, 16, scale=1.0)
    x_0[:, :, :2] = -1
    return {
        "x_0": x_0,
        "eps": published.wave("eps", 4, 1, 16, 16, scale=math.sqrt(2)),
        "t": torch.tensor([0, 1, 1999, 3999]),
        "embed": torch.eye(4)[[0, 1, 2, 0]],
        "keep": torch.tensor([1.0, 1.0, 1.0, 0.0]),
    }


def numbers(gradients):
    """Norm and projection of each tensor, and of all in one."""
    waves = {name: published.wave(name, *g.shape).flatten() for name, g in gradients.items()}
    pairs = {name: (g.flatten(), waves[name]) for name, g in gradients.items()}
    pairs["all"] = tuple(torch.cat(parts) for parts in zip(*pairs.values(), strict=True))
    return {k: [g.norm().item(), (g @ w / w.norm()).item()] for k, (g, w) in pairs.items()}


@pytest.fixture(scope="module")
def objective():
    unet = UNet(CONFIG)
    unet.load_state_dict(weights({k: tuple(w.shape) for k, w in unet.state_dict().items()}))
    return UNetObjective(unet, Process(DiffusionConfig()))


def loss_and_gradient(objective, level):
    """Of the level's clip: the loss, and the numbers of the gradient at all the reference has."""
    clip = LEVELS[level]
    loss = objective.loss("unet", {k: v[clip : clip + 1] for k, v in clips().items()}, 0).mean
    trained = dict(objective.unet.named_parameters())
    theirs = {k: p for k, p in trained.items() if k not in {"null_cond", "cond_proj.bias"}}
    gradients = torch.autograd.grad(loss, list(theirs.values()))
    return loss.item(), numbers(dict(zip(theirs, gradients, strict=True)))


def differences(seen, recorded):
    """Of each tensor recorded, as a share of its gradient's norm: of that norm, of the projection.

    Two gradients that differ by a share of their norm differ in neither by more.
    """
    return [
        abs(number - expected) / norm
        for name, (norm, projection) in recorded.items()
        for number, expected in zip(seen[name], (norm, projection), strict=True)
    ]


@pytest.mark.parametrize("level", ["0 exact", "1", "1999", "3999"])
def test_loss_and_gradient_of_a_level_are_improved_diffusions(objective, level):
    loss, gradient = loss_and_gradient(objective, level)
    assert loss == pytest.approx(RECORDED[level]["loss"], rel=3e-5)
    assert max(differences(gradient, RECORDED[level]["gradient"])) < 5e-5


def test_at_the_first_level_it_differs_by_its_approximate_normal_distribution(objective):
    loss, gradient = loss_and_gradient(objective, "0")
    assert loss == pytest.approx(RECORDED["0"]["loss"], rel=3e-4)
    assert 1e-4 < max(differences(gradient, RECORDED["0"]["gradient"])) < 1e-2

"""Timesteps chosen for a U-Net: their file, and the sounds made with them."""

import dataclasses
import shutil

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli import ClipSonic
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store import bundle
from clipsonic_cli.store.step_grids import KEY
from clipsonic_cli.training import step_grids

GRID = [3999, 1234, 56]
HOW = {"mode": "zs", "seconds": 0.3, "seed": 1, "guidance": 1}


def with_grid(micro, folder, grid):
    """Copy a model, and store timesteps in its U-Net's file."""
    shutil.copytree(micro, folder)
    part = bundle.load(folder / "unet.safetensors", kind="unet")
    header = dataclasses.replace(part.header, meta={KEY: {"unipc": {"3": grid}}})
    bundle.write(folder / "unet.safetensors", bundle.Bundle(header=header, weights=part.weights))
    return ClipSonic.load(folder, device="cpu")


def test_they_are_the_default_for_their_sampler_and_number_of_steps(micro, tmp_path):
    sonic, seen = with_grid(micro, tmp_path / "model", GRID), []
    unet = sonic.parts.denoiser("unet").unet
    unet.register_forward_pre_hook(lambda _, args: seen.append(round(4 * args[1][0].item())))
    sonic("rain", steps=3, **HOW)
    sonic("rain", steps=3, sampler="ddim", **HOW)
    sonic("rain", steps=2, **HOW)
    assert seen == [*GRID, 3999, 2000, 0, 3999, 0]


@pytest.mark.parametrize(
    "grid",
    [[3999, 56], [3999, 56, 1234], [3999, 9, 9], [4000, 1, 0], [3.5, 1, 0], "321", [None] * 3],
)
def test_timesteps_that_cannot_be_visited_are_a_bad_bundle(micro, tmp_path, grid):
    sonic = with_grid(micro, tmp_path / "model", grid)
    with pytest.raises(BadBundle, match="timesteps for 3 steps of unipc"):
        sonic("rain", steps=3, **HOW)


def test_they_are_chosen_within_the_time_given(micro, monkeypatch):
    denoiser = ClipSonic.load(micro, device="cpu").parts.denoiser("unet")
    embed = F.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    embed = F.pad(embed, (0, denoiser.unet.null_cond.shape[0] - 8))
    monkeypatch.setattr(step_grids, "LEVELS", 5)

    def choose(**time):
        return step_grids.choose_step_grids(denoiser.unet, denoiser.process, embed, (64, 8), **time)

    assert choose(seconds=0.0) == {}
    found = choose()
    assert choose(seconds=1e9) == found
    assert set(found[KEY]) == {"dpmpp", "unipc", "ddim"}
    assert list(found[KEY]["unipc"]) == ["2", "3", "4", "5"]

"""Texts by a diffusion bridge, against closed forms and the reference's algorithm."""

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import BridgeConfig, DiffusionConfig
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.bridge import ENTRY, BridgeEncoder, entry_of, load_bridge
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bridge import SCALE, Bridge
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Bundle, Header
from clipsonic_cli.types import Query

PROCESS = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))


def given_means(bridge):
    generator = torch.Generator().manual_seed(1)
    dim = bridge.config.dim
    bridge.frame_mean = torch.randn(dim, generator=generator) / 20
    bridge.text_mean = torch.randn(dim, generator=generator) / 20
    bridge.radius = torch.tensor(0.9)
    return bridge


@pytest.fixture
def bridge(clip):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Bridge(BridgeConfig(dim=clip.dim, width=32, depth=1, time_dim=8))
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return given_means(made).eval().requires_grad_(requires_grad=False)


class GaussianBridge(Bridge):
    """The exact denoiser of vectors that are normal, of variance 1, along some axes, else 0."""

    def __init__(self, dim, axes):
        super().__init__(BridgeConfig(dim=dim, width=8, depth=1, time_dim=8))
        self.inside = (torch.arange(dim) < axes).float()

    def forward(self, x_t, t):
        alpha_bar = Process(PROCESS).alphas_cumprod[t].float()[:, None]
        return alpha_bar.sqrt() * self.inside * F.normalize(x_t, dim=1) * SCALE


def texts(clip):
    return clip.embed_text(["a dog", "a cat", "rain"])[0]


def test_texts_become_vectors_of_frames_and_images_are_rejected(clip, bridge, violin_picture):
    encode = BridgeEncoder(clip, bridge, PROCESS)
    queries = [Query(text="a dog"), Query(text="a cat")]
    condition = encode(queries, noise=SeededNoise([0, 1]))
    assert (condition.space, condition.encoder) == ("clip-image", clip.identity)
    torch.testing.assert_close(condition.embed.norm(dim=1), torch.ones(2))
    again = encode(queries[1:], noise=SeededNoise([7])).embed
    torch.testing.assert_close(again, condition.embed[1:])
    with pytest.raises(ValueError, match="text queries only"):
        encode([Query(image=violin_picture)], noise=SeededNoise([0]))


def test_without_a_step_the_mean_is_shifted(clip, bridge):
    e = texts(clip)
    direction = F.normalize(e - bridge.text_mean, dim=1)
    shifted = F.normalize(bridge.frame_mean + 0.9 * direction, dim=1)
    moved = BridgeEncoder(clip, bridge, PROCESS, entry=0).move(e)
    torch.testing.assert_close(moved, shifted)


@pytest.mark.parametrize("entry", [1, 13, 600, 1000])
def test_what_frames_never_do_is_taken_away_and_nothing_else(clip, entry):
    """Of normal vectors the exact bridge keeps the part along their axes, in its direction."""
    exact, e = given_means(GaussianBridge(clip.dim, axes=clip.dim // 2)), texts(clip)
    kept = F.normalize(exact.inside * (e - exact.text_mean), dim=1)
    expected = F.normalize(exact.frame_mean + 0.9 * kept, dim=1)
    moved = BridgeEncoder(clip, exact, PROCESS, entry=entry).move(e)
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("entry", [200, 600])
def test_it_is_the_algorithm_that_scales_x_t_at_every_step(clip, bridge, entry):
    """As written by Lee et al. 2025: at each of 12 steps x_t is brought to the norm 5."""
    e = texts(clip)
    alpha_bar = Process(PROCESS).alphas_cumprod.float()
    x = F.normalize(e - bridge.text_mean, dim=1)
    times = torch.linspace(-1, entry - 1, 13).int().tolist()[::-1]
    for now, following in itertools.pairwise(times):
        x = 5 * F.normalize(x, dim=1)
        x_0 = bridge(x, torch.full((len(x),), now))
        eps = (x - alpha_bar[now].sqrt() * x_0) / (1 - alpha_bar[now]).sqrt()
        later = alpha_bar[following] if following >= 0 else torch.ones(())
        x = later.sqrt() * x_0 + (1 - later).sqrt() * eps
    expected = bridge.leave(x)
    moved = BridgeEncoder(clip, bridge, PROCESS, entry=entry).move(e)
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=1e-4)


def part(bridge, meta):
    header = Header(
        kind="bridge",
        config=bridge.config,
        diffusion=PROCESS,
        space="clip-image",
        encoder="micro-clip",
        meta=meta,
    )
    return Bundle(header=header, weights=bridge.state_dict())


def test_the_part_comes_back_from_its_file(bridge, tmp_path):
    bundle.write(tmp_path / "bridge.safetensors", part(bridge, {"entry": 300}))
    kept = bundle.load(tmp_path / "bridge.safetensors", kind="bridge")
    assert entry_of(kept.header) == 300
    theirs = load_bridge(kept, "bridge").state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in bridge.state_dict().items())


@pytest.mark.parametrize("entry", [-1, 1001, 300.0, "300", True, None])
def test_an_entry_outside_the_process_is_rejected(bridge, entry):
    with pytest.raises(BadBundle, match="as its entry; allowed: 0 to 1000"):
        entry_of(part(bridge, {"entry": entry}).header)
    assert entry_of(part(bridge, {}).header) == ENTRY


def test_a_bridge_of_another_size_or_kind_is_rejected(clip, bridge):
    small = Bridge(BridgeConfig(dim=8, width=8, depth=1, time_dim=8))
    with pytest.raises(ValueError, match="the bridge is of 8 numbers, CLIP gives 32"):
        BridgeEncoder(clip, small, PROCESS)
    whole = part(bridge, {})
    config = dataclasses.replace(bridge.config, width=16)
    header = dataclasses.replace(whole.header, config=config)
    with pytest.raises(BadBundle, match="do not fit"):
        load_bridge(dataclasses.replace(whole, header=header), "bridge")
    header = dataclasses.replace(whole.header, kind="clip", config={})
    with pytest.raises(BadBundle, match="this bundle holds a clip"):
        load_bridge(dataclasses.replace(whole, header=header), "bridge")

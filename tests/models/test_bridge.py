"""The denoiser of a diffusion bridge, against closed forms."""

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import BridgeConfig
from clipsonic_cli.models.bridge import SCALE, Bridge

DIM = 8


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def bridge():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Bridge(BridgeConfig(dim=DIM, width=16, depth=2, time_dim=8))
        for parameter in made.parameters():  # those that begin at zero too
            torch.nn.init.normal_(parameter, std=0.3)
    made.frame_mean, made.radius = random(DIM, seed=1) / 10, torch.tensor(0.9)
    return made.eval().requires_grad_(requires_grad=False)


def test_the_length_of_what_it_reads_has_no_influence(bridge):
    x_t, t = random(5, DIM), torch.tensor([0, 10, 400, 800, 999])
    torch.testing.assert_close(bridge(x_t, t), bridge(7 * x_t, t))
    torch.testing.assert_close(bridge(x_t[2:3], t[2:3]), bridge(x_t, t)[2:3])


def test_it_reads_the_direction_and_the_time(bridge):
    x_t, t = random(1, DIM), torch.tensor([400])
    assert not torch.allclose(bridge(x_t, t), bridge(-x_t, t), atol=0.01)
    assert not torch.allclose(bridge(x_t, t), bridge(x_t, t + 300), atol=0.01)


def test_it_begins_as_one_that_knows_nothing():
    new = Bridge(BridgeConfig(dim=DIM, width=16, depth=1, time_dim=8))
    assert (new(random(3, DIM), torch.tensor([1, 2, 3])) == 0).all()


def test_a_frame_as_far_from_the_mean_as_the_average_comes_back(bridge):
    frames = F.normalize(random(4, DIM), dim=1)
    entered = bridge.enter(frames, bridge.frame_mean)
    torch.testing.assert_close(entered.norm(dim=1), torch.full((4,), SCALE))
    left = bridge.leave(entered)
    torch.testing.assert_close(left.norm(dim=1), torch.ones(4))
    bridge.radius = (frames[0] - bridge.frame_mean).norm()
    torch.testing.assert_close(bridge.leave(entered)[0], frames[0])

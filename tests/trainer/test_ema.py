import pytest
import torch
from torch import nn

from clipsonic_cli.trainer.ema import Ema


def test_the_average_is_the_closed_form():
    """With decay min(d, (1 + n) / (10 + n)) and weights w_n, by hand in float64."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(5.0)
    ema, average = Ema(network, decay=0.3), 5.0
    for step, weight in enumerate([1.0, -2.0, 4.0, 0.5]):
        network.weight.data.fill_(weight)
        ema.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    assert ema.state_dict()["weight"].item() == pytest.approx(average, rel=1e-6)


def test_without_a_warm_up_the_decay_is_the_same_from_the_first_step_on():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = Ema(network, decay=0.75, warmup=False)
    network.weight.data.fill_(1.0)
    for step in range(3):
        ema.update(step)
    assert ema.state_dict()["weight"].item() == pytest.approx(1 - 0.75**3)


def test_the_first_update_forgets_nine_tenths_of_the_start():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = Ema(network, decay=0.9999)
    network.weight.data.fill_(1.0)
    ema.update(0)
    assert ema.state_dict()["weight"].item() == pytest.approx(0.9)


def test_buffers_are_copied_not_averaged():
    network = nn.BatchNorm1d(2)
    ema = Ema(network, decay=0.5)
    network(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))
    ema.update(0)
    state = ema.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert torch.equal(state["running_mean"], network.running_mean)


def test_updating_does_not_change_the_network():
    network = nn.Linear(2, 2)
    before = network.weight.clone()
    ema = Ema(network, decay=0.5)
    ema.update(0)
    assert torch.equal(network.weight, before)


def test_an_average_taken_back_goes_on_from_there():
    network = nn.Linear(2, 2)
    ema = Ema(network, decay=0.5)
    other = {name: torch.full_like(v, 7.0) for name, v in ema.state_dict().items()}
    ema.load_state_dict(other)
    assert all(torch.equal(v, other[name]) for name, v in ema.state_dict().items())


def test_an_average_is_applied_for_a_while_and_nothing_is_lost():
    network = nn.Linear(2, 2)
    ema = Ema(network, decay=0.5)
    network.weight.data += 1
    own, average = network.weight.clone(), ema.state_dict()["weight"].clone()
    with ema.applied():
        assert torch.equal(network.weight, average)
    assert torch.equal(network.weight, own)
    assert torch.equal(ema.state_dict()["weight"], average)

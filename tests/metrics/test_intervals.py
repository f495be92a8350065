import pytest
import torch
from hearing import generator

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.intervals import groups_of, half_width, of_mean


def drawn(count, seed=0):
    return torch.randn(count, generator=generator(seed), dtype=torch.float64)


def test_the_interval_of_a_mean_is_about_two_standard_errors_each_way():
    values = drawn(400)
    low, high = of_mean(values, generator=generator())
    error = 1.96 * float(values.std()) / 20
    assert low == pytest.approx(float(values.mean()) - error, abs=0.15 * error)
    assert high == pytest.approx(float(values.mean()) + error, abs=0.15 * error)


def test_the_interval_holds_the_true_mean_about_95_times_in_100():
    inside = [of_mean(drawn(40, s), generator=generator(s)) for s in range(200)]
    assert 0.89 < sum(low < 0 < high for low, high in inside) / 200 < 0.99


def test_draws_in_pieces_are_as_many(monkeypatch):
    monkeypatch.setattr(intervals, "AT_ONCE", 100)
    low, high = of_mean(drawn(40), generator=generator())
    assert low < float(drawn(40).mean()) < high


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = drawn(50)
    without = (values.sum() - values) / 49
    assert half_width(without) == pytest.approx(1.959964 * float(values.std()) / 50**0.5)


def test_too_few_sounds_have_no_interval():
    assert of_mean(drawn(7), generator=generator()) is None
    assert half_width(drawn(7)) is None


@pytest.mark.parametrize(
    ("sounds", "groups", "sizes"), [(3, 32, {1}), (64, 32, {2}), (70, 32, {2, 3})]
)
def test_sounds_are_dealt_evenly(sounds, groups, sizes):
    dealt = groups_of(tuple(f"{i}" for i in range(sounds)), groups, generator=generator())
    assert set(torch.bincount(dealt).tolist()) == sizes


def test_the_deal_goes_by_name_and_not_by_order():
    names = tuple(f"{i}" for i in range(40))
    there = dict(zip(names, groups_of(names, 8, generator=generator()).tolist(), strict=True))
    turned = names[::-1]
    back = dict(zip(turned, groups_of(turned, 8, generator=generator()).tolist(), strict=True))
    assert there == back

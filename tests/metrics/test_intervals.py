import pytest
import scipy.stats
import torch
from noisy_sets import generator

from clipsonic_cli.metrics import intervals
from clipsonic_cli.metrics.intervals import groups_of, half_width, of_mean, of_share, student


def drawn(count, seed=0):
    return torch.randn(count, generator=generator(seed), dtype=torch.float64)


def test_the_interval_of_a_mean_is_about_two_standard_errors_each_way():
    values = drawn(400)
    low, high = of_mean(values, generator=generator())
    error = 1.96 * float(values.std()) / 20
    assert low == pytest.approx(float(values.mean()) - error, abs=0.15 * error)
    assert high == pytest.approx(float(values.mean()) + error, abs=0.15 * error)


@pytest.mark.parametrize(("count", "draws"), [(8, 1000), (15, 1000), (40, 200)])
def test_the_interval_holds_the_true_mean_about_95_times_in_100(count, draws):
    ends = [of_mean(drawn(count, s), generator=generator(s)) for s in range(draws)]
    inside = sum(low < 0 < high for low, high in ends) / draws
    assert abs(inside - 0.95) < 3 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.parametrize("degrees", [7, 8, 15, 28, 31, 500])
def test_student_is_that_of_the_tables(degrees):
    assert student(degrees) == pytest.approx(scipy.stats.t.ppf(0.975, degrees), rel=1e-3)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (3, 10), (40, 50), (8, 8)])
def test_the_interval_of_a_share_is_wilsons(right, count):
    values = (torch.arange(count) < right).double()
    expected = scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
    assert of_share(values) == pytest.approx(tuple(expected), abs=1e-6)
    low, high = of_share(values)
    assert 0 <= low <= right / count <= high <= 1
    assert high - low > 0.2


def test_draws_in_pieces_are_as_many(monkeypatch):
    monkeypatch.setattr(intervals, "AT_ONCE", 100)
    low, high = of_mean(drawn(40), generator=generator())
    assert low < float(drawn(40).mean()) < high


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = drawn(50)
    without = (values.sum() - values) / 49
    seen = half_width(float(values.mean()), without, torch.ones(50))
    assert seen == pytest.approx(2.009575 * float(values.std()) / 50**0.5, rel=1e-4)


def test_what_changes_with_the_size_alone_is_no_chance():
    """A statistic of nothing but bias, which is one over the size of the set."""
    sizes = torch.tensor([1.0, 2.0] * 8, dtype=torch.float64)
    n = float(sizes.sum())
    half = half_width(1 / n, 1 / (n - sizes), sizes)
    assert half < 0.1 / n


def test_groups_of_unequal_sizes_tell_the_error_of_a_mean():
    sizes = torch.tensor([1, 2, 5] * 20)
    halves = []
    for seed in range(40):
        values = torch.randn(int(sizes.sum()), generator=generator(seed), dtype=torch.float64)
        sums = torch.stack([group.sum() for group in torch.split(values, sizes.tolist())])
        without = (values.sum() - sums) / (len(values) - sizes)
        halves.append(half_width(float(values.mean()), without, sizes.double()))
    assert sum(halves) / 40 == pytest.approx(2.0 / len(values) ** 0.5, rel=0.05)


def test_too_few_sounds_have_no_interval():
    assert of_mean(drawn(7), generator=generator()) is None
    assert half_width(0.0, drawn(7), torch.ones(7)) is None
    assert of_share(torch.ones(7)) is None


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

import math

import pytest
import torch
from hearing import generator, heard

from clipsonic_cli.metrics.fad import METRIC, _Parts, around, expected_bias, outliers
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import Gaussian, Moments, frechet_distance
from clipsonic_cli.metrics.intervals import groups_of

DIM = 16
ROOTS = 0.9 ** torch.arange(DIM, dtype=torch.float64)


def normal(sounds, *, windows=4, seed=0, shift=0.0, alike=0.0):
    """Windows of a Gaussian; of one sound, a share of the variance is common."""
    draw = {"generator": generator(seed), "dtype": torch.float64}
    own = torch.randn(sounds, windows, DIM, **draw) * (1 - alike) ** 0.5
    common = torch.randn(sounds, 1, DIM, **draw) * alike**0.5
    rows = ((own + common) * ROOTS).flatten(0, 1)
    rows[:, 0] += shift
    names = tuple(f"{index:05d}" for index in range(sounds))
    return Features(backbone="vggish", names=names, counts=(windows,) * sounds, rows=rows.float())


def truth(shift=0.0):
    mean = torch.zeros(DIM, dtype=torch.float64)
    mean[0] = shift
    return Gaussian(n=1_000_000, mean=mean, cov=ROOTS.square().diag())


def scored(made, reference, seed=0):
    return {s.metric: s for s in METRIC(made, reference, generator=generator(seed))}


def test_a_set_is_no_distance_from_itself():
    fad = scored(normal(40), normal(40))["fad"]
    assert 0 <= fad.value < 1e-9
    assert fad.interval[0] == 0


def test_all_windows_are_pooled():
    made, reference = normal(20, shift=1), normal(30, seed=1, windows=5)
    expected = frechet_distance(
        *(
            Gaussian(n=2, mean=r.double().mean(0), cov=torch.cov(r.double().T))
            for r in (made.rows, reference.rows)
        )
    )
    assert scored(made, reference)["fad"].value == pytest.approx(expected, rel=1e-9)


def test_noise_moves_sounds_away_the_more_there_is():
    clean = heard(24)
    values = [scored(heard(24, snr=snr), clean)["fad"].value for snr in (60, 20, 10, 0)]
    assert values == sorted(values)
    assert values[1] > 10 * values[0]


@pytest.mark.parametrize(("n", "m"), [(100, 100), (60, 400), (20, 3000)])
def test_the_expected_bias_is_the_mean_distance_of_two_draws(n, m):
    draws = [
        frechet_distance(*(normal(k, windows=1, seed=2 * i + j).moments().gaussian()
                           for j, k in enumerate((n, m))))
        for i in range(40)
    ]  # fmt: skip
    mean = sum(draws) / len(draws)
    assert expected_bias(truth(), n, m) == pytest.approx(mean, rel=0.08)


def test_the_expected_bias_of_one_dimension_is_in_closed_form():
    """Of the mean s (1/n + 1/m), of the deviation s / 4 times twice 1/(n-1) + 1/(m-1)."""
    one = Gaussian(n=9, mean=torch.zeros(1).double(), cov=torch.full((1, 1), 3.0).double())
    expected = 3 * (1 / 10 + 1 / 5) + 3 / 2 * (1 / 9 + 1 / 4)
    assert expected_bias(one, 10, 5) == pytest.approx(expected)


def test_the_expected_bias_of_what_does_not_vary_is_0_and_of_one_vector_nothing():
    still = Gaussian(n=9, mean=torch.zeros(2).double(), cov=torch.zeros(2, 2).double())
    assert expected_bias(still, 10, 10) == 0
    with pytest.raises(ValueError, match="2 vectors or more in both sets, got 1 and 5"):
        expected_bias(truth(), 1, 5)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_infinity_is_nearer_to_the_true_distance_than_the_plain_one(shift, alike):
    """The mean of many draws, as one may be luck; the true distance is the shift squared."""
    both = [scored(normal(64, seed=s, shift=shift, alike=alike), truth()) for s in range(40)]
    plain, infinite = (
        sum(b[name].value for b in both) / len(both) for name in ("fad", "fad-infinity")
    )
    assert abs(infinite - shift**2) < 0.35 * (plain - shift**2)


def test_the_interval_holds_most_draws():
    """Of the distance at this size; the scatter of 30 draws against the width that one states."""
    both = [scored(normal(64, seed=s, shift=1.0, alike=0.5), truth()) for s in range(30)]
    for name in ("fad", "fad-infinity"):
        values = torch.tensor([b[name].value for b in both])
        halves = torch.tensor([(b[name].interval[1] - b[name].interval[0]) / 2 for b in both])
        assert 0.7 < float(halves.mean() / (1.96 * values.std())) < 1.6


def test_a_part_set_is_as_far_away_as_its_own_gaussian():
    made = normal(8, shift=1)
    parts = _Parts(made, truth(), generator())
    group = groups_of(made.names, 32, generator=generator())
    picked = made.only([made.names[i] for i in range(8) if group[i] < 3])
    weights = (torch.arange(8) < 3).double()
    expected = frechet_distance(picked.moments().gaussian(), truth())
    assert parts.distances(weights[None]).tolist() == pytest.approx([expected], rel=1e-6)


def test_an_interval_of_a_distance_does_not_go_below_0():
    assert around(1.0, 3.0) == (0.0, 4.0)
    assert around(1.0, None) is None


def test_fewer_windows_than_dimensions_are_scored_and_said():
    fad = scored(normal(3), normal(50))["fad"]
    assert math.isfinite(fad.value)
    assert fad.notes == (
        "12 windows of the sounds cannot span 16 dimensions: their covariance is of a lower rank, "
        "and the distance much too large.",
        "3 sounds are too few for an interval or FAD-infinity, which need 8.",
    )
    assert fad.interval is None


def test_few_windows_for_the_dimensions_are_said_on_either_side():
    notes = scored(normal(64), normal(20, windows=2))["fad"].notes
    assert len(notes) == 1
    assert notes[0].startswith("40 windows of the reference are few for 16 dimensions")


def test_many_windows_need_no_words_and_their_bias_is_stated():
    scores = scored(normal(64), normal(64, seed=1))
    assert scores["fad"].notes == ()
    gaussian = normal(64, seed=1).moments().gaussian()
    assert scores["fad"].bias == expected_bias(gaussian, 256, 256)
    assert scores["fad-infinity"].bias is None


def test_sounds_that_are_all_one_are_scored():
    still = Features(
        backbone="vggish", names=tuple("abcdefghij"), counts=(2,) * 10, rows=torch.zeros(20, DIM)
    )
    fad = scored(still, truth(shift=2))["fad"]
    assert fad.value == pytest.approx(4 + float(ROOTS.square().sum()))
    assert fad.interval == pytest.approx((fad.value, fad.value))


def test_the_sound_that_is_not_of_the_set_comes_first():
    made = normal(12)
    strange = made.rows.clone()
    strange[4 * 7 : 4 * 8] += 5
    made = Features(backbone="vggish", names=made.names, counts=made.counts, rows=strange)
    distances = outliers(made, normal(100, seed=1))
    assert next(iter(distances)) == "00007"
    assert list(distances.values()) == sorted(distances.values(), reverse=True)


def test_the_distance_of_one_sound_is_that_of_its_own_gaussian():
    made, reference = normal(2, windows=5), normal(50, seed=1)
    moments = Moments(DIM)
    moments.add(made.rows[5:])
    theirs = reference.moments().gaussian()
    expected = frechet_distance(moments.gaussian(), theirs)
    assert outliers(made, reference)["00001"] == pytest.approx(expected, rel=1e-6)
    assert outliers(made, theirs) == outliers(made, reference)


def test_a_sound_of_one_window_has_a_distance():
    made = normal(3, windows=1)
    expected = made.rows[0].double().square().sum() + ROOTS.square().sum()
    assert outliers(made, truth())["00000"] == pytest.approx(float(expected))


def test_features_far_from_0_lose_nothing():
    made, reference = normal(40), normal(40, seed=1)
    near = scored(made, reference)
    far = scored(*(Features(backbone="vggish", names=f.names, counts=f.counts, rows=f.rows + 1024)
                   for f in (made, reference)))  # fmt: skip
    for name, score in near.items():
        assert far[name].value == pytest.approx(score.value, rel=1e-3)

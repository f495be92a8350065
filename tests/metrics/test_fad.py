import math
from dataclasses import replace

import pytest
import torch
from noisy_sets import embedded, generator

from clipsonic_cli.metrics.fad import METRIC, _Subsets, around, expected_bias, outliers
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.frechet import Gaussian, Moments, Statistics, frechet_distance
from clipsonic_cli.metrics.intervals import groups_of

DIM = 16
ROOTS = 0.9 ** torch.arange(DIM, dtype=torch.float64)


def normal(sounds, *, windows=4, seed=0, shift=0.0, icc=0.0):
    """Windows of a Gaussian; of one sound, a share of the variance is common."""
    draw = {"generator": generator(seed), "dtype": torch.float64}
    own = torch.randn(sounds, windows, DIM, **draw) * (1 - icc) ** 0.5
    common = torch.randn(sounds, 1, DIM, **draw) * icc**0.5
    rows = ((own + common) * ROOTS).flatten(0, 1)
    rows[:, 0] += shift
    names = tuple(f"{index:05d}" for index in range(sounds))
    return Features(backbone="vggish", names=names, counts=(windows,) * sounds, rows=rows.float())


def flat(sounds, seed=0):
    """A window each, of 64 dimensions that are all alike."""
    rows = torch.randn(sounds, 64, generator=generator(seed))
    names = tuple(f"{index:05d}" for index in range(sounds))
    return Features(backbone="vggish", names=names, counts=(1,) * sounds, rows=rows)


def truth(shift=0.0):
    mean = torch.zeros(DIM, dtype=torch.float64)
    mean[0] = shift
    return statistics(mean, ROOTS.square().diag(), sounds=1_000_000)


def statistics(mean, cov, *, sounds, windows=1, icc=0.0):
    return Statistics(
        gaussian=Gaussian(n=sounds * windows, mean=mean.double(), cov=cov.double()),
        sounds=sounds,
        cluster_size=windows,
        icc=icc,
    )


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
    clean = embedded(24)
    values = [scored(embedded(24, snr=snr), clean)["fad"].value for snr in (60, 20, 10, 0)]
    assert values == sorted(values)
    assert values[1] > 10 * values[0]


@pytest.mark.parametrize(
    ("n", "m", "windows", "icc"),
    [
        (100, 100, 1, 0.0),
        (60, 400, 1, 0.0),
        (20, 3000, 1, 0.0),
        (60, 60, 4, 0.0),
        (60, 60, 4, 0.7),
        (40, 300, 6, 1.0),
    ],
)
def test_the_expected_bias_is_the_mean_distance_of_two_draws(n, m, windows, icc):
    """Of sounds whose windows are alike or not; what is stated is of each draw alone."""
    distances, stated = [], []
    for seed in range(40):
        sets = [
            normal(k, windows=windows, seed=2 * seed + j, icc=icc).statistics()
            for j, k in enumerate((n, m))
        ]
        distances.append(frechet_distance(*(some.gaussian for some in sets)))
        stated.append(expected_bias(*sets))
    assert sum(stated) == pytest.approx(sum(distances), rel=0.09)


def test_the_expected_bias_of_one_dimension_is_in_closed_form():
    """Of the mean s (1/n + 1/m), of the deviation s / 4 times twice 1/(n-1) + 1/(m-1)."""
    sets = [statistics(torch.zeros(1), torch.full((1, 1), 3.0), sounds=n) for n in (10, 5)]
    expected = 3 * (1 / 10 + 1 / 5) + 3 / 2 * (1 / 9 + 1 / 4)
    assert expected_bias(*sets) == pytest.approx(expected)


def test_the_expected_bias_of_what_does_not_vary_is_0_and_of_a_single_sound_unknown():
    still = statistics(torch.zeros(2), torch.zeros(2, 2), sounds=10)
    assert expected_bias(still, still) == 0
    assert expected_bias(normal(1).statistics(), truth()) is None
    assert scored(normal(1), normal(9))["fad"].bias is None


def test_windows_of_a_sound_that_are_all_one_count_once():
    """But for a constant factor of the covariance, whose rows are more but not freer."""
    once, four = normal(50, windows=1).statistics(), normal(50, windows=4, icc=1).statistics()
    assert expected_bias(four, truth()) == pytest.approx(expected_bias(once, truth()), rel=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("icc", [0.0, 0.8])
def test_infinity_is_nearer_to_the_true_distance_than_the_plain_one(shift, icc):
    """The mean of many draws, as one may be luck; the true distance is the shift squared."""
    both = [scored(normal(64, seed=s, shift=shift, icc=icc), truth()) for s in range(40)]
    plain, infinite = (
        sum(b[name].value for b in both) / len(both) for name in ("fad", "fad-infinity")
    )
    assert abs(infinite - shift**2) < 0.35 * (plain - shift**2)


def test_the_interval_holds_most_draws():
    """Of the distance at this size; the scatter of 30 draws against the width that one states."""
    both = [scored(normal(64, seed=s, shift=1.0, icc=0.5), truth()) for s in range(30)]
    for name in ("fad", "fad-infinity"):
        values = torch.tensor([b[name].value for b in both])
        halves = torch.tensor([(b[name].interval[1] - b[name].interval[0]) / 2 for b in both])
        assert 0.7 < float(halves.mean() / (1.96 * values.std())) < 1.6


def test_a_subset_is_as_far_away_as_its_own_gaussian():
    made = normal(8, shift=1)
    subsets = _Subsets(made, truth().gaussian, generator())
    group = groups_of(made.names, 32, generator=generator())
    picked = made.only([made.names[i] for i in range(8) if group[i] < 3])
    weights = (torch.arange(8) < 3).double()
    expected = frechet_distance(picked.gaussian(), truth().gaussian)
    assert subsets.distances(weights[None]).tolist() == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("windows", [(3, 3), (40, 40), (400, 400), (3, 400), (400, 3)])
def test_subsets_are_in_the_space_of_the_reference_of_whatever_rank(windows):
    """64 dimensions, which 3 or 40 vectors do not span."""
    draw = generator()
    sets = [torch.randn(count, 64, generator=draw) + count / 400 for count in windows]
    made, true = (Features(backbone="panns", names=("a",), counts=(len(x),), rows=x) for x in sets)
    seen = _Subsets(made, true.gaussian(), draw).distances(torch.ones(1, 1, dtype=torch.float64))
    expected = frechet_distance(made.gaussian(), true.gaussian())
    assert seen.tolist() == pytest.approx([expected], abs=of_roots(made, true))


def of_roots(made, true):
    """Return what rounding adds to a distance through the square roots of eigenvalues near 0."""
    rank = min(len(made.rows), len(true.rows), made.dim)
    largest = math.prod(float(torch.linalg.eigvalsh(x.gaussian().cov)[-1]) for x in (made, true))
    return 2 * rank * (rank * torch.finfo(torch.float64).eps * largest) ** 0.5


def test_an_interval_of_a_distance_does_not_go_below_0():
    assert around(1.0, 3.0) == (0.0, 4.0)
    assert around(1.0, None) is None


def test_fewer_windows_than_dimensions_are_scored_and_said():
    fad = scored(normal(3), normal(50))["fad"]
    assert math.isfinite(fad.value)
    assert fad.notes == (
        "12 windows of the sounds cannot span 16 dimensions: their covariance is of a lower rank, "
        "and the distance much too large. Two draws of as many sounds of one distribution would be "
        "2.03 or more apart.",
        "3 sounds are too few for an interval or fad-infinity, which need 8.",
    )
    assert (fad.interval, fad.bias) == (None, None)
    assert (fad.notes[0].brief, fad.notes[0].rank) == ("too few sounds; give 5 or more", 1)


@pytest.mark.parametrize(
    ("made", "true", "of", "least"),
    [(3, 50, "", 5), (50, 3, " of the reference", 5), (3, 2, "", 5)],
)
def test_few_windows_on_both_sides_are_one_note_with_the_number_that_is_enough(
    made, true, of, least
):
    fad = scored(normal(made), normal(true))["fad"]
    assert [note.brief for note in fad.notes if note.rank == 1] == [
        f"too few sounds{of}; give {least} or more"
    ]
    enough = scored(normal(least), normal(least))["fad"]
    assert not any(note.rank == 1 for note in enough.notes)


def test_the_bias_that_is_reported_few_windows_is_no_more_than_there_is():
    """Draws of one distribution whose 64 dimensions are not spanned."""
    scores = [scored(*(flat(20, seed=2 * s + k) for k in (0, 1)))["fad"] for s in range(10)]
    stated = [float(score.notes[0].partition("would be ")[2].split()[0]) for score in scores]
    assert max(stated) < min(score.value for score in scores)


def test_a_reference_that_is_all_one_is_compared():
    made, still = flat(40), flat(2)
    still = replace(still, rows=torch.zeros_like(still.rows))
    gaussian = made.gaussian()
    expected = float(gaussian.mean.square().sum() + gaussian.cov.trace())
    fad = scored(made, still)["fad"]
    assert fad.value == pytest.approx(expected, rel=1e-9)
    assert fad.interval[0] < expected < fad.interval[1]


def test_few_windows_for_the_dimensions_are_said_on_either_side_and_of_infinity_too():
    scores = scored(normal(64), normal(20, windows=2))
    for score in scores.values():
        assert score.notes[0].startswith("40 windows of the reference are few for 16 dimensions")
    assert len(scores["fad"].notes) == 1


@pytest.mark.parametrize(("sounds", "least"), [(16, 16), (20, 20)])
def test_infinity_is_left_out_where_subsets_cannot_span_the_space(sounds, least):
    scores = scored(normal(sounds, windows=4), truth())
    assert ("fad-infinity" in scores) == (least > DIM)
    why = f"a 4th of the sounds may have no more than {least} windows, which cannot span 16"
    left_out = f"fad-infinity is left out: {why} dimensions."
    assert (left_out in scores["fad"].notes) == (least <= DIM)
    assert scores["fad"].interval is not None


def test_the_smallest_subset_is_of_the_shortest_sounds():
    made = normal(40, windows=2)
    longer = Features(
        backbone="vggish",
        names=made.names[:30],
        counts=(1,) * 20 + (6,) * 10,
        rows=made.rows,
    )
    assert "no more than 8 windows" in scored(longer, truth())["fad"].notes[-1]


def test_many_windows_need_no_words_and_their_bias_is_stated():
    scores = scored(normal(64), normal(64, seed=1))
    assert scores["fad"].notes == ()
    made, reference = (normal(64, seed=seed).statistics() for seed in (0, 1))
    assert scores["fad"].bias == expected_bias(made, reference)
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
    theirs = reference.statistics()
    expected = frechet_distance(moments.gaussian(), theirs.gaussian)
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

import math

import pytest
import torch
from noisy_sets import embedded, generator

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import kad
from clipsonic_cli.metrics.features import Features
from clipsonic_cli.metrics.kad import METRIC, median_distance


def normal(rows, dim=3, *, seed=0, shift=0.0):
    return torch.randn(rows, dim, generator=generator(seed), dtype=torch.float64) + shift


def of(rows, windows=2, name="made"):
    sounds = len(rows) // windows
    names = tuple(f"{name}-{index:05d}" for index in range(sounds))
    return Features(backbone="vggish", names=names, counts=(windows,) * sounds, rows=rows.float())


def scored(made, reference, seed=0):
    return METRIC(made, reference, generator=generator(seed))[0]


def squared_discrepancy(x, y, bandwidth):
    """The package's estimate where every row is a sound of its own."""
    numbers = torch.arange(len(x) + len(y))
    sets = (kad._Rows(rows=x.double(), sound=numbers[: len(x)]),
            kad._Rows(rows=y.double(), sound=numbers[len(x) :]))  # fmt: skip
    return kad._discrepancies(*sets, bandwidth, torch.zeros(len(x), dtype=torch.int64))[0]


def direct(x, y, bandwidth, mine=None, theirs=None):
    """The definition, pair by pair; rows of one number are of one sound, and no pair."""
    mine = range(len(x)) if mine is None else mine
    theirs = range(len(x), len(x) + len(y)) if theirs is None else theirs

    def mean(a, b, of_a, of_b):
        pairs = [
            math.exp(-float((one - other).square().sum()) / (2 * bandwidth**2))
            for one, i in zip(a, of_a, strict=True)
            for other, j in zip(b, of_b, strict=True)
            if i != j
        ]
        return sum(pairs) / len(pairs)

    return mean(x, x, mine, mine) + mean(y, y, theirs, theirs) - 2 * mean(x, y, mine, theirs)


def correlated(sounds, seed, *, name="made", windows=3, clips=None, dim=8):
    """Windows of which most is common to a sound; and to a clip, if sounds are made of some."""
    draw = {"generator": generator(seed), "dtype": torch.float64}
    common = torch.randn(sounds, 1, dim, **draw)
    if clips is not None:
        common = 0.5 * common + 0.75**0.5 * clips
    rows = 0.9 * common + 0.19**0.5 * torch.randn(sounds, windows, dim, **draw)
    return of(rows.flatten(0, 1), windows, name)


def test_two_points_apart_are_in_closed_form():
    """Twice two equal points at distance d: 1 + 1 - 2 exp(-d^2 / 2 h^2)."""
    x, y = torch.zeros(2, 1), torch.full((2, 1), 3.0)
    expected = 2 - 2 * math.exp(-9 / 8)
    assert squared_discrepancy(x, y, 2.0) == pytest.approx(expected)


@pytest.mark.parametrize("block", [4, 1024])
def test_it_is_the_definition_whatever_the_blocks(monkeypatch, block):
    monkeypatch.setattr(kad, "BLOCK", block)
    x, y = normal(11), normal(7, seed=1, shift=0.5)
    assert squared_discrepancy(x, y, 1.3) == pytest.approx(direct(x, y, 1.3), rel=1e-9)
    assert squared_discrepancy(x + 1e6, y + 1e6, 1.3) == pytest.approx(direct(x, y, 1.3), rel=1e-6)


def mean_and_error(rows, h, shift):
    """Of 99 draws of two Gaussians so far apart in each dimension."""
    draws = torch.tensor(
        [
            squared_discrepancy(normal(rows, seed=s), normal(rows, seed=s + 99, shift=shift), h)
            for s in range(99)
        ]
    )
    return float(draws.mean()), float(draws.std()) / 99**0.5


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("rows", [6, 60])
def test_gaussians_are_on_average_as_far_apart_as_their_closed_form_at_every_size(rows, shift):
    """E k of N(0, I) and N(d, I) is (h^2 / (h^2 + 2))^(D/2) exp(-|d|^2 / 2 (h^2 + 2))."""
    h = 1.5
    alike = (h**2 / (h**2 + 2)) ** 1.5
    expected = 2 * alike * (1 - math.exp(-3 * shift**2 / (2 * (h**2 + 2))))
    mean, error = mean_and_error(rows, h, shift)
    assert abs(mean - expected) < 3 * error < 0.1


def test_a_set_and_itself_fall_below_0_by_the_pairs_that_are_the_same():
    x = normal(40)
    k = (-torch.cdist(x, x).square() / 8).exp()
    between = float((k.sum() - 40) / (40 * 39))
    assert squared_discrepancy(x, x, 2.0) == pytest.approx(-2 * (1 - between) / 40)


def test_the_score_is_a_hundredfold_at_the_median_distance_of_the_reference():
    made, reference = of(normal(50), 1), of(normal(60, seed=1, shift=1), 1, "true")
    width = float(torch.pdist(reference.rows.double()).sort().values[(60 * 59 // 2 - 1) // 2])
    assert median_distance(reference.rows.double()) == width
    expected = 100 * squared_discrepancy(made.rows, reference.rows, width)
    score = scored(made, reference)
    assert score.value == pytest.approx(expected, rel=1e-9)
    assert score.notes == (f"Kernel bandwidth {width:.4g}, the reference's median distance.",)


@pytest.mark.parametrize("block", [4, 1024])
def test_no_two_windows_of_a_sound_or_of_two_of_one_name_are_a_pair(monkeypatch, block):
    """Of sounds a, b, c and b, c, d, of one to three windows each."""
    monkeypatch.setattr(kad, "BLOCK", block)
    made = Features(backbone="vggish", names=("a", "c", "b"), counts=(3, 1, 2),
                    rows=normal(6).float())  # fmt: skip
    reference = Features(backbone="vggish", names=("d", "b", "c"), counts=(2, 2, 1),
                         rows=normal(5, seed=1).float())  # fmt: skip
    x, y = made.rows.double(), reference.rows.double()
    expected = direct(x, y, median_distance(y), "aaacbb", "ddbbc")
    assert scored(made, reference).value == pytest.approx(100 * expected, rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_two_draws_of_alike_windows_are_on_average_at_0(paired):
    """Whether these are of other clips, or of the same under the same names."""
    values = []
    for seed in range(100):
        clips = normal(30, 8, seed=900 + seed)[:, None] if paired else None
        reference = correlated(30, 2 * seed, name="made" if paired else "true", clips=clips)
        values.append(scored(correlated(30, 2 * seed + 1, clips=clips), reference).value)
    spread = torch.tensor(values)
    assert abs(float(spread.mean())) < 2.5 * float(spread.std()) / 10 < 0.25


@pytest.mark.parametrize("counts", [(1, 2), (2, 1)])
def test_a_single_sound_is_no_set_whatever_its_windows(counts):
    made, reference = (of(normal(6 * n, seed=n), 6, f"{n}") for n in counts)
    with pytest.raises(UsageError, match="'kad' needs 2 sounds or more on either side, got 1; "):
        scored(made, reference)


def test_the_rows_that_are_drawn_do_not_depend_on_the_order_of_sounds(monkeypatch):
    monkeypatch.setattr(kad, "ROWS", 50)
    monkeypatch.setattr(kad, "MEDIAN_ROWS", 20)
    made, reference = correlated(40, 0), correlated(40, 1, name="true")
    turned = (some.only(some.names[::-1]) for some in (made, reference))
    assert scored(*turned) == scored(made, reference)


def test_noise_moves_sounds_away_the_more_there_is():
    clean = embedded(24)
    values = [scored(embedded(24, snr=snr), clean).value for snr in (60, 20, 10, 0)]
    assert values == sorted(values)
    assert values[1] > 0 > values[0] - 1


def test_the_parts_of_the_interval_are_the_sets_without_each_group():
    x = kad._Rows(rows=normal(12), sound=torch.arange(12) // 2)
    y = kad._Rows(rows=normal(9, seed=1), sound=torch.arange(9) // 3 + 4)
    group = x.sound % 4
    whole, without = kad._discrepancies(x, y, 1.0, group)

    def of_those(chosen):
        mine = x.sound[chosen].tolist()
        return direct(x.rows[chosen], y.rows, 1.0, mine, y.sound.tolist())

    assert whole == pytest.approx(of_those(group >= 0))
    assert without.tolist() == pytest.approx([of_those(group != g) for g in range(4)])


def test_the_interval_holds_most_draws():
    reference = of(normal(400, seed=999), name="true")
    scores = [scored(of(normal(120, seed=s, shift=0.5)), reference) for s in range(30)]
    values = torch.tensor([s.value for s in scores])
    halves = torch.tensor([(s.interval[1] - s.interval[0]) / 2 for s in scores])
    assert 0.7 < float(halves.mean() / (1.96 * values.std())) < 1.5


def test_of_too_many_rows_some_are_drawn_and_noted(monkeypatch):
    monkeypatch.setattr(kad, "ROWS", 500)
    made, reference = of(normal(2000)), of(normal(2000, seed=1, shift=0.3), name="true")
    drawn = scored(made, reference)
    assert drawn.notes[1:] == (
        "500 of the 2000 windows of the sounds were compared.",
        "500 of the 2000 windows of the reference were compared.",
    )
    monkeypatch.undo()
    whole = scored(made, reference)
    assert drawn.value != whole.value
    assert len(whole.notes) == 1
    assert drawn.interval[0] < whole.value < drawn.interval[1]


@pytest.mark.parametrize(
    ("made", "reference", "few"),
    [
        (50, 50, []),
        (49, 50, ["49 sounds"]),
        (50, 49, ["49 sounds of the reference"]),
        (48, 49, ["48 sounds and 49 sounds of the reference"]),
    ],
)
def test_few_sounds_are_warned_of_on_either_side_in_one_note(made, reference, few):
    score = scored(of(normal(2 * made, shift=3)), of(normal(2 * reference, seed=1), name="true"))
    assert [note.partition(" are few")[0] for note in score.notes[1:]] == few
    assert [note.brief for note in score.notes[1:]] == ["too few sounds; give 50 or more"] * len(
        few
    )


def test_a_score_below_0_says_that_it_may_be():
    reference = of(normal(200, seed=50), 1, "true")
    scores = [scored(of(normal(100, seed=seed), 1), reference) for seed in range(8)]
    below = [any("Below 0" in note for note in one.notes) for one in scores]
    assert below == [one.value < 0 for one in scores]
    assert {True, False} == set(below)


def test_a_reference_that_is_all_one_has_no_scale():
    with pytest.raises(UsageError, match="'kad' has no scale to compare by"):
        scored(of(normal(20)), of(torch.zeros(20, 3)))


def test_sounds_that_are_all_one_are_scored():
    score = scored(of(torch.zeros(20, 3)), of(normal(20, seed=1)))
    assert score.value > 0

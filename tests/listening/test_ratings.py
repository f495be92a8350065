"""Files that raters send back, read strictly; means and intervals against closed forms."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import t as scipy_t

from clipsonic_cli.errors import UsageError
from clipsonic_cli.listening.ratings import (
    FORMAT,
    KEY_FORMAT,
    Rating,
    Ratings,
    mean,
    mean_opinion_scores,
    read_ratings,
    student_t,
)

SYSTEMS = {"a1": "zs", "a2": "zs", "b1": "pd", "b2": "pd"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    samples = {sample: {"system": system} for sample, system in SYSTEMS.items()}
    fields = {"format": KEY_FORMAT, "test": "t1", "systems": ["zs", "pd"], "samples": samples}
    return write(tmp_path / "key.json", fields)


def write(path: Path, fields: object) -> Path:
    path.write_text(json.dumps(fields), "utf-8")
    return path


def saved(
    path: Path, rater: str, answers: dict[str, tuple[object, object]], /, **other: object
) -> Path:
    given_ = {name: {"fidelity": f, "relevance": r} for name, (f, r) in answers.items()}
    fields = {"format": FORMAT, "test": "t1", "rater": rater, "answers": given_}
    return write(path, fields | other)


def rated(*numbers: tuple[str, str, int]) -> Ratings:
    """Ratings of equal fidelity and relevance, by rater, system and number."""
    ratings = tuple(
        Rating(rater=rater, system=system, sample=str(i), fidelity=number, relevance=number)
        for i, (rater, system, number) in enumerate(numbers)
    )
    return Ratings(ratings=ratings, answered={}, systems=("zs", "pd"), samples=len(ratings))


def test_the_key_tells_who_made_what_was_rated(tmp_path, key):
    path = saved(tmp_path / "anna.json", "Anna", {"b1": (4, 2), "a2": (1, 5)})
    read = read_ratings([path], key)
    assert {(r.rater, r.system, r.sample, r.fidelity, r.relevance) for r in read.ratings} == {
        ("Anna", "pd", "b1", 4, 2),
        ("Anna", "zs", "a2", 1, 5),
    }
    assert read.systems == ("zs", "pd")
    assert read.samples == 4


def test_partial_files_are_read_and_counted(tmp_path, key):
    whole = saved(tmp_path / "a.json", "Anna", dict.fromkeys(SYSTEMS, (3, 3)))
    part = saved(tmp_path / "b.json", "Ben", {"a1": (3, 3)})
    none = saved(tmp_path / "c.json", "Cleo", {})
    read = read_ratings([whole, part, none], key)
    assert read.answered == {"Anna": 4, "Ben": 1, "Cleo": 0}
    assert read.partial == ("Ben", "Cleo")


def test_a_rater_who_sends_several_files_counts_once(tmp_path, key):
    early = saved(tmp_path / "1.json", "Anna", {"a1": (3, 4)})
    late = saved(tmp_path / "2.json", " anna ", {"a1": (3, 4), "b1": (5, 5)})
    read = read_ratings([early, late, late], key)
    assert read.answered == {"Anna": 2}
    assert len(read.ratings) == 2


def test_a_rater_who_contradicts_oneself_is_rejected(tmp_path, key):
    one = saved(tmp_path / "1.json", "Anna", {"a1": (3, 4)})
    other = saved(tmp_path / "2.json", "Anna", {"a1": (3, 5)})
    with pytest.raises(
        UsageError, match=r"'Anna' answers differently on sound 'a1' in '.*1\.json'"
    ):
        read_ratings([one, other], key)


@pytest.mark.parametrize("number", [0, 6, 3.0, True, "4", None, [4], math.nan, 10**30])
def test_an_answer_off_the_scale_is_rejected(tmp_path, key, number):
    path = saved(tmp_path / "a.json", "Anna", {"a1": (3, number)})
    with pytest.raises(UsageError, match=r"relevance of sound 'a1'; allowed are whole numbers"):
        read_ratings([path], key)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other/1"}, "not of the format 'clipsonic-ratings/1'"),
        ({"test": "t2"}, "answers the test 't2', but the key is of 't1'"),
        ({"rater": "  "}, "lacks a rater"),
        ({"answers": [1]}, "lacks a rater or answers"),
        ({"answers": {"zz": {"fidelity": 1, "relevance": 1}}}, "a sound 'zz' that the test"),
        ({"answers": {"a1": {"fidelity": 1}}}, "None for the relevance"),
        ({"answers": {"a1": 4}}, "None for the fidelity"),
    ],
)
def test_a_file_that_does_not_fit_is_rejected_in_one_line(tmp_path, key, change, said):
    path = saved(tmp_path / "a.json", "Anna", {"a1": (3, 3)}, **change)
    with pytest.raises(UsageError, match=said) as caught:
        read_ratings([path], key)
    assert "\n" not in str(caught.value)
    assert "a.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{", b"[" * 100_000, b"9" * 5000])
def test_a_damaged_file_is_rejected_whether_answers_or_key(tmp_path, key, content):
    broken = tmp_path / "broken.json"
    broken.write_bytes(content)
    with pytest.raises(UsageError, match="give a file that a rater saved"):
        read_ratings([broken], key)
    with pytest.raises(UsageError, match=r"give the key written with the test"):
        read_ratings([broken], broken)


def test_missing_files_are_named(tmp_path, key):
    with pytest.raises(UsageError, match=r"absent\.json' cannot be read: No such file"):
        read_ratings([tmp_path / "absent.json"], key)
    with pytest.raises(UsageError, match="There are no ratings"):
        read_ratings([], key)


@pytest.mark.parametrize(
    "change", [{"samples": {}}, {"samples": {"a1": 3}}, {"systems": ["zs"]}, {"test": 1}]
)
def test_a_damaged_key_is_rejected(tmp_path, key, change):
    write(key, json.loads(key.read_text()) | change)
    with pytest.raises(UsageError, match="is a damaged key"):
        read_ratings([tmp_path / "unread.json"], key)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 7) | st.floats() | st.sampled_from(list(SYSTEMS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fidelity", "relevance", *SYSTEMS]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=ANY_JSON, rater=ANY_JSON)
def test_whatever_a_file_holds_is_read_right_or_rejected(tmp_path, key, answers, rater):
    path = saved(tmp_path / "a.json", "Anna", {}, answers=answers, rater=rater)
    try:
        read = read_ratings([path], key)
    except UsageError:
        return
    assert {one.sample for one in read.ratings} == set(answers)
    assert all(1 <= n <= 5 for one in read.ratings for n in (one.fidelity, one.relevance))


def test_the_interval_of_one_to_five_has_its_closed_form():
    # The variance of 1..5 is 5/2; tables give t(0.975, 4) = 2.7764.
    given_ = mean([1, 2, 3, 4, 5])
    assert (given_.n, given_.value) == (5, 3.0)
    assert given_.half_width == pytest.approx(2.7764451 * math.sqrt(2.5 / 5), rel=1e-7)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 20, 21, 104, 105, 1000, 5001])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_student_t_is_scipys(freedom, level):
    assert student_t(freedom, level) == pytest.approx(scipy_t.ppf((1 + level) / 2, freedom), 1e-9)


def test_one_number_has_no_interval_and_equal_numbers_one_of_no_width():
    assert mean([4]).half_width is None
    assert mean([4, 4, 4]).half_width == 0.0
    with pytest.raises(ValueError, match="got none"):
        mean([])


def test_scores_are_given_per_system_and_question(tmp_path, key):
    path = saved(tmp_path / "a.json", "Anna", {"a1": (1, 5), "a2": (2, 4), "b1": (3, 3)})
    scores = mean_opinion_scores(read_ratings([path], key))
    found = {(s.system, s.question): (s.ratings.n, s.ratings.value) for s in scores}
    assert list(found) == [(s, q) for s in ("zs", "pd") for q in ("fidelity", "relevance")]
    assert found["zs", "fidelity"] == (2, 1.5)
    assert found["zs", "relevance"] == (2, 4.5)
    assert found["pd", "fidelity"] == (1, 3.0)


def test_raters_of_different_strictness_widen_the_interval_over_raters():
    means = {"a": 2, "b": 3, "c": 4}
    score = mean_opinion_scores(rated(*[(rater, "zs", n) for rater, n in means.items()] * 10))[0]
    assert score.ratings.value == score.raters.value == 3.0
    assert (score.ratings.n, score.raters.n) == (30, 3)
    # Three means, 2, 3 and 4: s = 1, and t(0.975, 2) = 4.3027.
    assert score.raters.half_width == pytest.approx(4.3026527 / math.sqrt(3), rel=1e-6)
    assert score.ratings.half_width == pytest.approx(
        scipy_t.ppf(0.975, 29) * math.sqrt(20 / 29) / math.sqrt(30)
    )


def test_an_interval_takes_three_raters_and_stays_on_the_scale():
    two = mean_opinion_scores(rated(("a", "zs", 2), ("b", "zs", 4)))[0]
    assert (two.raters.value, two.raters.half_width, two.interval) == (3.0, None, None)
    three = mean_opinion_scores(rated(("a", "zs", 2), ("b", "zs", 4), ("c", "zs", 5)))[0]
    half = 4.3026527 * math.sqrt(7 / 3) / math.sqrt(3)  # the variance of 2, 4 and 5 is 7/3
    assert three.interval == (1.0, 5.0)
    assert three.raters.half_width == pytest.approx(half, rel=1e-6)
    same = mean_opinion_scores(rated(("a", "zs", 4), ("b", "zs", 4), ("c", "zs", 4)))[0]
    assert same.interval == (4.0, 4.0)


def test_a_rater_who_rated_more_weighs_no_more_among_raters():
    score = mean_opinion_scores(rated(*[("a", "zs", 1)] * 9, ("b", "zs", 5)))[0]
    assert score.ratings.value == pytest.approx(1.4)
    assert score.raters.value == 3.0


def test_a_system_that_nobody_rated_has_no_score():
    scores = mean_opinion_scores(rated(("a", "zs", 3)))
    assert [(s.ratings is None, s.raters is None) for s in scores if s.system == "pd"] == [
        (True, True)
    ] * 2

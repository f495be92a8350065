"""What holds for every metric of the registry."""

import dataclasses
import math

import pytest
import torch
from noisy_sets import generator, vectors

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES, METRICS
from clipsonic_cli.metrics.metric import parse
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.types import Score


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS.load(request.param)


def mixed(features, share, seed=9):
    """The same sounds, each row moved towards another."""
    order = torch.randperm(len(features.rows), generator=generator(seed))
    rows = (1 - share) * features.rows + share * features.rows[order]
    return dataclasses.replace(features, rows=rows)


def test_it_says_what_it_is(metric, request):
    assert metric.name == request.node.callspec.params["metric"]
    assert metric.title
    assert metric.better in ("lower", "higher")


@pytest.mark.parametrize("name", [name for name in METRICS if not METRICS.load(name).needs_ratings])
def test_identical_sets_score_best(name):
    metric, made = METRICS.load(name), vectors(100, windows=1)
    best, worse = (metric(some, made, generator=generator()) for some in (made, mixed(made, 0.5)))
    for one, other in zip(best, worse, strict=True):
        ahead = other.value - one.value if metric.better == "lower" else one.value - other.value
        assert ahead > 0


def test_scores_are_finite_and_say_how_many_they_are_of(metric):
    scores = metric(vectors(40), vectors(40, seed=1), generator=generator())
    assert all(isinstance(score, Score) and math.isfinite(score.value) for score in scores)
    assert {(score.n, score.rows, score.against) for score in scores} == {(40, 120, 120)}
    assert scores[0].metric.startswith(metric.name)
    assert all(score.interval[0] <= score.value <= score.interval[1] for score in scores)


def test_the_order_of_files_is_irrelevant(metric):
    made, against = vectors(40), vectors(40, seed=1)
    backwards = made.only(made.names[::-1])
    there = metric(made, against, generator=generator())
    again = metric(backwards, against.only(against.names[::-1]), generator=generator())
    for one, other in zip(there, again, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-9, abs=1e-12)
        assert one.interval == pytest.approx(other.interval, rel=1e-6, abs=1e-9)


def test_the_seed_decides_all_that_is_drawn(metric):
    made, against = vectors(40), vectors(40, seed=1)
    first, second, other = (metric(made, against, generator=generator(seed)) for seed in (1, 1, 2))
    assert first == second
    assert (first != other) == (metric.name != "accuracy")  # of which nothing is drawn


def test_too_few_sounds_are_scored_without_an_interval_or_rejected_in_one_line(metric):
    one = vectors(1, windows=1)
    if metric.min_rows == 1:
        assert {s.interval for s in metric(one, one, generator=generator())} == {None}
        return
    with pytest.raises(UsageError, match=rf"'{metric.name}' needs 2 windows .* got 1; ") as caught:
        metric(one, one, generator=generator())
    assert "\n" not in str(caught.value)


def test_vectors_of_another_backbone_are_rejected(metric):
    with pytest.raises(ValueError, match="one backbone, got 'vectors' of size 6 and 'clap'"):
        metric(vectors(4), vectors(4, backbone="clap"), generator=generator())
    with pytest.raises(ValueError, match="size 6 and 'vectors' of size 5"):
        metric(vectors(4), vectors(4, dim=5), generator=generator())


def test_statistics_are_enough_or_rejected(metric):
    made = vectors(40)
    statistics = made.statistics()
    if metric.takes_statistics:
        scores = metric(made, statistics, generator=generator())
        assert scores == metric(made, made, generator=generator())
        return
    with pytest.raises(UsageError, match=rf"'{metric.name}' needs the sounds of the"):
        metric(made, statistics, generator=generator())


def test_statistics_of_vectors_of_another_size_are_rejected_in_one_line():
    with pytest.raises(UsageError, match="of size 5, those of 'vectors' have size 6; ") as caught:
        METRICS.load("fad")(vectors(9), vectors(9, dim=5).statistics(), generator=generator())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS.load(name).paired])
def test_pairs_are_made_by_name_and_those_without_a_partner_are_noted(name):
    metric, made, against = METRICS.load(name), vectors(12), vectors(12, seed=1)
    fewer = against.only(against.names[2:])
    (score, *_) = metric(made, fewer, generator=generator())
    assert score.n == 10
    assert any(note.startswith("2 left out, '0000' and others: none of") for note in score.notes)
    stranger = dataclasses.replace(against, names=tuple(f"x{name}" for name in against.names))
    with pytest.raises(UsageError, match="none has one: '0000' is not among them"):
        metric(made, stranger, generator=generator())


def test_a_score_of_another_backbone_is_labelled(metric):
    usual, mini = (
        metric(vectors(9, backbone=b), vectors(9, backbone=b), generator=generator())[0]
        for b in (metric.backbone, "mini")
    )
    assert usual.label == usual.metric
    assert mini.label == f"{usual.metric}[mini]"


def test_what_the_manifest_says_metrics_need_are_metrics():
    for name in {name for row in ASSETS.values() for name in row.metrics}:
        assert parse(name)[0].name == name.partition(":")[0]


def test_a_backbone_may_be_named():
    assert [(m.name, b) for m, b in map(parse, ("fad", "fad:clap", "kad:vggish"))] == [
        ("fad", "vggish"),
        ("fad", "clap"),
        ("kad", "vggish"),
    ]
    with pytest.raises(UsageError, match=r"Unknown metric 'fda'. Did you mean 'fad'"):
        parse("fda")
    with pytest.raises(UsageError, match=r"Unknown backbone 'clip'. Did you mean 'clap'"):
        parse("fad:clip")


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_its_registered_name(name):
    assert BACKBONES.load(name).name == name


def test_sample_rates_that_differ_are_noted():
    made = dataclasses.replace(vectors(9), sample_rate=16_000)
    reference = dataclasses.replace(vectors(9), sample_rate=44_100, notes=("1 sound silent.",))
    (score, *_) = METRICS.load("fad")(made, reference, generator=generator())
    assert "Sample rates differ: 16000 Hz, and 44100 Hz of the reference." in score.notes
    assert "Of the reference: 1 sound silent." in score.notes
    assert score.sample_rate == 16_000


@pytest.mark.parametrize("name", ["fad", "kl"])
@pytest.mark.parametrize(("seconds", "noted"), [(4.3, False), (3.6, True), (4.5, True)])
def test_mean_lengths_that_differ_by_more_than_a_tenth_are_noted(name, seconds, noted):
    metric, made = METRICS.load(name), dataclasses.replace(vectors(9), seconds=4.0)
    against = dataclasses.replace(vectors(9), seconds=seconds)
    (score, *_) = metric(made, against, generator=generator())
    note = f"Lengths differ: 4.00 s on average, and {seconds:.2f} s of the {metric.against}."
    assert (note in score.notes) == noted


def test_saved_statistics_tell_of_other_sample_rates_and_lengths():
    made = dataclasses.replace(vectors(9), seconds=4.0, sample_rate=16_000)
    saved = dataclasses.replace(made, seconds=10.0, sample_rate=8000).statistics()
    (score, *_) = METRICS.load("fad")(made, saved, generator=generator())
    assert {note.partition(" differ")[0] for note in score.notes} >= {"Sample rates", "Lengths"}


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("fad", {"audio", "reference"}),
        ("kad", {"audio", "reference"}),
        ("clap", {"audio", "prompts"}),
        ("clap-windows", {"audio", "prompts"}),
        ("similarity", set()),
        ("nearest-frame", set()),
        ("label-rank", set()),
        ("kl", {"audio", "reference", "classes"}),
        ("accuracy", {"audio", "prompts", "classes"}),
        ("is", {"audio", "classes"}),
        ("cs", {"audio", "images"}),
        ("aes", {"audio", "ratings"}),
    ],
)
def test_a_metric_says_what_it_needs(name, needs):
    metric = METRICS.load(name)
    kinds = ("audio", "reference", "prompts", "classes", "images", "ratings")
    assert {kind for kind in kinds if getattr(metric, f"needs_{kind}")} == needs

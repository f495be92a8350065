"""The inception score, in cases with a known value."""

import pytest
import torch
from noisy_sets import generator

from clipsonic_cli.metrics import METRICS
from clipsonic_cli.metrics.features import from_vectors


def score(rows):
    tags = from_vectors([f"{i:04d}" for i in range(len(rows))], rows, backbone="passt")
    (score,) = METRICS.load("is")(tags, tags, generator=generator())
    return score


def test_sounds_that_are_tagged_alike_score_one():
    assert score(torch.tensor([[0.2, 0.5, 0.3]]).repeat(40, 1)).value == pytest.approx(1)


def test_sounds_of_one_class_each_score_the_number_of_classes():
    assert score(torch.eye(3)).value == pytest.approx(3)
    many = score(torch.eye(2).repeat(2000, 1))
    assert many.value == pytest.approx(2, abs=0.01)
    assert not many.notes


def test_no_group_scores_more_than_its_sounds():
    assert score(torch.eye(40)).value == pytest.approx(4)


def test_it_is_the_formula_of_each_group():
    rows = torch.rand(3, 5, generator=generator(1)).softmax(1)
    p = rows.double()
    by_hand = (p * (p / p.mean(0)).log()).sum(1).mean().exp()
    assert score(rows).value == pytest.approx(float(by_hand))


def test_ten_groups_have_an_interval_and_small_ones_a_note():
    some = score(torch.rand(60, 7, generator=generator(1)).mul(9).softmax(1))
    assert some.interval[0] < some.value < some.interval[1]
    (note,) = some.notes
    assert note.startswith("Of 10 groups of 6 sounds, fewer than the 7 classes: ")

"""Whether a network knows labels: closed forms, and how often a strange network passes."""

import pytest
import torch

from clipsonic_cli.metrics.features import from_vectors
from clipsonic_cli.metrics.label_check import LEVEL, check_labels


def check(centres, texts, sizes, *, noise=0.1, seed=0):
    """Check sounds (so many of each label) around centres (K, D) against texts (K, D)."""
    generator = torch.Generator().manual_seed(seed)
    owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rows = centres[owner] + noise * torch.randn(len(owner), centres.shape[1], generator=generator)
    names = [f"{n:04d}" for n in range(len(owner))]
    labels = {name: f"label {k:02d}" for name, k in zip(names, owner.tolist(), strict=True)}
    sounds = from_vectors(names, rows, backbone="x")
    embedded = from_vectors([f"label {k:02d}" for k in range(len(sizes))], texts, backbone="x")
    return check_labels(sounds, labels, embedded, generator=generator)


def random(count, dim=16, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [4, 5, 12])
def test_labels_whose_sounds_are_at_their_texts_are_known(count):
    texts = random(count)
    found = check(texts, texts, [3] * count)
    assert (found.known, found.labels, found.sounds) == (True, count, 3 * count)
    assert found.own > 0.9 > found.interval[1] > found.swapped
    assert not check(texts.roll(1, 0), texts, [3] * count).known


def test_the_cosines_are_means_over_labels():
    eye = torch.eye(4)
    found = check(torch.stack([eye[0], eye[0] + eye[1], eye[2], eye[2]]), eye, [1] * 4, noise=0)
    assert found.own == pytest.approx((1 + 0.5**0.5 + 1) / 4)
    assert found.swapped == pytest.approx((0.5**0.5 + 1) / 12)
    assert found.share == pytest.approx(2 / 24)  # the last two may change places


@pytest.mark.parametrize("count", [4, 6, 20])
def test_a_network_that_places_labels_at_random_seldom_passes(count):
    known = [
        check(random(count, seed=2 * n), random(count, seed=2 * n + 1), [4] * count, seed=n).known
        for n in range(60)
    ]
    assert sum(known) / 60 <= 2.4 * LEVEL  # two standard errors


def test_a_text_near_to_all_sounds_and_a_label_of_most_sounds_prove_nothing():
    known = []
    for n in range(60):
        texts = random(6, seed=2 * n)
        sounds = texts[:1] + 0.1 * random(6, seed=2 * n + 1)
        known.append(check(sounds, texts, [90, 2, 2, 2, 2, 2], seed=n).known)
    assert sum(known) / 60 <= 2.4 * LEVEL


def test_two_labels_can_only_be_told_to_be_strange():
    texts = random(2)
    assert check(texts, texts, [5, 5]).known is None
    assert check(texts.flip(0), texts, [5, 5]).known is False

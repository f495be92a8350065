"""Statistics gathered in one pass equal those of a second pass over the shards."""

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import BridgeConfig
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.preparation.dataset import Prepared
from clipsonic_cli.preparation.statistics import (
    FORMS,
    NOUNS,
    FrameSums,
    as_bundle,
    cluster,
    embed_bank,
    frame_sums,
    measure,
    name_sounds,
    summarize,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(count, dim=8, seed=0):
    return F.normalize(torch.randn(count, dim, generator=seeded(seed)), dim=1)


def test_one_pass_over_the_shards_equals_a_second(catalogue):
    clips = Prepared(catalogue, catalogue.numbers("train"))
    done = []
    sums = frame_sums(clips, seeded(), lambda *args: done.append(args))
    places = [clips.place(clip) for clip in clips.clips]
    again = torch.cat([clips.frames(place, 0, place.frames) for place in places]).double()
    assert (sums.count, done[-1]) == (len(again), ("frames", len(clips), len(clips)))
    torch.testing.assert_close(sums.mean, again.mean(0))
    torch.testing.assert_close(sums.variance, again.var(0, correction=0), atol=1e-12, rtol=1e-6)
    kept = summarize(sums, unit(3, again.shape[1]))
    distances = torch.cdist(again.float(), kept.frames)
    assert distances.amin(0).max() < 1e-3
    assert kept.sizes.sum() == len(again)


def test_the_sample_is_the_same_whatever_pieces_the_vectors_come_in():
    rows = unit(50)
    whole = FrameSums(seeded(), sample=20).add(rows)
    pieces = FrameSums(seeded(), sample=20)
    for piece in rows.split(7):
        pieces.add(piece)
        assert len(pieces.rows) == min(pieces.count, 20)
    torch.testing.assert_close(pieces.rows, whole.rows)
    torch.testing.assert_close(pieces.mean, rows.double().mean(0))


def test_every_vector_is_as_likely_to_be_in_the_sample():
    rows = torch.eye(10)
    counts = sum(FrameSums(seeded(seed), sample=3).add(rows).rows.sum(0) for seed in range(1000))
    assert ((counts - 300).abs() < 5 * (1000 * 0.3 * 0.7) ** 0.5).all()


def test_clusters_that_lie_apart_are_found():
    centres = torch.eye(8)[:4]
    rows = F.normalize(centres.repeat(25, 1) + 0.01 * unit(100), dim=1)
    found, sizes = cluster(rows, 4)
    assert sizes.tolist() == [25.0] * 4
    assert (found @ centres.T).amax(0).min() > 0.999


def test_few_vectors_are_kept_as_they_are():
    rows = unit(5)
    found, sizes = cluster(rows, 9)
    assert torch.equal(found, rows)
    assert sizes.tolist() == [1.0] * 5


def test_clusters_stand_for_all_frames():
    kept = summarize(FrameSums(seeded(), sample=40).add(unit(100)), unit(3, seed=1), kept=10)
    assert len(kept.frames) <= 10
    assert kept.sizes.sum() == pytest.approx(100)
    assert (kept.config.count, kept.config.kept) == (100, len(kept.frames))


def test_the_bank_has_each_noun_once_in_each_form(encoder):
    assert len(set(NOUNS)) == len(NOUNS) > 200
    assert len(embed_bank(encoder)) == len(NOUNS) * len(FORMS)


@pytest.fixture(scope="module")
def bank(encoder):
    return embed_bank(encoder)


def of_nouns(bank, counts):
    """Return statistics of as many frames in the directions of the texts of nouns."""
    texts = F.normalize(bank[:: len(FORMS)] - bank.mean(0), dim=1)
    frames = torch.cat([texts[[noun]].repeat(count, 1) for noun, count in counts.items()])
    statistics = summarize(FrameSums(seeded()).add(frames), bank)
    statistics.frame_mean.zero_()
    return statistics


def test_the_sounds_of_labelled_clips_are_the_labels(encoder, bank):
    statistics = of_nouns(bank, {3: 2})
    labels = ["dog", "rain_drops", "dog", None]
    meta = name_sounds(statistics, encoder, labels, bank)
    assert meta == {"known": ["dog", "rain_drops"], "known_by": "labels"}
    texts, _ = encoder.embed_text(["dog", "rain drops"])
    torch.testing.assert_close(statistics.known, texts, atol=1e-5, rtol=0)


@pytest.mark.parametrize("labels", [["dog", None], ["dog", "rain", *[None] * 3]])
def test_the_sounds_of_other_clips_are_the_nouns_that_enough_frames_are_like(encoder, bank, labels):
    # A quarter of the mean number of frames, 14 / 3, is more than one.
    statistics = of_nouns(bank, {3: 9, 5: 4, 8: 1})
    meta = name_sounds(statistics, encoder, labels, bank)
    assert meta == {"known": [NOUNS[3], NOUNS[5]], "known_by": "nouns"}
    torch.testing.assert_close(statistics.known, bank[:: len(FORMS)][[3, 5]])
    weights = as_bundle(statistics, encoder, meta).weights
    assert (weights["known"].dtype, weights["known"].shape) == (torch.float16, (2, encoder.dim))


def test_a_bridge_is_given_the_means_and_the_frames_distance_from_theirs():
    frames, texts = unit(50), unit(9, seed=1)
    bridge = Bridge(BridgeConfig(dim=8, width=8, depth=1, time_dim=8))
    measure(bridge, FrameSums(seeded()).add(frames), texts)
    torch.testing.assert_close(bridge.frame_mean, frames.mean(0))
    torch.testing.assert_close(bridge.text_mean, texts.mean(0))
    torch.testing.assert_close(bridge.radius, (frames - frames.mean(0)).norm(dim=1).mean())

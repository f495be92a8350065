"""The ways over CLIP's gap, against closed forms."""

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.config import StatisticsConfig
from clipsonic_cli.models.statistics import Statistics

DIM = 16


def around(mean, count, spread, seed):
    """Draw unit vectors around a direction."""
    noise = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return F.normalize(mean + spread * noise, dim=1)


@pytest.fixture
def texts():
    return around(torch.eye(DIM)[0] * 3, 200, 0.5, seed=1)


@pytest.fixture
def frames():
    return around(torch.eye(DIM)[1] * 3, 100, 1.0, seed=2)


@pytest.fixture
def statistics(frames, texts):
    made = Statistics(StatisticsConfig(dim=DIM, kept=len(frames)))
    made.frame_mean, made.text_mean = frames.mean(0), texts.mean(0)
    made.frame_variance = frames.var(0, correction=0)
    made.text_variance = texts.var(0, correction=0)
    made.frames = frames
    made.drifted_mean = made.scaled(texts).mean(0)
    return made


@pytest.mark.parametrize("way", ["mean_shift", "realign", "retrieve"])
def test_vectors_have_unit_norm_and_do_not_depend_on_their_batch(statistics, texts, way):
    move = getattr(statistics, way)
    moved = move(texts)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(len(texts)))
    torch.testing.assert_close(move(texts[3:4]), moved[3:4])


def test_texts_without_a_gap_stay_where_they_are(statistics, texts):
    statistics.frame_mean, statistics.frame_variance = (
        statistics.text_mean,
        statistics.text_variance,
    )
    statistics.drifted_mean = statistics.scaled(texts).mean(0)
    torch.testing.assert_close(statistics.mean_shift(texts), texts)
    torch.testing.assert_close(statistics.realign(texts), texts)


def test_realigned_texts_have_the_mean_and_the_spread_of_frames(statistics, frames, texts):
    def off(moved):
        spread = moved.var(0, correction=0).sum() / frames.var(0, correction=0).sum()
        return (moved.mean(0) - frames.mean(0)).norm(), (spread - 1).abs()

    gap, ratio = off(texts)
    mean, spread = off(statistics.realign(texts))
    assert mean < 0.05 * gap
    assert spread < 0.1 < ratio


def test_retrieval_of_a_frame_by_its_own_direction_finds_it(statistics, frames):
    query = frames[7] - statistics.frame_mean + statistics.text_mean
    statistics.frames = F.normalize(torch.eye(DIM) + 0.01, dim=1)
    statistics.sizes = torch.ones(DIM)
    statistics.frame_mean = statistics.frames.mean(0)
    query = statistics.frames[7] - statistics.frame_mean + statistics.text_mean
    torch.testing.assert_close(statistics.retrieve(query[None])[0], statistics.frames[7])


def test_a_kept_frame_weighs_as_much_as_those_it_stands_for(statistics, frames, texts):
    whole = statistics.retrieve(texts)
    twice = Statistics(StatisticsConfig(dim=DIM, kept=len(frames)))
    twice.load_state_dict(statistics.state_dict())
    twice.frames = torch.cat([frames, frames[:1], frames[:1]])
    twice.sizes = torch.ones(len(twice.frames))
    statistics.sizes[0] = 3
    assert not torch.allclose(statistics.retrieve(texts), whole)
    torch.testing.assert_close(statistics.retrieve(texts), twice.retrieve(texts))

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.diffusion.timesteps import inner_timesteps, spaced_timesteps, too_few
from clipsonic_cli.errors import UsageError


def test_a_thousand_of_four_thousand_are_improved_diffusions():
    visited = spaced_timesteps(4000, 1000)[::-1]
    assert visited[:3] == [0, 4, 8]
    assert [t for t in visited if 1990 < t < 2008] == [1993, 1997, 2002, 2006]
    assert visited[-2:] == [3995, 3999]


@given(st.integers(2, 4000).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))))
def test_both_ends_are_kept_and_every_step_is_distinct(numbers):
    train_steps, steps = numbers
    visited = spaced_timesteps(train_steps, steps)
    assert (visited[0], visited[-1], len(visited)) == (train_steps - 1, 0, steps)
    gaps = {above - below for above, below in pairwise(visited)}
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 2


def test_a_single_step_starts_from_pure_noise():
    assert spaced_timesteps(4000, 1) == [3999]


def test_inner_timesteps_are_those_of_dalle2_pytorch_1_1_0():
    """Its ``torch.linspace(0., 1000, steps + 2)[:-1].int()`` less the first, which is 0."""
    visited = inner_timesteps(1000, 64)
    assert (visited[:3], visited[-3:]) == ([984, 969, 953], [46, 30, 15])
    theirs = torch.linspace(0.0, 1000, 66)[:-1].int().tolist()
    assert [*visited[::-1]] == theirs[1:]


@given(st.integers(1, 4000).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_inner_timesteps_are_distinct_and_as_many_as_asked(numbers):
    train_steps, steps = numbers
    visited = inner_timesteps(train_steps, steps)
    assert visited == sorted(set(visited), reverse=True)
    assert len(visited) == steps
    assert 0 <= visited[-1] <= visited[0] < train_steps


@pytest.mark.parametrize("timesteps", [spaced_timesteps, inner_timesteps])
@pytest.mark.parametrize("steps", [0, -3, 4001])
def test_steps_the_schedule_does_not_have_are_a_usage_error(timesteps, steps):
    with pytest.raises(UsageError, match=rf"{steps} steps.*1 to 4000"):
        timesteps(4000, steps)


@pytest.mark.parametrize(
    ("sampler", "steps", "few"),
    [("ddpm", 99, True), ("ddpm", 100, False), ("dpmpp", 5, False), ("ddim", 5, False)],
)
def test_only_ancestral_sampling_in_few_steps_is_warned_of(sampler, steps, few):
    assert (too_few(sampler, steps) is not None) == few

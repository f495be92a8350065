from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.diffusion.timesteps import spaced_timesteps
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


@pytest.mark.parametrize("steps", [0, -3, 4001])
def test_steps_the_schedule_does_not_have_are_a_usage_error(steps):
    with pytest.raises(UsageError, match=rf"{steps} steps.*1 to 4000"):
        spaced_timesteps(4000, steps)

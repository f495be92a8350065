from collections import Counter

import numpy as np
import pytest
import splits
from hypothesis import given, settings
from hypothesis import strategies as st

PACKAGES = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=8)
FEW = settings(max_examples=15)


def takes(rows):
    """Takes of packages: (package, whether 0.1.0 trained on it), each a noise of its own."""
    return [
        (
            {"package": package, "author": "", "split_0_1": "train" if trained else ""},
            np.random.default_rng(i).standard_normal(2000).astype(np.float32),
        )
        for i, (package, trained) in enumerate(rows)
    ]


def owners(split):
    return {name: {row["package"] for row, _ in chosen} for name, chosen in split.items()}


@FEW
@given(PACKAGES, st.booleans())
def test_no_package_is_in_two_splits_and_no_take_is_lost(rows, rendered):
    split = splits.split_takes(takes(rows), rendered=rendered)
    count = Counter(name for names in owners(split).values() for name in names)
    assert set(count) == {package for package, _ in rows}
    assert set(count.values()) == {1}
    assert sum(map(len, split.values())) == len(rows)


@FEW
@given(PACKAGES)
def test_what_was_trained_on_before_is_trained_on_again(rows):
    split = owners(splits.split_takes(takes(rows)))
    assert {package for package, trained in rows if trained} <= split["train"]
    assert split["train"]  # nothing else is there to train on


def test_the_largest_package_that_leaves_half_is_held_out():
    rows = [("old", True)] * 5 + [("large", False)] * 13 + [("middle", False)] * 6
    split = owners(splits.split_takes(takes([*rows, ("small", False)])))
    assert split == {"train": {"old", "large"}, "valid": {"small"}, "test": {"middle"}}


@pytest.mark.parametrize(("rendered", "test"), [(False, set()), (True, {"a"})])
def test_a_lone_package_is_held_out_where_there_are_renders(rendered, test):
    split = owners(splits.split_takes(takes([("a", False)] * 3), rendered=rendered))
    assert split["test"] == test
    assert split["train"] | split["test"] == {"a"}


def test_packages_with_one_recording_or_one_author_stay_together():
    rows = takes([("a", False), ("b", False), ("c", False), ("d", False)])
    copied, written = rows[0][1], rows[2][0] | {"author": "someone (freesound 1)"}
    rows[1] = (rows[1][0], np.concatenate([np.zeros(300, np.float32), 0.5 * copied]))
    rows[2] = (written, rows[2][1])
    rows[3] = (rows[3][0] | {"author": written["author"]}, rows[3][1])
    assert splits.package_groups(rows) == [["a", "b"], ["c", "d"]]


def test_the_split_does_not_depend_on_the_order_of_the_table():
    rows = takes([("a", False)] * 2 + [("b", True)] * 3 + [("c", False)])
    assert owners(splits.split_takes(rows)) == owners(splits.split_takes(rows[::-1]))

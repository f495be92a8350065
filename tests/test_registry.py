import sys

import pytest

from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import Registry

FRUIT = Registry("fruit", {"apple": "json:loads", "banana": "nowhere.at.all:none"})


def test_a_registry_lists_its_names_in_the_order_given():
    assert list(FRUIT) == ["apple", "banana"]
    assert len(FRUIT) == 2
    assert FRUIT["apple"] == "json:loads"


def test_a_name_is_checked_without_importing_it():
    assert FRUIT.check("banana") == "banana"
    assert "nowhere" not in sys.modules


def test_loading_gives_the_object_itself():
    import json

    assert FRUIT.load("apple") is json.loads


def test_an_unknown_name_is_reported_its_neighbour_and_the_names_there_are():
    with pytest.raises(UsageError) as raised:
        SAMPLERS.load("ddin")
    assert str(raised.value) == (
        "Unknown sampler 'ddin'. Did you mean 'ddim'? Known: dpmpp, unipc, ddim, ddpm."
    )


def test_a_name_near_to_none_gets_no_guess():
    with pytest.raises(UsageError, match=r"^Unknown fruit 'xyz'\. Known: apple, banana\.$"):
        FRUIT.check("xyz")


def test_the_beginning_of_a_name_is_enough_for_a_guess():
    with pytest.raises(UsageError, match="Did you mean 'banana'"):
        FRUIT.check("Ba")
    with pytest.raises(UsageError, match=r"^Unknown fruit ''\. Known:"):
        FRUIT.check("")

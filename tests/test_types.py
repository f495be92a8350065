from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch

from clipsonic_cli.types import Query, Waveform, silent


def test_a_query_knows_its_kind_and_its_name():
    text, image = Query(text="a photo of dog"), Query(image=Path("pets/cat.jpg"))
    assert (text.kind, text.name) == ("text", "a photo of dog")
    assert (image.kind, image.name) == ("image", "cat")


@pytest.mark.parametrize("both_or_none", [{}, {"text": "dog", "image": Path("dog.jpg")}])
def test_a_query_is_exactly_one_of_text_and_image(both_or_none):
    with pytest.raises(ValueError, match="either a text or an image"):
        Query(**both_or_none)


def test_a_query_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Query(text="dog").text = "cat"


def test_a_waveform_knows_its_length():
    assert Waveform(samples=torch.zeros(24_000), sample_rate=16_000).seconds == 1.5


def test_the_silent_report_says_nothing(capsys):
    silent("sample", 1, 2)
    assert capsys.readouterr() == ("", "")

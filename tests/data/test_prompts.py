import pytest

from clipsonic_cli.data.prompts import prompt


@pytest.mark.parametrize(
    ("label", "space", "text"),
    [
        ("violin", "clip-text", "a photo of violin"),
        ("acoustic_guitar", "clip-image", "a photo of acoustic guitar"),
        ("people crowd, cheering", "clap-text", "the sound of people crowd cheering"),
    ],
)
def test_a_label_becomes_the_papers_prompt(label, space, text):
    assert prompt(label, space) == text

import pytest

from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import query_of
from clipsonic_cli.text import check_words, counted, duration, has_word, names_any, printable


@pytest.mark.parametrize("text", ["dog", "7", "犬", "कु", "собака", "🐶", "!?a"])
def test_letters_digits_and_pictographs_are_words(text):
    assert has_word(text)
    assert check_words(f" {text} ") == text


@pytest.mark.parametrize("text", ["???!!!", "...", "—", "$+=", "\u0301", "  - "])
def test_signs_alone_are_no_prompt(text):
    with pytest.raises(UsageError, match="has no word"):
        query_of(text)


@pytest.mark.parametrize(("text", "held"), [("caf\udce9", "byte 0xe9"), ("a\ud83d", "U[+]D83D")])
def test_a_prompt_that_is_not_utf8_names_what_it_holds(text, held):
    with pytest.raises(UsageError, match=held):
        query_of(text)


def test_a_name_is_shown_on_one_line_whatever_it_holds():
    assert printable("caf\udce9\n\u202efdp") == "caf\\udce9\\n\\u202efdp"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.348, "0.35 s"),
        (4.66, "4.7 s"),
        (79, "79 s"),
        (2100, "35 minutes"),
        (8300, "2.3 hours"),
        (200_000, "2.3 days"),
    ],
)
def test_durations_are_of_two_digits_and_the_unit_people_use(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a photo of a Dog", True),
        ("two dogs", True),
        ("hotdog", False),
        ("sea_waves at night", True),
        ("waves of the sea", False),
        ("", False),
    ],
)
def test_a_text_names_a_label_by_its_words(text, named):
    assert names_any(text, ["dog", "sea waves"]) is named


def test_things_are_counted_in_singular_and_plural():
    assert counted(1, "step") == "1 step"
    assert counted(2000, "step") == "2,000 steps"
    assert counted(1.0, "minute") == "1 minute"
    assert counted(1.5, "minute") == "1.5 minutes"

import pytest

from clipsonic_cli.audio.files import NotSound
from clipsonic_cli.errors import MAX_MESSAGE, BadBundle, ClipsonicError, UsageError


@pytest.mark.parametrize("kind", [ClipsonicError, UsageError, BadBundle, NotSound])
def test_a_message_is_bounded_and_keeps_what_is_wrong_and_the_next_step(kind):
    message = str(kind(f"The value is {'a' * 100_000}. Give another."))
    assert len(message) == MAX_MESSAGE
    assert message.startswith("The value is aaa")
    assert message.endswith("aaa. Give another.")


def test_a_message_that_fits_is_left_as_it_is():
    assert str(UsageError("x" * MAX_MESSAGE)) == "x" * MAX_MESSAGE

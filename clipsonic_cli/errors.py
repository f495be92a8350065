"""Errors that a user can act on, with exit codes.

Every message says what is wrong, the value seen, what is allowed and the next step, in one line of
at most :data:`MAX_MESSAGE` characters, however long the value is.
A setting that the reader can change is named as `batch_size`, between backquotes; the command line
shows its option instead, so that options are spelt in ``cli/`` only.
A wrong argument to a Python function is a plain ``ValueError``.
"""

MAX_MESSAGE = 4000
"""Most characters of a message; of a longer one the middle, where values are, is left out."""


class ClipsonicError(Exception):
    """A failure with a one-line explanation; the command ends with ``exit_code``."""

    exit_code = 1

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) <= MAX_MESSAGE:
            return text
        return f"{text[: MAX_MESSAGE // 2]} [...] {text[7 - MAX_MESSAGE // 2 :]}"


class UsageError(ClipsonicError):
    """A name, a number or a file that the user gave cannot be used."""

    exit_code = 2


class MissingWeights(ClipsonicError):
    """Weights are not on this machine; the message names the command that gets or trains them."""

    exit_code = 3


class BadBundle(ClipsonicError):
    """A weights file is damaged, of another format version, or does not fit other parts."""


class FetchFailed(ClipsonicError):
    """A download failed; no unverified file has its name."""


class NoConnection(FetchFailed):
    """No address of a file could be reached, or a variable forbids to try."""

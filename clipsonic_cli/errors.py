"""What can go wrong that a person can cause or cure.

Knows: the exit code that belongs to each kind. Does not know: how a message is shown (``cli/``).
Every message says what is wrong, the value seen, what is allowed and the next step, in one line.
A wrong argument to a Python function is a plain ``ValueError``.
"""


class ClipsonicError(Exception):
    """A failure with a one-line explanation; the command ends with ``exit_code``."""

    exit_code = 1


class UsageError(ClipsonicError):
    """The person asked for something that cannot be: a name, a number, a file."""

    exit_code = 2


class MissingWeights(ClipsonicError):
    """Weights are not on this machine; the message names the command that gets or trains them."""

    exit_code = 3


class BadBundle(ClipsonicError):
    """A weights file is damaged, of another format version, or does not fit its neighbours."""


class FetchFailed(ClipsonicError):
    """A download did not end in the right file; nothing unverified lies under its name."""

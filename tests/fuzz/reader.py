"""What a reader under test is, and what damaged files it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mutations import mutated_bytes, mutated_text

from clipsonic_cli.errors import ClipsonicError


def encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader, with a valid file.

    Args:
        name: Names it in messages.
        file: What its file is called.
        read: Reads a file; returns, or raises one of ``errors``.
        content: The valid file; None where it is built of ``text``.
        text: The text within the file that is damaged by itself: JSON, lines of JSON, or other.
        build: Builds the file around the text.
        errors: What ``read`` may raise, as its callers make one line of it.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    content: bytes | None = None
    text: str | None = None
    build: Callable[[str], bytes] = encoded
    errors: tuple[type[Exception], ...] = (ClipsonicError,)

    def valid(self) -> bytes:
        return self.build(self.text or "") if self.content is None else self.content

    def damaged(self, seed: int) -> bytes:
        """Return the damaged file of a seed, the same each time."""
        random = Random(f"{self.name}/{seed}")
        if self.text is not None and random.random() < 0.75:
            return self.build(mutated_text(self.text, random))
        return mutated_bytes(self.valid(), random)

"""Folders of small real videos, whose sounds and images differ."""

from pathlib import Path

from make_media import tone, write_media

LABELS = ("violin", "dog barking")


def write_videos(root: Path, count: int = 10, *, labelled: bool = True, first: int = 0) -> Path:
    """Write videos of 2.2 seconds, by turns in the folders of :data:`LABELS`."""
    for number in range(first, first + count):
        folder = root / LABELS[number % len(LABELS)] if labelled else root
        folder.mkdir(parents=True, exist_ok=True)
        write_media(
            folder / f"{number:02d}.mp4",
            seconds=2.2,
            fps=4,
            samples=tone(2.2, 16_000, hz=200 + 37 * number),
            level=lambda frame, number=number: 20 + (24 * frame + 9 * number) % 220,
        )
    return root

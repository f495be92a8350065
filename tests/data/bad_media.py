"""A folder of what goes wrong with media, and what becomes of each file."""

import os
from pathlib import Path

import numpy as np
import pytest
from make_media import grey, put, rotate, write_media

UNOPENED = "unreadable: cut off, or no media this program reads"
DROPPED = {
    "folder.mp4": "unreadable: a folder, no file",
    "blind.mp4": "unreadable: no image",
    "itself.mp4": "unreadable: too many levels of symbolic links",
    "later.mp4": "duplicate: the same as good.mp4",
    "locked.mp4": "unreadable: permission denied",
    "loop": "unreadable: a link to a folder that was entered already",
    "moving.gif": "unreadable: no audio",
    "mute.mp4": "unreadable: no audio",
    "noise.mp4": UNOPENED,
    "not-\\udcff-text.mp4": UNOPENED,
    "nowhere.mp4": "unreadable: there is no such file",
    "picture-named.mp4": UNOPENED,
    "pipe.mp4": "unreadable: a pipe or device, no file",
    "playlist.mp4": UNOPENED,
    "short.mp4": "short: 0.30 s, a window needs 0.5",
    "silent.mp4": "silent: -95 dB of full scale",
    "text.mp4": UNOPENED,
    "truncated.mp4": UNOPENED,
    "zero.mp4": "unreadable: empty (0 bytes)",
}
"""By a clip's id, what its flaws begin with, where a window is half a second."""
KEPT = {
    "192k.mkv": "",
    "8k.mp4": "",
    "clipped.mkv": "clipped: 100.0% of the samples at full scale",
    "cut.mp4": "damaged: 1 of 11 packets of its audio cannot be decoded",
    "damaged.mp4": "damaged: 3 of 17 packets of its audio cannot be decoded; "
    "damaged: 1 of 7 packets of its video cannot be decoded",
    "eight-channels.mkv": "",
    "good.mp4": "",
    "line\\nbreak.mp4": "",
    "matroska-named.mp4": "",
    "one-frame.mp4": "still: no change in 3 looks",
    "one-pixel.mp4": "",
    "rotated.mp4": "",
    "still.mp4": "still: no change in 3 looks",
    "ten-bit.mp4": "",
    "uneven.mp4": "",
    f"{'x' * 196}.mp4": "",
    "ünï 小提琴 🎻.mp4": "",
}


def loud(seed: int) -> np.ndarray:
    """A second of noise that no other file has."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, 16_000).astype(np.float32)


def write_zoo(root: Path) -> Path:
    """Write the files of :data:`KEPT` and :data:`DROPPED`, and notes, into a new folder."""
    root.mkdir()
    good = write_media(root / "good.mp4", samples=loud(0))
    whole = good.read_bytes()
    put(root / "later.mp4", whole)
    put(root / "zero.mp4", b"")
    put(root / "truncated.mp4", whole[: len(whole) // 2])
    fast = write_media(root / "cut.mp4", samples=loud(1), options={"movflags": "faststart"})
    fast.write_bytes(fast.read_bytes()[:-4000])
    put(root / "text.mp4", b"This is no video.\n" * 50)
    put(root / "noise.mp4", np.random.default_rng(2).bytes(20_000))
    put(root / "playlist.mp4", b"#EXTM3U\n#EXTINF:3,\ngood.mp4\n")
    other = write_media(root / "damaged.mp4", samples=loud(21)).read_bytes()
    put(root / "damaged.mp4", other[:900] + bytes(800) + other[1700:])
    write_media(root / "mute.mp4", audio=None)
    write_media(root / "blind.mp4", video=None, samples=loud(3))
    write_media(root / "matroska-named.mp4", container="matroska", samples=loud(4))
    put(root / "picture-named.mp4", b"\x89PNG\r\n\x1a\n" + bytes(100))
    write_media(root / "eight-channels.mkv", layout="7.1", samples=loud(5))
    write_media(root / "8k.mp4", rate=8_000, samples=loud(6)[:8000])
    write_media(root / "192k.mkv", rate=192_000, audio="flac", samples=np.tile(loud(7), 12))
    uneven = [0, 0.3, 0.4, 0.45, 0.5, 0.6, 0.61, 0.7, 0.8, 0.9]
    write_media(root / "uneven.mp4", times=uneven.__getitem__, samples=loud(8))
    rotate(write_media(root / "rotated.mp4", samples=loud(9)), 1)
    one = {"video": "libx264", "pixels": "yuv444p", "size": (1, 1)}
    write_media(root / "one-pixel.mp4", samples=loud(10), **one)
    ten = {"video": "libx264", "pixels": "yuv420p10le"}
    write_media(root / "ten-bit.mp4", samples=loud(11), **ten)
    write_media(root / "moving.gif", video="gif", audio=None, pixels="rgb8")
    write_media(root / "ünï 小提琴 🎻.mp4", samples=loud(12))
    write_media(root / "line\nbreak.mp4", samples=loud(13))
    write_media(root / f"{'x' * 196}.mp4", samples=loud(14))
    put(root / os.fsdecode(b"not-\xff-text.mp4"), b"x")
    write_media(root / "silent.mp4", samples=loud(15) * 1e-4)
    write_media(root / "short.mp4", seconds=0.3, samples=loud(16)[:4800])
    write_media(root / "clipped.mkv", audio="pcm_s16le", samples=np.sign(loud(17)))
    write_media(root / "still.mp4", level=lambda number: grey(0), samples=loud(18))
    write_media(root / "one-frame.mp4", fps=1, samples=loud(19))
    (root / "folder.mp4").mkdir()
    os.mkfifo(root / "pipe.mp4")
    (root / "itself.mp4").symlink_to("itself.mp4")
    (root / "nowhere.mp4").symlink_to("nothing.mp4")
    (root / "loop").symlink_to(root)
    write_media(root / "locked.mp4", samples=loud(20))
    put(root / "notes.txt", b"x")
    return root


def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses this process ``locked.mp4``, as permissions would but for root."""
    really = Path.open

    def refuse(path: Path, *arguments, **named):
        if path.name == "locked.mp4":
            raise PermissionError(13, "Permission denied")
        return really(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)

"""A folder of what goes wrong with media is reported file by file."""

import csv
import os
import random
from pathlib import Path

import numpy as np
import pytest
from making import grey, put, rotate, tone, write_media

from clipsonic_cli.data.check import Rules, examine, sound_flaws
from clipsonic_cli.data.clips import read_clips
from clipsonic_cli.data.report import findings, summarize, write_csv
from clipsonic_cli.data.workers import Failed
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.types import Clip

RULES = Rules(window_seconds=0.5)


def loud(seed: int) -> np.ndarray:
    """A second of noise that no other file has."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, 16_000).astype(np.float32)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Thirty files and more: what becomes of each is in :data:`KEPT` and :data:`DROPPED`."""
    root = tmp_path / "zoo"
    root.mkdir()
    good = write_media(root / "good.mp4", samples=loud(0))
    whole = good.read_bytes()
    put(root / "later.mp4", whole)
    put(root / "zero.mp4", b"")
    put(root / "truncated.mp4", whole[: len(whole) // 2])
    fast = write_media(tmp_path / "fast.mp4", samples=loud(1), options={"movflags": "faststart"})
    put(root / "cut.mp4", fast.read_bytes()[:-4000])
    put(root / "text.mp4", b"This is no video.\n" * 50)
    put(root / "noise.mp4", np.random.default_rng(2).bytes(20_000))
    put(root / "playlist.mp4", b"#EXTM3U\n#EXTINF:3,\ngood.mp4\n")
    put(root / "damaged.mp4", whole[:900] + bytes(800) + whole[1700:])
    write_media(root / "mute.mp4", sound=None)
    write_media(root / "blind.mp4", picture=None, samples=loud(3))
    write_media(root / "matroska-named.mp4", container="matroska", samples=loud(4))
    put(root / "picture-named.mp4", b"\x89PNG\r\n\x1a\n" + bytes(100))
    write_media(root / "eight-channels.mkv", layout="7.1", samples=loud(5))
    write_media(root / "8k.mp4", rate=8_000, samples=loud(6)[:8000])
    write_media(root / "192k.mkv", rate=192_000, sound="flac", samples=np.tile(loud(7), 12))
    uneven = [0, 0.3, 0.4, 0.45, 0.5, 0.6, 0.61, 0.7, 0.8, 0.9]
    write_media(root / "uneven.mp4", times=uneven.__getitem__, samples=loud(8))
    rotate(write_media(root / "rotated.mp4", samples=loud(9)), 1)
    one = {"picture": "libx264", "pixels": "yuv444p", "size": (1, 1)}
    write_media(root / "one-pixel.mp4", samples=loud(10), **one)
    ten = {"picture": "libx264", "pixels": "yuv420p10le"}
    write_media(root / "ten-bit.mp4", samples=loud(11), **ten)
    write_media(root / "moving.gif", picture="gif", sound=None, pixels="rgb8")
    write_media(root / "ünï 小提琴 🎻.mp4", samples=loud(12))
    write_media(root / "line\nbreak.mp4", samples=loud(13))
    write_media(root / f"{'x' * 196}.mp4", samples=loud(14))
    put(root / os.fsdecode(b"not-\xff-text.mp4"), b"x")
    write_media(root / "silent.mp4", samples=loud(15) * 1e-4)
    write_media(root / "short.mp4", seconds=0.3, samples=loud(16)[:4800])
    write_media(root / "clipped.mkv", sound="pcm_s16le", samples=np.sign(loud(17)))
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


UNOPENED = "unreadable: cut off, or no media this program reads"
DROPPED = {
    "cut.mp4": "unreadable: damaged",
    "damaged.mp4": "unreadable: damaged",
    "folder.mp4": "unreadable: a folder, no file",
    "blind.mp4": "unreadable: no picture",
    "itself.mp4": "unreadable: too many levels of symbolic links",
    "later.mp4": "duplicate: the same as good.mp4",
    "locked.mp4": "unreadable: permission denied",
    "loop": "unreadable: a link to a folder that was entered already",
    "moving.gif": "unreadable: no sound",
    "mute.mp4": "unreadable: no sound",
    "noise.mp4": UNOPENED,
    "not-\\udcff-text.mp4": UNOPENED,
    "notes.txt": "unreadable: no video by its name (.txt)",
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
KEPT = {
    "192k.mkv": "",
    "8k.mp4": "",
    "clipped.mkv": "clipped: 100.0% of the samples at full scale",
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


def test_bad_media_are_reported_file_by_file_and_the_rest_is_kept(
    zoo, tmp_path, monkeypatch, capfd
):
    really = Path.open

    def refuse(path: Path, *arguments, **named):  # root may open anything
        if path.name == "locked.mp4":
            raise PermissionError(13, "Permission denied")
        return really(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    told: list[dict[str, str]] = [{}, {}]
    looked_at = list(findings(read_clips(str(zoo)), RULES, workers=0))
    for each in looked_at:
        flaws = [f"{flaw.kind}: {flaw.reason}" for flaw in each.flaws]
        told[each.dropped][each.clip.id] = "; ".join(flaws)
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing
    kept, dropped = told
    assert kept == KEPT
    assert dropped.keys() == DROPPED.keys()
    wrong = {name: dropped[name] for name, why in DROPPED.items() if why not in dropped[name]}
    assert not wrong
    survey = summarize(looked_at)
    assert (survey.found, survey.kept) == (len(KEPT) + len(DROPPED), len(KEPT))
    kinds = {"unreadable": 19, "silent": 1, "short": 1, "duplicate": 1, "clipped": 1, "still": 2}
    assert survey.flaws == kinds
    write_csv(survey, tmp_path / "dropped.csv")
    with (tmp_path / "dropped.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["clip"] for row in rows if row["dropped"] == "yes"} == DROPPED.keys()
    assert all(row["reason"] and "\n" not in row["reason"] for row in rows)


def test_processes_find_what_one_finds(make, tmp_path):
    root = str(make["shards"](tmp_path))
    rules = Rules(drop=frozenset())
    alone, together = (
        list(findings(read_clips(root), rules, workers=workers)) for workers in (0, 2)
    )
    assert alone == together
    survey = summarize(alone)
    assert survey.labels == {"cat": 1, "dog": 1}
    assert survey.hours == pytest.approx((2.5 + 1.0 + 2.5) / 3600)
    assert sum(survey.splits.values()) == survey.kept == 3
    assert survey.flaws["duplicate"] == 1


def test_damaged_media_neither_crash_nor_hang_a_decoder(tmp_path):
    draw = random.Random(0)
    webm = {"picture": "libvpx-vp9", "sound": "libopus", "rate": 48_000}
    kinds = {"a.mp4": {}, "b.mkv": {"picture": "libx264"}, "c.webm": webm}
    whole = [write_media(tmp_path / name, seconds=0.5, **how) for name, how in kinds.items()]
    clips = []
    for number in range(60):
        content = bytearray((path := draw.choice(whole)).read_bytes())
        for _ in range(draw.choice([1, 4, 40])):
            at = draw.randrange(len(content))
            content[at : at + draw.choice([1, 4])] = draw.choice([b"", b"\xff" * 4, b"\0"])
        bad = put(tmp_path / f"bad/{number}{path.suffix}", bytes(content))
        clips.append(Clip(id=bad.name, media=bad))
    reasons = [flaw.reason for each in findings(clips, RULES, workers=1) for flaw in each.flaws]
    assert len(reasons) > 20
    assert not [reason for reason in reasons if "process that" in reason or "longer than" in reason]


def test_progress_counts_the_clips(make, tmp_path):
    told = []
    clips = read_clips(str(make["music"](tmp_path)))
    list(findings(clips, RULES, workers=0, report=lambda *said: told.append(said)))
    assert told == [("Looking at the data", done, 0) for done in (1, 2, 3)]


def test_a_decoder_that_crashes_is_a_finding(make, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "clipsonic_cli.data.report.each",
        lambda function, clips, workers: ((clip, Failed("signal 11")) for clip in clips),
    )
    survey = summarize(findings(read_clips(str(make["folder"](tmp_path))), RULES, workers=1))
    assert (survey.kept, survey.flaws["unreadable"]) == (0, 4)


@pytest.mark.parametrize(
    ("samples", "kinds"),
    [
        (tone(1, 16_000, gain=0.9), set()),
        (tone(1, 16_000, gain=0.0015), set()),
        (tone(1, 16_000, gain=0.0013), {"silent"}),
        (np.zeros(16_000, np.float32), {"silent"}),
        (tone(0.4, 16_000), {"short"}),
        (tone(1, 16_000, gain=3).clip(-1, 1), {"clipped"}),
    ],
)
def test_sounds_are_judged_by_closed_forms(samples, kinds):
    # A sine of amplitude a has a mean square of a * a / 2: -60 dB is a = 0.00141.
    assert {flaw.kind for flaw in sound_flaws(samples, RULES)} == kinds


def test_a_picture_that_changes_once_is_not_still(tmp_path):
    late = write_media(tmp_path / "a.mkv", seconds=2, level=lambda number: grey(number // 18))
    assert not examine(Clip(id="a", media=late), Rules(drop=frozenset())).flaws[1:]


def test_what_is_dropped_is_the_rules_choice(video):
    clip = Clip(id="a", media=video, seconds=1.0)
    assert examine(clip, Rules()).dropped
    assert not examine(clip, Rules(drop=frozenset())).dropped


def test_a_csv_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "dropped.csv").mkdir()
    with pytest.raises(ClipsonicError, match="Cannot write"):
        write_csv(summarize([]), tmp_path / "dropped.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["dropped.csv"]

"""Flaws of sounds and images by closed forms, and the report on findings."""

import csv
from pathlib import Path

import numpy as np
import pytest
from make_media import grey, tone, write_media

from clipsonic_cli.data.check import Finding, Flaw, Rules, StillCheck, audio_flaws, short
from clipsonic_cli.data.media import ClipReader
from clipsonic_cli.data.report import summarize, write_csv
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.types import Clip, Member

RULES = Rules(window_seconds=0.5)


@pytest.mark.parametrize(
    ("samples", "kinds"),
    [
        (tone(1, 16_000, gain=0.9), set()),
        (tone(1, 16_000, gain=0.0015), set()),
        (tone(1, 16_000, gain=0.0013), {"silent"}),
        (np.zeros(16_000, np.float32), {"silent"}),
        (tone(1, 16_000, gain=3).clip(-1, 1), {"clipped"}),
    ],
)
def test_audio_are_judged_by_closed_forms(samples, kinds):
    # A sine of amplitude a has a mean square of a * a / 2: -60 dB is a = 0.00141.
    assert {flaw.kind for flaw in audio_flaws(samples, RULES)} == kinds


def test_a_sound_that_does_not_fill_a_window_is_short():
    reasons = [[flaw.reason for flaw in short(seconds, RULES)] for seconds in (0.5, 0.4)]
    assert reasons == [[], ["0.40 s, a window needs 0.5"]]


@pytest.mark.parametrize(("change", "reasons"), [(17, []), (18, ["no change in 5 looks"])])
def test_an_image_that_changes_by_the_last_look_is_not_still(tmp_path, change, reasons):
    path = tmp_path / "a.mkv"  # ten frames a second, the last look is at 1.75 s
    write_media(path, seconds=2, audio=None, level=lambda number: grey(number // change))
    check = StillCheck(RULES)
    with ClipReader(Clip(id="a", media=path)) as reader:
        for frame in reader.frames():
            check.look(frame)
    assert [flaw.reason for flaw in check.flaws()] == reasons


SILENT = Flaw(kind="silent", reason="-95 dB of full scale")
STILL = Flaw(kind="still", reason="no change in 3 looks")
MEMBER = Member(shard="a.tar", name="b.mp4", offset=512, size=9)


def finding(name, *flaws, seconds=1.0, dropped=False, media=Path("c.mp4"), **of_clip):
    clip = Clip(id=name, media=media, **of_clip)
    return Finding(clip=clip, seconds=seconds, flaws=flaws, dropped=dropped)


def test_a_survey_counts_what_is_kept_and_all_that_is_flawed():
    flawed = [
        finding("b", SILENT, STILL, seconds=5.0, dropped=True, label="cat", split="train"),
        finding("c", STILL, seconds=2.0, split="valid"),
    ]
    good = [finding(name, label="dog", split="train") for name in "ad"]
    survey = summarize([good[0], *flawed, good[1]])
    assert (survey.found, survey.kept) == (4, 3)
    none = {"unreadable": 0, "short": 0, "duplicate": 0, "clipped": 0, "damaged": 0, "note": 0}
    assert survey.flaws == none | {"silent": 1, "still": 2}
    assert survey.hours == pytest.approx(4 / 3600)
    assert (survey.labels, survey.splits) == ({"dog": 2}, {"train": 2, "valid": 1})
    assert survey.flawed == tuple(flawed)


def test_every_flaw_is_a_row(tmp_path):
    flawed = finding("é, 1", SILENT, STILL, dropped=True, media=MEMBER, label="cat", split="test")
    write_csv(summarize([flawed, finding("good")]), tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    assert names == ["clip", "flaw", "reason", "dropped", "label", "split", "file"]
    end = ["yes", "cat", "test", "a.tar:b.mp4"]
    assert rows == [["é, 1", flaw.kind, flaw.reason, *end] for flaw in (SILENT, STILL)]


def test_a_csv_that_cannot_be_written_is_reported_and_leaves_nothing(tmp_path):
    (tmp_path / "dropped.csv").mkdir()
    with pytest.raises(ClipsonicError, match="Cannot write"):
        write_csv(summarize([]), tmp_path / "dropped.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["dropped.csv"]

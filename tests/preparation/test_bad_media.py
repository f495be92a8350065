"""What is wrong with media costs the clip alone, with a reason; the rest is prepared."""

import csv
import random

import pytest
from bad_media import DROPPED, KEPT, lock, write_zoo
from make_media import clips_of, grey, put, tone, write_media, write_tar
from pairs import gathered, write_pair

from clipsonic_cli.data.check import Rules
from clipsonic_cli.data.report import summarize, write_csv
from clipsonic_cli.preparation import prepare as module
from clipsonic_cli.types import Clip

RULES = Rules(window_seconds=0.5)


def test_bad_media_are_reported_file_by_file_and_the_rest_is_kept(
    prepared, tmp_path, monkeypatch, capfd
):
    clips = list(clips_of(str(write_zoo(tmp_path / "zoo"))))
    lock(monkeypatch)
    capfd.readouterr()
    catalogue = prepared(tmp_path / "p", clips, rules=RULES)
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing
    outcomes: list[dict[str, str]] = [{}, {}]
    for finding in catalogue.findings:
        flaws = [f"{flaw.kind}: {flaw.reason}" for flaw in finding.flaws]
        outcomes[finding.dropped][finding.clip.id] = "; ".join(flaws)
    kept, dropped = outcomes
    assert kept == KEPT
    assert dropped.keys() == DROPPED.keys()
    wrong = {name: why for name, why in dropped.items() if not why.startswith(DROPPED[name])}
    assert not wrong
    assert catalogue.ids == list(kept)
    places = [catalogue.place(number) for number in range(len(catalogue))]
    assert min(min(place.mel_frames, place.frames, place.samples) for place in places) > 0
    survey = summarize(catalogue.findings)
    assert (survey.found, survey.kept) == (len(KEPT) + len(DROPPED), len(KEPT))
    kinds = {"unreadable": 16, "silent": 1, "short": 1, "duplicate": 1, "clipped": 1, "still": 2}
    kinds |= {"damaged": 2, "note": 0}
    assert survey.flaws == kinds
    write_csv(survey, tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["clip"] for row in rows if row["dropped"] == "yes"} == DROPPED.keys()
    assert all(row["reason"] and "\n" not in row["reason"] for row in rows)


def test_processes_find_in_tar_files_what_one_finds(prepared, tmp_path):
    video = write_media(tmp_path / "a.mp4", seconds=2.5).read_bytes()
    image, sound = (path.read_bytes() for path in write_pair(tmp_path / "b", 1.0, 440.0))
    first = {"a.mp4": video, "a.txt": b"dog\n", "b.png": image, "b.wav": sound}
    write_tar(tmp_path / "tars" / "000.tar", first)
    write_tar(tmp_path / "tars" / "001.tar", {"a.mp4": video, "a.json": b'{"label": "cat"}'})
    clips = list(clips_of(str(tmp_path / "tars")))
    rules = Rules(drop=frozenset())
    alone, together = (
        prepared(tmp_path / f"{workers}", clips, rules=rules, workers=workers).findings
        for workers in (0, 1)
    )
    assert alone == together
    survey = summarize(alone)
    assert survey.labels == {"cat": 1, "dog": 1}
    assert survey.hours == pytest.approx((2.5 + 1.0 + 2.5) / 3600)
    assert sum(survey.splits.values()) == survey.kept == 3
    assert (survey.flaws["duplicate"], survey.flaws["short"]) == (1, 1)


def test_damaged_media_neither_crash_nor_hang_a_decoder(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    draw = random.Random(0)
    webm = {"video": "libvpx-vp9", "audio": "libopus", "rate": 48_000}
    kinds = {"a.mp4": {}, "b.mkv": {"video": "libx264"}, "c.webm": webm}
    whole = [write_media(tmp_path / name, seconds=0.5, **how) for name, how in kinds.items()]
    clips = []
    for number in range(60):
        content = bytearray((path := draw.choice(whole)).read_bytes())
        for _ in range(draw.choice([1, 4, 40])):
            at = draw.randrange(len(content))
            content[at : at + draw.choice([1, 4])] = draw.choice([b"", b"\xff" * 4, b"\0"])
        bad = put(tmp_path / f"bad/{number}{path.suffix}", bytes(content))
        clips.append(Clip(id=bad.name, media=bad, split="train"))
    catalogue = prepared(tmp_path / "p", clips, rules=RULES, workers=1)
    reasons = [flaw.reason for finding in catalogue.findings for flaw in finding.flaws]
    assert len(reasons) > 20
    assert not [reason for reason in reasons if "process that" in reason or "longer than" in reason]


def test_what_is_dropped_is_the_rules_choice(prepared, config, tmp_path):
    quiet = tone(2.5, 16_000, gain=1e-4)
    path = write_media(tmp_path / "a.mp4", seconds=2.5, samples=quiet, level=lambda number: grey(0))
    clips = [Clip(id="a", media=path, split="train")]
    catalogue = prepared(tmp_path / "p", clips)
    assert [flaw.kind for flaw in catalogue.findings[0].flaws] == ["silent", "still"]
    assert not len(catalogue)
    for drop, kept in ((frozenset(), 1), (frozenset({"clipped"}), 1), (frozenset({"still"}), 0)):
        assert len(gathered(tmp_path / "p", clips, config, Rules(drop=drop))) == kept

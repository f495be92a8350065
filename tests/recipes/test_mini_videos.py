import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import videos
from make_media import clips_of, read_samples
from PIL import Image

from clipsonic_cli.data.check import Rules
from clipsonic_cli.data.listing import find_format
from clipsonic_cli.data.media import every, read_frames
from clipsonic_cli.data.report import summarize
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.preparation.catalogue import collect
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.prepare import indices, prepare
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Clip

SPLITS = ("train", "train", "train", "valid", "test")
PICTURES = [("fire truck", "train")] * 3 + [("fire truck", "test"), ("cat", "train")]


def rows():
    """A fire truck with pictures of both splits, a cat without one to test on, an unseen organ."""
    clips = [
        {"id": f"{label}/{split}/{i}", "label": label, "split": split, "path": f"{label[0]}{i}.wav"}
        for label in ("fire truck", "cat", "organ")
        for i, split in enumerate(SPLITS)
    ]
    pictures = [
        {"label": label, "split": split, "path": f"{label[0]}{i}.png"}
        for i, (label, split) in enumerate(PICTURES)
    ]
    return clips, pictures


def cross():
    """A cross on white."""
    image = Image.new("RGB", (90, 60), "white")
    image.paste("navy", (40, 10, 50, 50))
    image.paste("red", (20, 25, 70, 35))
    return image


@pytest.fixture
def out(tmp_path):
    """What ``data.py`` leaves: noise of each clip's own, and crosses."""
    clips, pictures = rows()
    (tmp_path / "data").mkdir()
    for name, lines in (("clips", clips), ("pictures", pictures)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for number, clip in enumerate(clips):
        noise = np.random.default_rng(number).uniform(-0.9, 0.9, 35_000)
        soundfile.write(tmp_path / "data" / clip["path"], noise, 16_000, subtype="PCM_16")
    for row in pictures:
        cross().save(tmp_path / "data" / row["path"])
    return tmp_path


@pytest.fixture
def run(out, monkeypatch):
    """Runs the step in this process, which spawns none, with small videos."""
    monkeypatch.setattr(videos, "SIDE", 128)  # x264 repeats itself to the bit from there on
    each = videos.each
    monkeypatch.setattr(videos, "each", lambda f, tasks, workers: each(f, tasks, workers=0))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["videos.py", "--out", str(out), *arguments])
        videos.main()

    return call


def planned(repeat=1, labels=("fire truck", "cat")):
    clips, pictures = rows()
    shown = [clip for clip in clips if clip["label"] in labels]
    return list(videos.plan(shown, pictures, Path(), repeat))


def test_no_clip_to_train_on_shows_a_image_to_test_on():
    for video in planned(repeat=4, labels=["fire truck"]):
        assert (video.picture.name == "f3.png") == (video.split == "test")
        assert not video.substitute


def test_a_test_clip_of_a_label_without_test_image_shows_a_training_image():
    [video] = [video for video in planned(labels=["cat"]) if video.split == "test"]
    assert (video.picture.name, video.substitute) == ("c4.png", True)


def test_versions_of_a_clip_differ_in_image_where_there_are_several_and_in_name():
    versions = planned(repeat=3)
    assert len({video.path for video in versions}) == len({v.name for v in versions}) == 30
    first, *others = [v for v in versions if v.sound.name == "f0.wav"]
    assert len({first.picture, *(video.picture for video in others)}) == 3
    assert versions[:10] == planned()


def test_the_first_clips_are_spread_over_labels_in_one_order():
    clips = [{"id": f"{a}/{i}", "label": a} for a in "abc" for i in range(10)]
    chosen = videos.spread(clips)
    assert Counter(clip["label"] for clip in chosen[:6]) == {"a": 2, "b": 2, "c": 2}
    assert sorted(clip["id"] for clip in chosen) == sorted(clip["id"] for clip in clips)
    assert videos.spread(clips[::-1]) == chosen


def test_a_view_moves_on_with_each_frame_and_alike_for_the_same_name():
    frames = [view.tobytes() for view in videos.moving(cross(), 9, "a")]
    assert all(before != after for before, after in pairwise(frames))
    assert [view.tobytes() for view in videos.moving(cross(), 9, "a")] == frames
    assert videos.moving(cross(), 9, "b")[0].tobytes() != frames[0]


def test_a_view_comes_nearer_or_goes_further_and_never_beyond_the_white():
    lines = Image.new("RGB", (40, 40), "white")
    lines.paste("black", (18, 18, 22, 22))
    for name in "abcdefgh":
        dark = [float((np.asarray(view) < 128).mean()) for view in videos.moving(lines, 5, name)]
        assert dark in (sorted(dark), sorted(dark, reverse=True))
        assert max(dark) / min(dark) == pytest.approx((1.0 / 0.625) ** 2, rel=0.6)
        assert max(dark) < 0.05  # no black margin


def test_a_video_sounds_as_its_clip_to_the_sample_and_shows_the_view(out, run):
    run("--limit", "2")
    for line in videos.read_lines(out / "videos.jsonl"):
        clip = Clip(id="x", media=out / line["media"])
        label, number = line["label"], clip.media.stem
        expected, rate = soundfile.read(out / "data" / f"{label[0]}{number}.wav", dtype="float32")
        np.testing.assert_array_equal(read_samples(clip, rate), expected)
        views = videos.moving(cross(), 22, f"{label}/{line['split']}/{number}")  # 2.19 s
        shown = np.stack([np.asarray(f.convert("L"), float) for f in read_frames(clip, every(10))])
        drawn = np.stack([np.asarray(view.convert("L"), float) for view in views])
        apart = np.abs(shown[:, None] - drawn).mean(axis=(2, 3))  # (shown, drawn)
        assert apart.argmin(axis=1).tolist() == list(range(22))
        assert apart.diagonal().max() < 2


def surveyed(clips, folder, micro):
    """What ``clipsonic train`` finds."""
    encoder = load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))
    config = PreparationConfig(encoder=encoder.identity)
    prepare(clips, folder, config, clip_encoder=encoder, rules=Rules(), workers=0)
    return summarize(collect(clips, indices(folder), folder, config, Rules())[1])


def test_the_videos_are_fit_for_training_as_a_list_and_as_a_folder(out, run, micro, capsys):
    run("--repeat", "2")
    survey = surveyed(list(clips_of(str(out / "videos.jsonl"))), out / "prepared", micro)
    assert (survey.kept, set(survey.flaws.values())) == (20, {0})
    assert survey.splits == {"train": 12, "valid": 4, "test": 4}
    folder = str(out / "videos" / "train")
    assert find_format(folder) == "folder"
    assert Counter(clip.label for clip in clips_of(folder)) == {"fire truck": 6, "cat": 6}
    captured = capsys.readouterr().out
    assert "videos: 20 of 2 labels, 20 of them made now" in captured
    assert "2 of test show a training picture; 5 clips of 1 labels left out" in captured


def test_held_out_videos_are_versions_of_test_clips_that_show_a_test_picture(out, run, capsys):
    run()
    listed = videos.read_lines(out / "held-out.jsonl")
    assert [line["media"] for line in listed] == [
        f"held-out/fire truck/4{ending}.mp4" for ending in ("", "-1", "-2")
    ]
    assert all((line["label"], line["split"]) == ("fire truck", "test") for line in listed)
    assert all((out / line["media"]).is_file() for line in listed)
    assert "3 of 1 labels show a held-out picture" in capsys.readouterr().out


def test_what_is_there_is_kept_and_what_is_missing_is_made_the_same(out, run, capsys):
    run("--limit", "2")
    gone, kept = sorted((out / "videos").rglob("*.mp4"))
    content, written = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    run("--limit", "2")
    assert gone.read_bytes() == content
    assert kept.stat().st_mtime_ns == written
    assert "1 of them made now" in capsys.readouterr().out
    assert not list(out.rglob("*.part"))


def test_a_clip_that_cannot_be_made_a_video_is_named(out, run):
    (out / "data" / "c4.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"^cat/\w+/\d cannot be made a video: Unidentified"):
        run()
    assert not (out / "videos.jsonl").exists()


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--repeat", "-1"]])
def test_counts_are_one_or_more(out, run, arguments, capsys):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert "is not 1 or more" in capsys.readouterr().err


def test_videos_are_made_by_processes(out):
    clips, pictures = rows()
    made = list(videos.plan(clips[:1], pictures, out, 1))
    assert videos.make(made) == 1
    assert videos.make(made) == 0
    assert made[0].path.is_file()

"""Queries from a data set: which clips, and what is taken of them."""

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile
from make_media import read_samples
from PIL import Image
from small_videos import LABELS

from clipsonic_cli.audio.level import read_description
from clipsonic_cli.config import DiffusionConfig, MelSpec, UNetConfig
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.evaluation.audio_files import sound_files
from clipsonic_cli.evaluation.test_set import (
    COMMON,
    ClipSpec,
    common_items,
    draw_clips,
    file_name,
    splits_of,
    take,
)
from clipsonic_cli.store.bundle import Header

SPEC = ClipSpec(seconds=0.5, sample_rate=16_000, image=True)


@pytest.fixture
def clips(pets):
    how = {"format": None, "splits": SplitDraw(seed=3, valid_share=0), "seed": 0}
    found = [
        clip
        for split in ("train", "test")
        for clip in draw_clips(str(pets), split=split, **how).clips
    ]
    assert len(found) == 11
    return found


def test_the_sound_is_the_middle_of_the_clip(clips, tmp_path):
    [item], _ = take(clips, 1, SPEC, tmp_path, seed=0, workers=0)
    made, rate = soundfile.read(item.sound, dtype="float32")
    clip = next(clip for clip in clips if file_name(clip.id) == item.name)
    whole = read_samples(clip, 16_000)
    start = (len(whole) - 8000) // 2
    assert (rate, len(made)) == (16_000, 8000)
    assert np.abs(made - whole[start : start + 8000]).max() < 2 / 32768
    assert item.label in LABELS
    assert item.text == f"a photo of {item.label}"


def test_the_image_is_the_frame_in_the_middle(clips, tmp_path):
    [item], _ = take(clips, 1, SPEC, tmp_path, seed=0, workers=0)
    number = int(item.name.split(".")[0][-2:])
    grey = np.asarray(Image.open(item.image).convert("L"), dtype=float).mean()
    assert grey == pytest.approx(20 + (24 * 4 + 9 * number) % 220, abs=4)  # frame 4 of 2.2 s, 4 fps


def test_clips_that_cannot_be_read_are_passed_over_and_said(clips, tmp_path):
    items, faults = take(clips, 11, SPEC, tmp_path, seed=0, workers=0)
    assert len(items) == len({item.seed for item in items}) == 10
    [(name, reason)] = faults.items()
    assert "bad.mp4" in name
    assert "cut off" in reason


@pytest.mark.slow
def test_processes_take_the_same(clips, tmp_path):
    here, _ = take(clips, 3, SPEC, tmp_path / "here", seed=0, workers=0)
    there, _ = take(clips, 3, SPEC, tmp_path / "there", seed=0, workers=2)
    for one, other in zip(here, there, strict=True):
        assert one.sound.read_bytes() == other.sound.read_bytes()


def test_of_a_broken_set_the_reason_is_said(clips, tmp_path):
    bad = [clip for clip in clips if "bad" in clip.id]
    with pytest.raises(UsageError, match="No clip can be used"):
        take(bad, 5, SPEC, tmp_path, seed=0, workers=0)


def test_more_queries_begin_with_the_same_ones(clips, tmp_path):
    few, _ = take(clips, 3, SPEC, tmp_path, seed=0, workers=0)
    many, _ = take(clips, 6, SPEC, tmp_path, seed=0, workers=0)
    assert many[:3] == few


def test_another_seed_draws_others_with_other_noise(pets):
    def ids(seed):
        drawn = draw_clips(
            str(pets), format=None, split="train", splits=SplitDraw(seed=0), seed=seed
        )
        return [clip.id for clip in drawn.clips]

    assert ids(0) != ids(1)
    assert sorted(ids(0)) == sorted(ids(1))


def test_what_was_taken_is_not_taken_again_unless_something_changed(clips, tmp_path):
    def taken(spec=SPEC):
        [item], _ = take(clips, 1, spec, tmp_path, seed=0, workers=0)
        return item.sound.stat().st_mtime_ns

    first = taken()
    assert taken() == first
    [sound] = sound_files(tmp_path).values()
    soundfile.write(sound, np.zeros(9), 16_000)  # no longer says what it was cut of
    assert taken() != first
    assert read_description(sound)["seconds"] == 0.5


def test_a_sound_stays_the_same_whether_images_are_wanted_or_not(clips, tmp_path):
    times = set()
    for picture in (True, False, True):
        spec = dataclasses.replace(SPEC, image=picture)
        [item], _ = take(clips, 1, spec, tmp_path, seed=0, workers=0)
        times.add(item.sound.stat().st_mtime_ns)
    assert len(times) == 1


def test_an_image_of_a_clip_that_changed_is_not_kept(clips, tmp_path):
    one, other, *_ = (clip for clip in clips if clip.media.name != "bad.mp4")
    clip = dataclasses.replace(one, media=tmp_path / "clip.mp4")
    shutil.copyfile(one.media, clip.media)
    [item], _ = take([clip], 1, SPEC, tmp_path / "taken", seed=0, workers=0)
    shutil.copyfile(other.media, clip.media)
    take([clip], 1, dataclasses.replace(SPEC, image=False), tmp_path / "taken", seed=0, workers=0)
    assert not item.image.exists()


def test_an_empty_split_is_rejected(pets):
    splits = SplitDraw(valid_share=0)
    with pytest.raises(UsageError, match=r"no clips in the split 'valid'; it has \w+ \d+"):
        draw_clips(str(pets), format=None, split="valid", splits=splits, seed=0)


def header_of(**data):
    mel = {"mel": MelSpec(), "diffusion": DiffusionConfig(), "space": "clip-image", "encoder": "x"}
    return Header(kind="unet", config=UNetConfig(), meta={"data": data} if data else {}, **mel)


DRAWN = {"seed": 5, "test_share": 0.2, "valid_share": 0.0}


def test_splits_are_those_of_the_first_part_that_states_them():
    first = header_of(name="pets", drawn=DRAWN)
    other = header_of(name="pets", drawn={**DRAWN, "seed": 6})
    elsewhere = header_of(name="birds", drawn={**DRAWN, "seed": 6})
    silent = {"clip": header_of(), "prior": header_of(name="pets", drawn=None)}
    assert splits_of(silent, None) == (SplitDraw(), None)
    assert splits_of(silent, 3) == (SplitDraw(seed=3), None)
    assert splits_of({**silent, "unet": first, "x": elsewhere}, None) == (SplitDraw(**DRAWN), None)
    assert splits_of({"unet": first}, 9)[0] == SplitDraw(**{**DRAWN, "seed": 9})
    splits, note = splits_of({"unet": first, "vocoder": other}, None)
    assert splits.seed == 5
    assert note.startswith("unet and vocoder were trained on different splits of 'pets'")


@pytest.mark.parametrize("drawn", [7, {"seed": 1}, {**DRAWN, "seed": -1}, {**DRAWN, "x": 1}])
def test_splits_that_are_impossible_are_rejected(drawn):
    with pytest.raises(BadBundle, match="The unet is damaged: of its splits"):
        splits_of({"unet": header_of(drawn=drawn)}, None)


@pytest.mark.parametrize("name", ["a/b.mp4", "../x", "x" * 300, "小提琴 1", "..", "a b"])
def test_names_are_safe_and_differ(name):
    safe = file_name(name)
    assert "/" not in safe
    assert not safe.startswith(".")
    assert 0 < len(safe.encode()) <= 255
    assert safe != file_name(f"{name}!")


def test_a_plain_name_stays():
    assert file_name("video_1@2.5") == "video_1@2.5"


def test_without_data_common_sounds_are_requested_each_with_its_seed():
    items = common_items(len(COMMON) + 1, seed=5)
    assert [q.label for q in items] == [*COMMON, COMMON[0]]
    assert len({q.name for q in items}) == len({q.seed for q in items}) == len(items)
